//! Hits as Parquet. A column that a batch knows nothing about is left out, so
//! that a batch of one hit stays small; a missing column reads as null.

pub(crate) mod layout;

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchReader, StringArray, cast::AsArray,
    types::Int64Type,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::{
    ArrowWriter, ProjectionMask,
    arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};

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

/// Writes hits in their order.
pub(crate) fn encode(hits: &[Hit], purpose: Purpose) -> Result<Vec<u8>> {
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
        Purpose::Inbox => layout::inbox(hits.len()),
        Purpose::Segment => layout::segment(&layout::Spread::of(hits), layout::QUICK),
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
    /// For hits that know nothing but what is `named`.
    pub fn new(named: &BTreeSet<&str>, spread: &layout::Spread) -> Result<Self> {
        let wanted = || COLUMNS.iter().filter(|(name, _)| named.contains(name) || *name == "ts");
        let fields: Vec<_> =
            wanted().map(|(name, column)| Field::new(*name, column.data_type(), *name != "ts")).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = layout::segment(spread, layout::THOROUGH);
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
    let mut hits = Vec::new();
    decode_each(data, None, |batch| hits.append(batch))?;
    Ok(hits)
}

/// Reads a file a batch at a time, in its order: every column, or only those
/// named, with all else left unknown.
pub(crate) fn decode_each(
    data: Vec<u8>,
    wanted: Option<&[&str]>,
    mut each: impl FnMut(&mut Vec<Hit>),
) -> Result<()> {
    let mut reader = Reader::open(Bytes::from(data), wanted)?;
    while let Some(mut hits) = reader.next()? {
        each(&mut hits);
    }
    Ok(())
}

/// Reads a file a piece at a time.
pub(crate) struct Reader {
    batches: ParquetRecordBatchReader,
}

impl Reader {
    /// Every column, or only those named.
    pub fn open(data: Bytes, wanted: Option<&[&str]>) -> Result<Self> {
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(data)?.with_batch_size(8_192);
        if let Some(wanted) = wanted {
            let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.iter().copied());
            builder = builder.with_projection(mask);
        }
        Ok(Self { batches: builder.build()? })
    }

    /// The columns that the file has.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        let schema = self.batches.schema();
        COLUMNS.iter().map(|(name, _)| *name).filter(move |name| schema.column_with_name(name).is_some())
    }

    /// The next hits, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<Vec<Hit>>> {
        let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
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
            for (hit, value) in hits.iter_mut().zip(values) {
                if let Some(value) = value {
                    set(hit, value.to_owned());
                }
            }
        }
        Column::Integer(_, set) => {
            let values = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            for (hit, value) in hits.iter_mut().zip(values) {
                if let Some(value) = value {
                    set(hit, value);
                }
            }
        }
        Column::Flag(_, set) => {
            if array.data_type() != &DataType::Boolean {
                return Err(wrong());
            }
            for (hit, value) in hits.iter_mut().zip(array.as_boolean()) {
                if let Some(value) = value {
                    set(hit, value);
                }
            }
        }
    }
    Ok(())
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
    fn a_batch_of_one_hit_stays_small() {
        let hit = Hit { ts: 1, path: Some("/".into()), status: Some(200), ..Hit::default() };
        let size = encode(&[hit], Purpose::Inbox).expect("encode").len();
        assert!(size < 1_200, "{size} bytes");
    }
}
