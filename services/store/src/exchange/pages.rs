//! What a stranger's Parquet file takes in memory, known before any of it is unpacked.
//!
//! A page of a few bytes may unpack to 2 GiB, and a text of a dictionary may stand in every row. So the
//! headers of all pages are read first: they say how large the pages are, and no text is longer than
//! the page that it comes from.
//!
//! What reads the pages afterwards looks at the number of a header's field alone, never at the type
//! that the file gives it. Here a header counts only when its types are those of the format, or the
//! two could be made to read different sizes in the same bytes.

use parquet::{
    basic::{Compression, Type},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::ChunkReader,
    },
};

use super::unpack;

/// Longest header of a page, bytes; it may hold two texts as statistics.
const HEADER: u64 = 1 << 20;

/// What all pages may unpack to: so many times the file's bytes, and some more for a small file.
const RATIO: u64 = 128;
const ALLOWANCE: u64 = 1 << 30;

/// Types of pages: with values, with the values of a dictionary, and with values as of version 2.
const DATA: i32 = 0;
const DICTIONARY: i32 = 2;
const DATA_V2: i32 = 3;

const DAMAGED: &str = "is damaged";
const TOO_MUCH: &str =
    "and those before it unpack to more than 128 times the file and 1 GiB; write several files";

/// How many rows may be decoded at once, `rows` at most, so that pages and rows take some `memory`
/// bytes each. Only columns that are `wanted` count.
///
/// # Errors
/// When the pages of a row group take more, when all pages together take much more than the file,
/// and when the file is damaged or has lists.
pub(super) fn rows_at_once<R: ChunkReader>(
    file: &R,
    metadata: &ParquetMetaData,
    wanted: impl Fn(&str) -> bool,
    rows: usize,
    memory: u64,
) -> Result<usize, String> {
    let mut longest = 1;
    let mut budget = file.len().saturating_mul(RATIO).saturating_add(ALLOWANCE);
    for group in metadata.row_groups() {
        let (mut pages, mut texts) = (0, 0);
        for column in group.columns() {
            let path = column.column_path().parts();
            let Some(name) = path.first().filter(|name| wanted(name)) else { continue };
            if path.len() > 1 || column.column_descr().max_rep_level() > 0 {
                return Err(format!("column `{name}` is nested, which cannot be read"));
            }
            let largest =
                largest(file, column, &mut budget).map_err(|why| format!("column `{name}` {why}"))?;
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

/// The bytes that a column's dictionary and its largest page unpack to, or what is wrong with them.
/// What its pages take is taken from the `budget`.
fn largest<R: ChunkReader>(
    file: &R,
    column: &ColumnChunkMetaData,
    budget: &mut u64,
) -> Result<u64, &'static str> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let mut at = u64::try_from(start).map_err(|_| DAMAGED)?;
    let length = u64::try_from(column.compressed_size()).map_err(|_| DAMAGED)?;
    let end = at.checked_add(length).ok_or(DAMAGED)?;
    let (mut dictionary, mut data) = (0, 0);
    while at < end {
        let page = Page::read(file, at, end).ok_or(DAMAGED)?;
        *budget = budget.checked_sub(page.body - at + page.size()).ok_or(TOO_MUCH)?;
        if !page.is_as_stated(file, column.compression()) {
            return Err(DAMAGED);
        }
        let largest = if page.kind == DICTIONARY { &mut dictionary } else { &mut data };
        *largest = page.size().max(*largest);
        at = page.body + page.packed;
    }
    Ok(dictionary + data)
}

/// What matters of a page's header.
#[derive(Default)]
struct Page {
    kind: i32,
    /// Where in the file its body begins.
    body: u64,
    /// Bytes of the body, and those that it is said to unpack to.
    packed: u64,
    unpacked: u64,
    /// Bytes that the body begins with as they are.
    levels: u64,
    /// Whether the others are packed.
    is_packed: bool,
}

impl Page {
    /// The page whose header begins `at` this byte of a file, in a column that ends at `end`.
    fn read<R: ChunkReader>(file: &R, at: u64, end: u64) -> Option<Self> {
        let bytes = file.get_bytes(at, usize::try_from((end - at).min(HEADER)).ok()?).ok()?;
        let mut header = Compact(&bytes);
        let page = header.page()?;
        let body = at + (bytes.len() - header.0.len()) as u64;
        (page.packed <= end - body).then_some(Self { body, ..page })
    }

    /// Bytes that it takes in memory: what is not packed is taken as it is, whatever its header says.
    fn size(&self) -> u64 {
        self.unpacked.max(self.packed)
    }

    /// Whether it unpacks to no more than its header says.
    fn is_as_stated<R: ChunkReader>(&self, file: &R, codec: Compression) -> bool {
        let (packed, unpacked) = (self.packed - self.levels, self.unpacked - self.levels);
        if !self.is_packed || unpacked == 0 || !unpack::runs_on(codec) {
            return true;
        }
        let Ok(length) = usize::try_from(packed) else { return false };
        let body = file.get_bytes(self.body + self.levels, length);
        body.is_ok_and(|body| unpack::ends_within(codec, &body, unpacked))
    }
}

/// Types of Thrift's compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const STRUCT: u8 = 12;

/// Thrift's compact protocol, as far as a page's header needs it.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn page(&mut self) -> Option<Page> {
        let mut page = Page { kind: -1, is_packed: true, ..Page::default() };
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (1, I32) => page.kind = self.number()?,
                (2, I32) => page.unpacked = u64::try_from(self.number()?).ok()?,
                (3, I32) => page.packed = u64::try_from(self.number()?).ok()?,
                (4, I32) => drop(self.number()?),
                (5, STRUCT) => drop(self.structure(4)?),
                (7, STRUCT) => drop(self.structure(2)?),
                (8, STRUCT) => {
                    let ([.., definition, repetition], is_packed) = self.structure(6)?;
                    page.levels = u64::try_from(definition).ok()? + u64::try_from(repetition).ok()?;
                    page.is_packed = is_packed.unwrap_or(true);
                }
                (1..=8, _) => return None,
                (_, kind) => self.skip(kind, 0)?,
            }
        }
        let has_levels = page.levels <= page.packed.min(page.unpacked);
        (has_levels && matches!(page.kind, DATA | DICTIONARY | DATA_V2)).then_some(page)
    }

    /// A struct that has so many numbers and then perhaps a flag.
    fn structure(&mut self, numbers: usize) -> Option<([i32; 6], Option<bool>)> {
        let (mut values, mut flag, mut field) = ([0; 6], None, 0);
        while let Some(kind) = self.field(&mut field)? {
            let index = usize::try_from(field).ok()?.checked_sub(1)?;
            match values.get_mut(..numbers)?.get_mut(index) {
                Some(value) if kind == I32 => *value = self.number()?,
                Some(_) => return None,
                None if index == numbers && matches!(kind, TRUE | FALSE) => flag = Some(kind == TRUE),
                None => self.skip(kind, 0)?,
            }
        }
        Some((values, flag))
    }

    /// The type of the next field, whose number is put in `field`; `Some(None)` at the end.
    fn field(&mut self, field: &mut i16) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *field = match head >> 4 {
            0 => i16::try_from(self.integer()?).ok()?,
            step => field.checked_add(step.into())?,
        };
        Some(Some(head & 0x0F))
    }

    /// Passes over a field of statistics, or of one that is new; none of them has a list.
    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        if depth > 8 {
            return None;
        }
        match kind {
            // The value of a flag is in its type.
            TRUE | FALSE => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            7 => self.take(8)?,
            8 => {
                let length = self.varint()?;
                self.take(length)?;
            }
            STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<i32> {
        i32::try_from(self.integer()?).ok()
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
        basic::{BrotliLevel, GzipLevel, ZstdLevel},
        file::{
            metadata::ParquetMetaDataReader,
            properties::{WriterProperties, WriterVersion},
        },
    };
    use proptest::prelude::*;

    use super::*;

    /// A file whose one text stands in every row of column `a`, and a short one in `b`.
    fn file(text: usize, rows: usize) -> Bytes {
        packed(Compression::ZSTD(ZstdLevel::default()), WriterVersion::PARQUET_1_0, text, rows)
    }

    fn packed(codec: Compression, version: WriterVersion, text: usize, rows: usize) -> Bytes {
        let column = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
        let batch = RecordBatch::try_from_iter([("a", column(&"x".repeat(text))), ("b", column("y"))]);
        let batch = batch.expect("batch");
        let properties = WriterProperties::builder().set_compression(codec).set_writer_version(version);
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).expect("writer");
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

    /// The same file, whose first page says that it unpacks to less.
    fn lying(file: &Bytes) -> Bytes {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(file).expect("metadata");
        let (start, _) = metadata.row_group(0).column(0).byte_range();
        // A header begins with the type of the page and with the size, two bytes and one before it.
        let size = usize::try_from(start).expect("small") + 3;
        let mut bytes = file.to_vec();
        let last = (size..).find(|at| bytes[*at] < 0x80).expect("the size's last byte");
        bytes[last] = 0;
        Bytes::from(bytes)
    }

    #[test]
    fn a_page_that_unpacks_to_more_than_it_says_is_refused_where_its_decoder_would_not_mind() {
        for codec in [Compression::GZIP(GzipLevel::default()), Compression::BROTLI(BrotliLevel::default())] {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let file = packed(codec, version, 100_000, 3);
                assert!(at_once(&file, "a", 1 << 23).is_ok(), "{codec:?} {version:?}");
                let refused = at_once(&lying(&file), "a", 1 << 23).expect_err("a lie");
                assert_eq!(refused, "column `a` is damaged", "{codec:?} {version:?}");
            }
        }
    }

    #[test]
    fn what_is_not_packed_has_the_size_that_it_has_in_the_file() {
        let file = packed(Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0, 100_000, 5_000);
        let rows = at_once(&lying(&file), "a", 1 << 23).expect("readable");
        assert!((70..=84).contains(&rows), "{rows}");
    }

    #[test]
    fn a_header_counts_only_when_its_types_are_those_of_the_format() {
        let page = |bytes: &[u8]| Compact(bytes).page().map(|page| (page.unpacked, page.packed, page.levels));
        // Fields of type 5, a step of 1 each: a page of values, 8 bytes of 4.
        let values = [0x15, 0x00, 0x15, 0x10, 0x15, 0x08];
        assert_eq!(page(&[&values[..], &[0]].concat()), Some((8, 4, 0)));
        // As of version 2: six numbers, of which the last two are bytes of levels, and the flag.
        let second = [0x5C, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0x15, 4, 0x15, 2, 0x12, 0, 0];
        assert_eq!(page(&[&values[..], &second].concat()), Some((8, 4, 3)));
        for (why, bytes) in [
            ("the size has another type", vec![0x15, 0x00, 0x16, 0x10, 0x15, 0x08, 0]),
            ("the size is a flag", vec![0x15, 0x00, 0x11, 0x15, 0x08, 0]),
            ("the size is below nothing", vec![0x15, 0x00, 0x15, 0x0F, 0x15, 0x08, 0]),
            ("the number of a field has too many bits", vec![0x15, 0x00, 0x05, 0x84, 0x80, 0x08, 0x10, 0]),
            (
                "the packed size has too many bits",
                vec![0x15, 0, 0x15, 8, 0x15, 0x88, 0x80, 0x80, 0x80, 0x20, 0],
            ),
            ("an index has no values", vec![0x15, 0x02, 0x15, 0x10, 0x15, 0x08, 0]),
            ("the page has no type", vec![0x25, 0x10, 0x15, 0x08, 0]),
            ("a struct's number is a text", [&values[..], &[0x2C, 0x18, 1, b'x', 0, 0]].concat()),
            ("a list", [&values[..], &[0x69, 0x11, 1, 0]].concat()),
            ("more levels than bytes", [&values[..], &second[..9], &[0x15, 8, 0x15, 2, 0, 0]].concat()),
        ] {
            assert_eq!(page(&bytes), None, "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Compact(&bytes).page();
        }
    }
}
