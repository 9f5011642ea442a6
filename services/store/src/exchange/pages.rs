//! What a stranger's Parquet file takes in memory, known before any of it is unpacked.
//!
//! A page of a few bytes may unpack to 2 GiB, and a text of a dictionary may stand in every row. So the
//! headers of all pages are read first: they say how large the pages are, and no text is longer than
//! the page that it comes from.

use parquet::{
    basic::Type,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::ChunkReader,
    },
};

/// Longest header of a page, bytes; it may hold two texts as statistics.
const HEADER: u64 = 1 << 20;

/// The type of a page with the texts of a dictionary.
const DICTIONARY: i64 = 2;

/// How many rows may be decoded at once, `rows` at most, so that pages and rows take some `memory`
/// bytes each. Only columns that are `wanted` count.
///
/// # Errors
/// When the pages of a row group take more, and when the file is damaged or has lists.
pub(super) fn rows_at_once<R: ChunkReader>(
    file: &R,
    metadata: &ParquetMetaData,
    wanted: impl Fn(&str) -> bool,
    rows: usize,
    memory: u64,
) -> Result<usize, String> {
    let mut longest = 1;
    for group in metadata.row_groups() {
        let (mut pages, mut texts) = (0, 0);
        for column in group.columns() {
            let path = column.column_path().parts();
            let Some(name) = path.first().filter(|name| wanted(name)) else { continue };
            if path.len() > 1 || column.column_descr().max_rep_level() > 0 {
                return Err(format!("column `{name}` is nested, which cannot be read"));
            }
            let largest = largest(file, column).ok_or_else(|| format!("column `{name}` is damaged"))?;
            pages += largest;
            if matches!(column.column_type(), Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY) {
                texts += largest;
            }
        }
        if pages > memory {
            return Err(format!(
                "a row group's largest pages unpack to {pages} bytes, of which {memory} may be; write it with smaller pages"
            ));
        }
        longest = longest.max(texts);
    }
    Ok(usize::try_from(memory / longest).unwrap_or(rows).clamp(1, rows))
}

/// The bytes that a column's dictionary and its largest page unpack to.
fn largest<R: ChunkReader>(file: &R, column: &ColumnChunkMetaData) -> Option<u64> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let mut at = u64::try_from(start).ok()?;
    let end = at.checked_add(u64::try_from(column.compressed_size()).ok()?)?;
    let (mut dictionary, mut data) = (0, 0);
    while at < end {
        let bytes = file.get_bytes(at, usize::try_from((end - at).min(HEADER)).ok()?).ok()?;
        let mut header = Compact(&bytes);
        let page = header.page()?;
        let largest = if page.kind == DICTIONARY { &mut dictionary } else { &mut data };
        *largest = page.unpacked.max(*largest);
        at += (bytes.len() - header.0.len()) as u64 + page.packed;
    }
    Some(dictionary + data)
}

/// What matters of a page's header.
#[derive(Default)]
struct Page {
    kind: i64,
    unpacked: u64,
    packed: u64,
}

/// Thrift's compact protocol, as far as a page's header needs it.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn page(&mut self) -> Option<Page> {
        let mut page = Page::default();
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (1, 5) => page.kind = self.integer()?,
                (2, 5) => page.unpacked = u64::try_from(self.integer()?).ok()?,
                (3, 5) => page.packed = u64::try_from(self.integer()?).ok()?,
                (_, kind) => self.skip(kind, 0)?,
            }
        }
        Some(page)
    }

    /// The type of the next field, whose number is put in `field`; `Some(None)` at the end.
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *field = match head >> 4 {
            0 => self.integer()?,
            step => field.checked_add(step.into())?,
        };
        Some(Some(head & 0x0F))
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        if depth > 8 {
            return None;
        }
        match kind {
            // The value of a flag is in its type.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            7 => self.take(8)?,
            8 => {
                let length = self.varint()?;
                self.take(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { (head >> 4).into() };
                for _ in 0..count {
                    // In a list a flag is a byte.
                    let kind = if matches!(head & 0x0F, 1 | 2) { 3 } else { head & 0x0F };
                    self.skip(kind, depth + 1)?;
                }
            }
            12 => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn integer(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use bytes::Bytes;
    use parquet::{
        arrow::ArrowWriter,
        basic::{Compression, ZstdLevel},
        file::{metadata::ParquetMetaDataReader, properties::WriterProperties},
    };
    use proptest::prelude::*;

    use super::*;

    /// A file whose one text stands in every row of column `a`, and a short one in `b`.
    fn file(text: usize, rows: usize) -> Bytes {
        let column = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
        let batch = RecordBatch::try_from_iter([("a", column(&"x".repeat(text))), ("b", column("y"))]);
        let batch = batch.expect("batch");
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(zstd).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("writer");
        writer.write(&batch).expect("write");
        Bytes::from(writer.into_inner().expect("file"))
    }

    fn at_once(file: &Bytes, wanted: &str, memory: u64) -> Result<usize, String> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(file).expect("metadata");
        rows_at_once(file, &metadata, |name| name == wanted, 4_096, memory)
    }

    #[test]
    fn a_small_file_that_unpacks_to_much_is_refused_before_it_does() {
        let bomb = file(1 << 20, 3);
        assert!(bomb.len() < 20_000, "{}", bomb.len());
        let refused = at_once(&bomb, "a", 1 << 20).expect_err("refused");
        assert!(refused.contains("smaller pages"), "{refused}");
        assert_eq!(at_once(&bomb, "b", 1 << 20), Ok(4_096), "what is not read does not count");
        assert!(at_once(&bomb, "a", 1 << 23).is_ok_and(|rows| (1..=7).contains(&rows)));
    }

    #[test]
    fn the_longer_the_texts_of_a_dictionary_the_fewer_rows_at_once() {
        for (text, fewest, most) in [(10, 4_096, 4_096), (10_000, 700, 840), (100_000, 70, 84)] {
            let rows = at_once(&file(text, 5_000), "a", 1 << 23).expect("readable");
            assert!((fewest..=most).contains(&rows), "{text}: {rows}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Compact(&bytes).page();
        }
    }
}
