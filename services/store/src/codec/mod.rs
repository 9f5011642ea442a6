//! Hits as bytes: Parquet, or what is shorter for few of them. A column that a batch knows nothing about
//! is left out; a missing column reads as null.

pub(crate) mod few;
pub(crate) mod layout;

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchReader, StringArray, cast::AsArray,
    types::Int64Type,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    file::metadata::{KeyValue, ParquetMetaData},
};

use self::few::Few;
use crate::{Hit, Result, StoreError};

/// What a batch is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Read again within seconds or minutes: quick to write.
    Inbox,
    /// Kept for months: small.
    Segment,
}

pub(crate) enum Column {
    Text(fn(&Hit) -> Option<&str>, fn(&mut Hit, String)),
    Integer(fn(&Hit) -> Option<i64>, fn(&mut Hit, i64)),
    Flag(fn(&Hit) -> Option<bool>, fn(&mut Hit, bool)),
}

macro_rules! text {
    ($field:ident) => {
        (stringify!($field), Column::Text(|h| h.$field.as_deref(), |h, v| h.$field = Some(v)))
    };
}
macro_rules! integer {
    ($field:ident) => {
        (stringify!($field), Column::Integer(|h| h.$field, |h, v| h.$field = Some(v)))
    };
}
macro_rules! flag {
    ($field:ident) => {
        (stringify!($field), Column::Flag(|h| h.$field, |h, v| h.$field = Some(v)))
    };
}

/// Every column: its name in the file is the field's name.
pub(crate) const COLUMNS: &[(&str, Column)] = &[
    ("ts", Column::Integer(|h| Some(h.ts), |h, v| h.ts = v)),
    text!(source),
    text!(method),
    text!(host),
    text!(path),
    text!(query),
    text!(route),
    ("status", Column::Integer(|h| h.status.map(i64::from), |h, v| h.status = i32::try_from(v).ok())),
    integer!(duration_us),
    integer!(request_bytes),
    integer!(response_bytes),
    text!(http_version),
    text!(ip),
    text!(user_agent),
    text!(user),
    text!(referrer),
    text!(country),
    text!(framework),
    integer!(visitor),
    text!(client),
    text!(os),
    text!(device),
    flag!(bot),
    flag!(home),
    text!(log),
];

/// Hits from which a batch of the inbox is Parquet: the dictionaries of as many make up for its head.
const MANY: usize = 64;

/// Hits that are read at once, at most.
const PIECE: usize = 8_192;

/// Bytes of texts that are read at once, at most: a few bytes of a file may stand for long texts in
/// every hit, and a merge reads eight files at a time.
const PIECE_TEXT: usize = 8 << 20;

/// Hits that are read at once where it is not known how long their texts are.
const PIECE_OF_UNKNOWN: usize = 1_024;

/// What a segment's file calls the bytes of texts that the longest of its hits has.
const LONGEST: &str = "watchkeeper.longest_hit";

/// Bytes of a hit's texts.
pub(crate) fn text_bytes(hit: &Hit) -> usize {
    let length = |column: &Column| match column {
        Column::Text(get, _) => get(hit).map_or(0, str::len),
        Column::Integer(..) | Column::Flag(..) => 0,
    };
    COLUMNS.iter().map(|(_, column)| length(column)).sum()
}

/// Hits that may be held at once when the longest has so many bytes of texts.
pub(crate) fn at_once(longest: Option<usize>) -> usize {
    longest.map_or(PIECE_OF_UNKNOWN, |longest| (PIECE_TEXT / longest.max(1)).clamp(1, PIECE))
}

