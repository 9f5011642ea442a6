//! Codecs whose decoders go on to the end of what they are given.
//!
//! The others stop at the size that a page's header says; these put as many bytes into memory as
//! there are. So their pages are unpacked into nothing first.

use std::io::{self, Read};

use brotli::Decompressor;
use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;

/// Bytes that are taken from a Brotli stream at once.
const BUFFER: usize = 4_096;

/// How a frame of LZ4 begins, the present one's and its predecessor's. Pages of [`Compression::LZ4`]
/// have none, except those of writers long gone; only in a frame the sizes of its blocks are unknown.
const FRAMES: [[u8; 4]; 2] = [[0x04, 0x22, 0x4D, 0x18], [0x02, 0x21, 0x4C, 0x18]];

/// Whether a codec is one of these.
pub(super) fn runs_on(codec: Compression) -> bool {
    matches!(codec, Compression::GZIP(_) | Compression::BROTLI(_) | Compression::LZ4)
}

/// Whether what is packed so unpacks to `most` bytes at most.
pub(super) fn ends_within(codec: Compression, packed: &[u8], most: u64) -> bool {
    match codec {
        Compression::GZIP(_) => has_at_most(MultiGzDecoder::new(packed), most),
        Compression::BROTLI(_) => {
            !has_large_window(packed) && has_at_most(Decompressor::new(packed, BUFFER), most)
        }
        Compression::LZ4 => !FRAMES.iter().any(|frame| packed.starts_with(frame)),
        _ => true,
    }
}

fn has_at_most(unpacked: impl Read, most: u64) -> bool {
    let mut bounded = unpacked.take(most.saturating_add(1));
    io::copy(&mut bounded, &mut io::sink()).is_ok_and(|bytes| bytes <= most)
}

/// Whether a Brotli stream begins as RFC 7932 does not allow, with a window of up to 1 GiB, for
/// which the decoder would make room.
fn has_large_window(stream: &[u8]) -> bool {
    stream.first().is_some_and(|first| first & 0x7F == 0x11)
}

#[cfg(test)]
mod tests {
    use parquet::basic::{BrotliLevel, GzipLevel};

    use super::*;

    #[test]
    fn what_unpacks_to_more_is_found_without_unpacking_all() {
        let zeros = vec![0_u8; 100_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::copy(&mut zeros.as_slice(), &mut gzip).expect("written");
        let gzip = gzip.finish().expect("packed");
        let mut brotli = Vec::new();
        io::copy(&mut zeros.as_slice(), &mut brotli::CompressorWriter::new(&mut brotli, BUFFER, 1, 20))
            .expect("packed");
        // A second member counts, too.
        let twice = [gzip.as_slice(), &gzip].concat();
        for (codec, packed, bytes) in [
            (Compression::GZIP(GzipLevel::default()), gzip, 100_000),
            (Compression::GZIP(GzipLevel::default()), twice, 200_000),
            (Compression::BROTLI(BrotliLevel::default()), brotli, 100_000),
        ] {
            assert!(runs_on(codec) && packed.len() < 2_000, "{codec:?}: {}", packed.len());
            assert!(ends_within(codec, &packed, bytes), "{codec:?}");
            assert!(!ends_within(codec, &packed, bytes - 1), "{codec:?}");
        }
    }

    #[test]
    fn a_window_and_a_frame_of_any_size_are_refused() {
        let brotli = Compression::BROTLI(BrotliLevel::default());
        assert!(!ends_within(brotli, &[0x11, 0x1E, 0x03], 1 << 20));
        assert!(ends_within(Compression::LZ4, &[0, 0, 0, 5, 0, 0, 0, 6, 0x50], 5));
        for frame in FRAMES {
            assert!(!ends_within(Compression::LZ4, &[&frame[..], &[0x60, 0x40]].concat(), 1 << 20));
        }
    }
}
