//! Parquet for other engines: every column stands in the file, also one that is unknown throughout,
//! so that all files of an installation have one schema.

use std::{io::Write, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{
        Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    file::{properties::WriterProperties, reader::ChunkReader},
};

use super::{field, pages};
use crate::{
    Hit, Result,
    codec::{COLUMNS, Column},
};

/// Rows of a row group: what a writer keeps back at most.
const ROWS: usize = 65_536;

/// Rows that are decoded at once, at most.
const BATCH: usize = 4_096;

/// Bytes that unpacked pages may take, and as many those rows.
const MEMORY: u64 = 128 << 20;

pub(super) struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub fn new(sink: W) -> Result<Self> {
        let fields = COLUMNS.iter().map(|(name, column)| {
            let data = match column {
                Column::Text(..) => DataType::Utf8,
                Column::Integer(..) => DataType::Int64,
                Column::Flag(..) => DataType::Boolean,
            };
            Field::new(*name, data, *name != "ts")
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROWS))
            .build();
        Ok(Self { writer: ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties))?, schema })
    }

    pub fn write(&mut self, hits: &[Hit]) -> Result<()> {
        let arrays = COLUMNS.iter().map(|(_, column)| -> ArrayRef {
            match column {
                Column::Text(get, _) => Arc::new(hits.iter().map(get).collect::<StringArray>()),
                Column::Integer(get, _) => Arc::new(hits.iter().map(get).collect::<Int64Array>()),
                Column::Flag(get, _) => Arc::new(hits.iter().map(get).collect::<BooleanArray>()),
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect())?;
        Ok(self.writer.write(&batch)?)
    }

    pub fn finish(mut self) -> Result<()> {
        self.writer.finish()?;
        Ok(())
    }
}

/// A row, or the field and reason that it cannot be one.
pub(super) type Read = std::result::Result<Hit, (String, String)>;

/// Reads a file, whose columns may have any integer, timestamp or text type of Parquet. Gives the
/// names of columns that mean nothing here. Nothing is unpacked that would not fit in [`MEMORY`].
pub(super) fn read<R: ChunkReader + 'static>(
    file: R,
    mut each: impl FnMut(Read) -> bool,
) -> std::result::Result<Vec<String>, String> {
    // What the writer noted of Arrow's own types does not matter: Parquet's say enough, and are fewer.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&file, options).map_err(|e| e.to_string())?;
    let names: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
    if !names.iter().any(|name| name == "ts") {
        return Err("there is no column `ts`".into());
    }
    let known = |name: &str| COLUMNS.iter().any(|(known, _)| *known == name);
    let rows = pages::rows_at_once(&file, metadata.metadata(), known, BATCH, MEMORY)?;
    let unknown = names.into_iter().filter(|name| !known(name)).collect();
    let wanted = ProjectionMask::columns(metadata.parquet_schema(), COLUMNS.iter().map(|(name, _)| *name));
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_projection(wanted)
        .with_batch_size(rows);
    for batch in builder.build().map_err(|e| e.to_string())? {
        let batch = batch.map_err(|e| e.to_string())?;
        let mut rows: Vec<Read> = vec![Ok(Hit::default()); batch.num_rows()];
        for (name, column) in COLUMNS {
            let Some(array) = batch.column_by_name(name) else { continue };
            fill(&mut rows, name, column, array)?;
        }
        if !rows.into_iter().all(&mut each) {
            break;
        }
    }
    Ok(unknown)
}

fn fill(rows: &mut [Read], name: &str, column: &Column, array: &ArrayRef) -> std::result::Result<(), String> {
    let wrong = || format!("column `{name}` has type {}, which cannot be read", array.data_type());
    let mut set = |index: usize, put: &mut dyn FnMut(&mut Hit) -> std::result::Result<(), String>| {
        if let Some(row) = rows.get_mut(index)
            && let Ok(hit) = row
            && let Err(why) = put(hit)
        {
            *row = Err((name.to_owned(), why));
        }
    };
    match column {
        Column::Text(..) => {
            let texts = array.as_string_opt::<i32>().ok_or_else(wrong)?;
            for (index, value) in texts.iter().enumerate() {
                if let Some(value) = value {
                    set(index, &mut |hit| field::text(hit, column, value));
                }
            }
        }
        Column::Flag(_, put) => {
            let flags = array.as_boolean_opt().ok_or_else(wrong)?;
            for (index, value) in flags.iter().enumerate() {
                if let Some(value) = value {
                    set(index, &mut |hit| {
                        put(hit, value);
                        Ok(())
                    });
                }
            }
        }
        Column::Integer(..) => {
            let numbers = integers(array).ok_or_else(wrong)?;
            for (index, value) in numbers.into_iter().enumerate() {
                match value {
                    Some(value) => set(index, &mut |hit| {
                        let value = i64::try_from(value).map_err(|_| "is too large")?;
                        field::integer(hit, name, column, value)
                    }),
                    None if name == "ts" => set(index, &mut |_| Err("is missing".into())),
                    None => {}
                }
            }
        }
    }
    Ok(())
}

/// Numbers of any integer type, all of which have room in the one given; moments of any precision that
/// Parquet has are milliseconds.
fn integers(array: &ArrayRef) -> Option<Vec<Option<i128>>> {
    macro_rules! all {
        ($type:ty, $convert:expr) => {
            array.as_primitive::<$type>().iter().map(|value| value.map($convert)).collect()
        };
    }
    Some(match array.data_type() {
        DataType::Int64 => all!(Int64Type, i128::from),
        DataType::Int32 => all!(Int32Type, i128::from),
        DataType::Int16 => all!(Int16Type, i128::from),
        DataType::Int8 => all!(Int8Type, i128::from),
        DataType::UInt64 => all!(UInt64Type, i128::from),
        DataType::UInt32 => all!(UInt32Type, i128::from),
        DataType::UInt16 => all!(UInt16Type, i128::from),
        DataType::UInt8 => all!(UInt8Type, i128::from),
        DataType::Timestamp(TimeUnit::Millisecond, _) => all!(TimestampMillisecondType, i128::from),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            all!(TimestampMicrosecondType, |value: i64| i128::from(value.div_euclid(1_000)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            all!(TimestampNanosecondType, |value: i64| i128::from(value.div_euclid(1_000_000)))
        }
        _ => return None,
    })
}