/// Writes hits in their order.
pub(crate) fn encode(hits: &[Hit], purpose: Purpose) -> Result<Vec<u8>> {
    if purpose == Purpose::Inbox && hits.len() < MANY {
        return few::write(hits);
    }
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, column) in COLUMNS {
        let array = column.array(hits);
        if array.null_count() == array.len() && *name != "ts" {
            continue;
        }
        fields.push(Field::new(*name, array.data_type().clone(), array.null_count() > 0));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    let properties = match purpose {
        Purpose::Inbox => layout::inbox(),
        Purpose::Segment => {
            let longest = hits.iter().map(text_bytes).max().unwrap_or_default();
            layout::segment(&layout::Spread::of(hits), layout::QUICK, note(Some(longest)))
        }
    };
    let mut writer = ArrowWriter::try_new(Vec::with_capacity(4_096), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// Writes a segment a piece at a time, in memory that does not grow with its hits.
pub(crate) struct Encoder {
    columns: Vec<&'static Column>,
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl Encoder {
    /// For hits that know nothing but what is `named`, the longest of which has so many bytes of texts.
    pub fn new(named: &BTreeSet<&str>, spread: &layout::Spread, longest: Option<usize>) -> Result<Self> {
        let wanted = || COLUMNS.iter().filter(|(name, _)| named.contains(name) || *name == "ts");
        let fields: Vec<_> =
            wanted().map(|(name, column)| Field::new(*name, column.data_type(), *name != "ts")).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = layout::segment(spread, layout::THOROUGH, note(longest));
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
        Ok(Self { columns: wanted().map(|(_, column)| column).collect(), schema, writer })
    }

    pub fn write(&mut self, hits: &[Hit]) -> Result<()> {
        let arrays = self.columns.iter().map(|column| column.array(hits)).collect();
        Ok(self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)?)
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        Ok(self.writer.into_inner()?)
    }
}

/// Reads all hits of a file, in its order.
pub(crate) fn decode(data: Vec<u8>) -> Result<Vec<Hit>> {
    let mut reader = Reader::open(Bytes::from(data), None)?;
    let mut hits = Vec::new();
    while let Some(mut some) = reader.next()? {
        hits.append(&mut some);
    }
    Ok(hits)
}

/// What a file says of its longest hit.
fn note(longest: Option<usize>) -> Option<Vec<KeyValue>> {
    longest.map(|bytes| vec![KeyValue::new(LONGEST.to_owned(), bytes.to_string())])
}

fn noted(metadata: &ParquetMetaData) -> Option<usize> {
    let notes = metadata.file_metadata().key_value_metadata()?;
    notes.iter().find(|note| note.key == LONGEST)?.value.as_ref()?.parse().ok()
}

/// Reads a file a piece at a time.
pub(crate) struct Reader {
    pieces: Pieces,
    columns: Vec<&'static str>,
    longest: Option<usize>,
    unpacked: u64,
}

enum Pieces {
    /// All at once, until they were read.
    Few(Option<Vec<Hit>>),
    Parquet(ParquetRecordBatchReader),
}

impl Reader {
    /// Every column, or only those named.
    pub fn open(data: Bytes, wanted: Option<&[&str]>) -> Result<Self> {
        if let Some(few) = Few::read(&data)? {
            let pieces = Pieces::Few(Some(few.hits(wanted)?));
            return Ok(Self { pieces, columns: few.names(), longest: None, unpacked: data.len() as u64 });
        }
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(data)?;
        let longest = noted(builder.metadata());
        let pages = builder.metadata().row_groups().iter().map(|group| group.total_byte_size());
        let unpacked = pages.map(|bytes| u64::try_from(bytes).unwrap_or_default()).sum::<u64>();
        builder = builder.with_batch_size(at_once(longest));
        if let Some(wanted) = wanted {
            let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.iter().copied());
            builder = builder.with_projection(mask);
        }
        let batches = builder.build()?;
        let schema = batches.schema();
        let named = |name: &&str| schema.column_with_name(name).is_some();
        let columns = COLUMNS.iter().map(|(name, _)| *name).filter(named).collect();
        Ok(Self { pieces: Pieces::Parquet(batches), columns, longest, unpacked })
    }

    /// Bytes of texts that the longest hit has, if the file says it.
    pub fn longest(&self) -> Option<usize> {
        self.longest
    }

    /// Bytes of the file's pages, unpacked. Each text of a dictionary counts once.
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// The columns that the file has.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().copied()
    }

    /// The next hits, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<Vec<Hit>>> {
        let batches = match &mut self.pieces {
            Pieces::Few(hits) => return Ok(hits.take().filter(|hits| !hits.is_empty())),
            Pieces::Parquet(batches) => batches,
        };
        let Some(batch) = batches.next().transpose()? else { return Ok(None) };
        let mut hits = Vec::new();
        hits.resize_with(batch.num_rows(), Hit::default);
        for (name, column) in COLUMNS {
            if let Some(array) = batch.column_by_name(name) {
                fill(&mut hits, array, name, column)?;
            }
        }
        Ok(Some(hits))
    }
}

