//! Gzip by many hands: parts that are compressed apart, one after the other in one member, since
//! browsers read only the first member of several.

use std::io::{self, Write};

use flate2::{Compression, Crc, write::DeflateEncoder};

/// The head of a member, without time, name or system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A last block that is empty.
const END: [u8; 2] = [3, 0];

/// A part of a member: whole blocks of its compressed data, which end at a byte.
pub(super) struct Part {
    deflated: Vec<u8>,
    check: Crc,
}

impl Part {
    /// Compresses a part of the text. This takes processor time.
    ///
    /// # Errors
    /// When the library says so, which it has no reason to.
    pub fn new(text: &[u8]) -> io::Result<Self> {
        let mut check = Crc::new();
        check.update(text);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text)?;
        // Ends at a byte and does not say that it was the last.
        encoder.flush()?;
        Ok(Self { deflated: std::mem::take(encoder.get_mut()), check })
    }
}

/// A member of parts in their order.
pub(super) fn member(parts: &[Part]) -> Vec<u8> {
    let size: usize = parts.iter().map(|part| part.deflated.len()).sum();
    let mut member = Vec::with_capacity(size + HEAD.len() + END.len() + 8);
    let mut check = Crc::new();
    member.extend_from_slice(&HEAD);
    for part in parts {
        member.extend_from_slice(&part.deflated);
        check.combine(&part.check);
    }
    member.extend_from_slice(&END);
    member.extend_from_slice(&check.sum().to_le_bytes());
    member.extend_from_slice(&check.amount().to_le_bytes());
    member
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn parts_read_back_as_one_text() {
        let texts = ["", "a", &"the same again, ".repeat(100_000), "", "b"];
        for count in 0..=texts.len() {
            let parts: Vec<_> =
                texts[..count].iter().map(|text| Part::new(text.as_bytes()).expect("part")).collect();
            // Of the first member, at whose end nothing follows.
            let member = member(&parts);
            let mut decoder = GzDecoder::new(member.as_slice());
            let mut text = String::new();
            decoder.read_to_string(&mut text).expect("checks and all");
            assert_eq!(text, texts[..count].concat());
            assert!(decoder.into_inner().is_empty());
        }
    }
}
