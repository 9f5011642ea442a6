//! Gzip by many hands: parts that are compressed apart, one after the other in one member, since
//! browsers read only the first member of several.

use std::io;

use flate2::{Compress, Compression, Crc, FlushCompress};

/// The head of a member, without time, name or system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A last block that is empty.
const END: [u8; 2] = [3, 0];

/// Room for what compression adds to the shortest of texts, bytes.
const ROOM: usize = 1 << 10;

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
        let mut compress = Compress::new(Compression::fast(), false);
        // Text that cannot be compressed grows by five bytes a block of some kilobytes.
        let mut deflated = Vec::with_capacity(text.len() + text.len() / 64 + ROOM);
        // A flush ends at a byte and does not say that it was the last. It happens in one go, with more
        // room than it can take: one that fills its room loses or garbles the rest in some versions of
        // the library, and says nothing.
        compress.compress_vec(text, &mut deflated, FlushCompress::Sync)?;
        if compress.total_in() != text.len() as u64 || deflated.len() == deflated.capacity() {
            return Err(io::Error::other("a part of an answer could not be compressed at once"));
        }
        deflated.shrink_to_fit();
        Ok(Self { deflated, check })
    }

    /// Bytes that it takes in a member.
    pub fn size(&self) -> usize {
        self.deflated.len()
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
    fn no_part_loses_its_end_however_long_it_is() {
        let mut random = 1_u64;
        let long: String = (0..400_000)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b"0123456789abcdef,\"T:-Z"[(random >> 33) as usize % 22])
            })
            .collect();
        for length in (1_000..long.len()).step_by(1_999) {
            let part = Part::new(&long.as_bytes()[..length]).expect("part");
            let mut text = String::new();
            GzDecoder::new(member(&[part]).as_slice()).read_to_string(&mut text).expect("checks and all");
            assert!(text == long[..length], "{length}");
        }
    }

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