impl Column {
    fn data_type(&self) -> DataType {
        match self {
            Self::Text(..) => DataType::Utf8,
            Self::Integer(..) => DataType::Int64,
            Self::Flag(..) => DataType::Boolean,
        }
    }

    fn array(&self, hits: &[Hit]) -> ArrayRef {
        match self {
            Self::Text(get, _) => Arc::new(hits.iter().map(get).collect::<StringArray>()),
            Self::Integer(get, _) => Arc::new(hits.iter().map(get).collect::<Int64Array>()),
            Self::Flag(get, _) => Arc::new(hits.iter().map(get).collect::<BooleanArray>()),
        }
    }
}

fn fill(hits: &mut [Hit], array: &ArrayRef, name: &str, column: &Column) -> Result<()> {
    let wrong = || StoreError::Damaged(format!("column {name} has type {}", array.data_type()));
    match column {
        Column::Text(_, set) => {
            let values = array.as_string_opt::<i32>().ok_or_else(wrong)?;
            set_known(hits, values, |hit, value| set(hit, value.to_owned()));
        }
        Column::Integer(_, set) => {
            set_known(hits, array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?, set);
        }
        Column::Flag(_, set) => {
            if array.data_type() != &DataType::Boolean {
                return Err(wrong());
            }
            set_known(hits, array.as_boolean(), set);
        }
    }
    Ok(())
}

/// Sets a field of each hit whose value is known.
fn set_known<T>(hits: &mut [Hit], values: impl IntoIterator<Item = Option<T>>, set: impl Fn(&mut Hit, T)) {
    for (hit, value) in hits.iter_mut().zip(values) {
        if let Some(value) = value {
            set(hit, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

    fn hits() -> impl Strategy<Value = Vec<Hit>> {
        let text = || option::of(".{0,20}");
        let one = (
            any::<i64>(),
            (text(), text(), text(), text(), text()),
            option::of(any::<i32>()),
            option::of(any::<i64>()),
            option::of(any::<bool>()),
        )
            .prop_map(|(ts, (path, host, user_agent, ip, user), status, duration_us, bot)| Hit {
                ts,
                path,
                host,
                user_agent,
                ip,
                user,
                status,
                duration_us,
                bot,
                ..Hit::default()
            });
        vec(one, 0..200)
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(hits in hits()) {
            for purpose in [Purpose::Inbox, Purpose::Segment] {
                let data = encode(&hits, purpose).expect("encode");
                prop_assert_eq!(&decode(data).expect("decode"), &hits);
            }
        }

        #[test]
        fn junk_is_an_error_and_never_a_panic(junk in vec(any::<u8>(), 0..500)) {
            prop_assert!(decode(junk).is_err());
        }
    }

    #[test]
    fn the_longer_the_texts_the_fewer_hits_are_read_at_once() {
        let pieces = |length: usize, hits: usize, purpose| {
            let hit = Hit { path: Some("x".repeat(length)), ..Hit::default() };
            let data = encode(&vec![hit; hits], purpose).expect("encode");
            let mut reader = Reader::open(data.into(), None).expect("open");
            std::iter::from_fn(|| reader.next().expect("read")).map(|hits| hits.len()).collect::<Vec<_>>()
        };
        assert_eq!(pieces(10, 3_000, Purpose::Segment), [3_000]);
        assert_eq!(pieces(8 << 10, 3_000, Purpose::Segment), [1_024, 1_024, 952]);
        assert_eq!(pieces(80 << 10, 300, Purpose::Segment), [102, 102, 96]);
        assert_eq!(pieces(10, 3_000, Purpose::Inbox), [1_024, 1_024, 952], "a batch does not say it");
    }

    #[test]
    fn a_batch_of_one_hit_stays_small() {
        let hit = Hit { ts: 1, path: Some("/".into()), status: Some(200), ..Hit::default() };
        let size = encode(&[hit], Purpose::Inbox).expect("encode").len();
        assert!(size < 40, "{size} bytes");
    }
}
