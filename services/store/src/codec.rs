//! Hits as Parquet. A column that a batch knows nothing about is left out, so
//! that a batch of one hit stays small; a missing column reads as null.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type,
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
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

enum Column {
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
const COLUMNS: &[(&str, Column)] = &[
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
        let array: ArrayRef = match column {
            Column::Text(get, _) => Arc::new(hits.iter().map(get).collect::<StringArray>()),
            Column::Integer(get, _) => Arc::new(hits.iter().map(get).collect::<Int64Array>()),
            Column::Flag(get, _) => Arc::new(hits.iter().map(get).collect::<BooleanArray>()),
        };
        if array.null_count() == array.len() && *name != "ts" {
            continue;
        }
        fields.push(Field::new(*name, array.data_type().clone(), array.null_count() > 0));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    let properties = WriterProperties::builder()
        .set_compression(match purpose {
            Purpose::Inbox => Compression::UNCOMPRESSED,
            Purpose::Segment => Compression::ZSTD(ZstdLevel::default()),
        })
        .set_dictionary_enabled(purpose == Purpose::Segment || hits.len() > 64)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
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
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(data))?.with_batch_size(8_192);
    if let Some(wanted) = wanted {
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.iter().copied());
        builder = builder.with_projection(mask);
    }
    for batch in builder.build()? {
        let batch = batch?;
        let mut hits = Vec::new();
        hits.resize_with(batch.num_rows(), Hit::default);
        for (name, column) in COLUMNS {
            if let Some(array) = batch.column_by_name(name) {
                fill(&mut hits, array, name, column)?;
            }
        }
        each(&mut hits);
    }
    Ok(())
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
