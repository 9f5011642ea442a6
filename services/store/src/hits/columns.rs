//! Reading by column: which batches of hits there are, and chosen columns of chosen ones.
//!
//! A batch never changes: one that is sealed, merged or rewritten gets a new id, and no id comes
//! twice. So whoever has read a column of a batch need not read it again.

use std::{
    collections::HashMap,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{Int32Type, Int64Type},
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};
use sqlx::{Any, Row, Transaction};

use super::texts::Texts;
use crate::{
    ProjectId, Result, Store, StoreError,
    codec::few::{Few, Values},
    hit::day_of,
};

/// Batches that one statement reads; the statements have as many parameters.
const AT_ONCE: usize = 8;

/// Bytes of batches from which a statement reads no further one.
const BYTES_AT_ONCE: u64 = 32 << 20;

/// Names a batch of hits within its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BatchId {
    /// A row of `segments`: hits of one UTC day.
    Sealed(i64),
    /// A row of `inbox`: hits as they arrived, of any days.
    Unsealed(i64),
}

/// One batch of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub id: BatchId,
    /// Hits in it.
    pub rows: usize,
    /// Bytes as stored.
    pub bytes: u64,
    /// Time of its first hit, UTC milliseconds.
    pub min_ts: i64,
    /// Time of its last hit, UTC milliseconds.
    pub max_ts: i64,
}

/// The batches of one state of a project's hits: appends, seals and merges that happen meanwhile
/// are not seen.
pub struct Batches {
    transaction: Transaction<'static, Any>,
    project: ProjectId,
    list: Vec<Batch>,
}

impl Store {
    /// Opens a snapshot of the batches that may have hits with `from <= ts < to`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn batches(&self, project: ProjectId, from: i64, to: i64) -> Result<Batches> {
        let mut transaction = self.db.snapshot().await?;
        let list = sqlx::query(include_str!("../../sql/hits/batches.sql"))
            .bind(project.0)
            .bind(day_of(from))
            .bind(day_of(to.saturating_sub(1)))
            .bind(from)
            .bind(to)
            .fetch_all(&mut *transaction)
            .await?
            .iter()
            .map(|row| {
                let (sealed, id, rows, bytes): (i64, i64, i64, i64) =
                    (integer(row, 0)?, integer(row, 1)?, integer(row, 2)?, integer(row, 3)?);
                Ok(Batch {
                    id: if sealed == 1 { BatchId::Sealed(id) } else { BatchId::Unsealed(id) },
                    rows: usize::try_from(rows).unwrap_or_default(),
                    bytes: u64::try_from(bytes).unwrap_or_default(),
                    min_ts: integer(row, 4)?,
                    max_ts: integer(row, 5)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Batches { transaction, project, list })
    }
}

/// Databases give constants as narrower integers than columns.
fn integer(row: &sqlx::any::AnyRow, index: usize) -> Result<i64> {
    Ok(match row.try_get::<i64, _>(index) {
        Ok(value) => value,
        Err(_) => i64::from(row.try_get::<i32, _>(index)?),
    })
}

impl Batches {
    /// Whose they are.
    pub fn project(&self) -> ProjectId {
        self.project
    }

    /// The batches, sealed ones first, each kind by id.
    pub fn list(&self) -> &[Batch] {
        &self.list
    }

    /// Reads the first few of `wanted`, in any order; at least one of them, and no more than fit
    /// into memory with ease. Ask again for the rest.
    ///
    /// # Errors
    /// When the database fails, or stored hits are damaged or not of this snapshot.
    pub async fn read(&mut self, wanted: &[Batch]) -> Result<Vec<(BatchId, HitFile)>> {
        let Some(first) = wanted.first() else { return Ok(Vec::new()) };
        let sealed = matches!(first.id, BatchId::Sealed(_));
        let mut bytes = 0;
        let ids: Vec<i64> = wanted
            .iter()
            .map_while(|batch| match (batch.id, sealed) {
                (BatchId::Sealed(id), true) | (BatchId::Unsealed(id), false) => Some((id, batch.bytes)),
                _ => None,
            })
            .take(AT_ONCE)
            .take_while(|(_, size)| {
                let room = bytes < BYTES_AT_ONCE;
                bytes += size;
                room
            })
            .map(|(id, _)| id)
            .collect();
        let sql = if sealed {
            include_str!("../../sql/hits/read_sealed.sql")
        } else {
            include_str!("../../sql/hits/read_unsealed.sql")
        };
        let mut query = sqlx::query(sql).bind(self.project.0);
        for place in 0..AT_ONCE {
            query = query.bind(ids.get(place).or(ids.first()).copied());
        }
        let rows = query.fetch_all(&mut *self.transaction).await?;
        if rows.len() != ids.len() {
            return Err(StoreError::Damaged("a batch of hits is gone from its snapshot".into()));
        }
        rows.into_iter()
            .map(|row| {
                let id = row.try_get(0)?;
                let id = if sealed { BatchId::Sealed(id) } else { BatchId::Unsealed(id) };
                Ok((id, HitFile::new(row.try_get(1)?)))
            })
            .collect()
    }
}

/// A batch of hits as stored.
#[derive(Debug, Clone)]
pub struct HitFile(Bytes);

/// The values of one column, a row each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnValues {
    /// Texts: 0 is unknown, any other code one more than the place in `values`.
    Texts {
        /// A code a row.
        codes: Vec<u32>,
        /// The texts; some may not occur.
        values: Texts,
    },
    /// Integers.
    Integers(Vec<Option<i64>>),
    /// Flags.
    Flags(Vec<Option<bool>>),
}

impl ColumnValues {
    fn of(values: &Values<'_>) -> Self {
        match values {
            Values::Texts(texts) => {
                let (mut known, mut values) = (HashMap::new(), Texts::default());
                let mut code = |text| {
                    *known.entry(text).or_insert_with(|| {
                        values.push(text);
                        u32::try_from(values.len()).unwrap_or(u32::MAX)
                    })
                };
                let codes = texts.iter().map(|text| text.map_or(0, &mut code)).collect();
                Self::Texts { codes, values }
            }
            Values::Integers(values) => Self::Integers(values.clone()),
            Values::Flags(values) => Self::Flags(values.clone()),
        }
    }
}

impl HitFile {
    fn new(data: Vec<u8>) -> Self {
        Self(Bytes::from(data))
    }

    /// Reads the head of the file. This takes processor time: do it off the executor.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn open(&self) -> Result<HitColumns> {
        unpanicked(|| self.open_trusting())
    }

    fn open_trusting(&self) -> Result<HitColumns> {
        if let Some(few) = Few::read(&self.0)? {
            let of = |name| Some((name, ColumnValues::of(few.values(name)?)));
            let columns = few.names().into_iter().filter_map(of).collect();
            return Ok(HitColumns(Columns::Few { rows: few.rows(), columns }));
        }
        let plain = ArrowReaderMetadata::load(&self.0, ArrowReaderOptions::new())?;
        let fields: Vec<Field> = plain.schema().fields().iter().map(|field| as_codes(field)).collect();
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options)?;
        Ok(HitColumns(Columns::Parquet { data: self.0.clone(), metadata }))
    }
}

/// A text column is read as codes of its dictionary, without a copy of every text.
fn as_codes(field: &Field) -> Field {
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            Field::new(field.name(), text, field.is_nullable())
        }
        other => Field::new(field.name(), other.clone(), field.is_nullable()),
    }
}

/// The columns of a batch.
#[derive(Debug, Clone)]
pub struct HitColumns(Columns);

#[derive(Debug, Clone)]
enum Columns {
    /// Of few hits: all that they know something about.
    Few { rows: usize, columns: Vec<(&'static str, ColumnValues)> },
    /// Of a file, which is decoded column by column.
    Parquet { data: Bytes, metadata: ArrowReaderMetadata },
}

impl HitColumns {
    /// Hits in the batch.
    pub fn rows(&self) -> usize {
        match &self.0 {
            Columns::Few { rows, .. } => *rows,
            Columns::Parquet { metadata, .. } => {
                let groups = metadata.metadata().row_groups();
                groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).sum()
            }
        }
    }

    /// Decodes the column of a field of [`Hit`](crate::Hit), in the file's order; `None` when it is
    /// unknown in every row. This takes processor time: do it off the executor.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read(&self, field: &str) -> Result<Option<ColumnValues>> {
        match &self.0 {
            Columns::Few { columns, .. } => {
                Ok(columns.iter().find(|(name, _)| *name == field).map(|(_, values)| values.clone()))
            }
            Columns::Parquet { data, metadata } => unpanicked(|| read_trusting(data, metadata, field)),
        }
    }
}

fn read_trusting(data: &Bytes, metadata: &ArrowReaderMetadata, field: &str) -> Result<Option<ColumnValues>> {
    if metadata.schema().field_with_name(field).is_err() {
        return Ok(None);
    }
    let mut read = None;
    // A row group at a time, since each has a dictionary of its own.
    for (place, group) in metadata.metadata().row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows()).unwrap_or_default().max(1);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(data.clone(), metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), [field]);
        let batches =
            builder.with_projection(mask).with_row_groups(vec![place]).with_batch_size(rows).build()?;
        for batch in batches {
            let batch = batch?;
            let array = batch.columns().first().ok_or_else(|| damaged(field, "is missing"))?;
            append(&mut read, array, field)?;
        }
    }
    Ok(read.map(|read| read.values))
}

/// The reader of Parquet trusts some numbers of a file's head, and panics where they cannot be.
pub(super) fn unpanicked<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(StoreError::Damaged("its head contradicts itself".into())))
}

fn damaged(field: &str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("column {field} {what}"))
}

/// What was read so far; with the codes of texts, to unite the dictionaries of row groups.
struct Read {
    values: ColumnValues,
    known: HashMap<Box<str>, u32>,
}

fn append(read: &mut Option<Read>, array: &ArrayRef, field: &str) -> Result<()> {
    let wrong = || damaged(field, format!("has type {}", array.data_type()));
    let empty = |values| Read { values, known: HashMap::new() };
    match array.data_type() {
        DataType::Dictionary(..) => {
            let array = array.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
            let texts = array.values().as_string_opt::<i32>().ok_or_else(wrong)?;
            let first = read.is_none();
            let read = read.get_or_insert_with(|| {
                empty(ColumnValues::Texts { codes: Vec::new(), values: Texts::default() })
            });
            let ColumnValues::Texts { codes, values } = &mut read.values else { return Err(wrong()) };
            let places: Vec<u32> = if first {
                *values = Texts::with_capacity(texts.len(), texts.value_data().len());
                texts.iter().for_each(|text| values.push(text.unwrap_or_default()));
                (1..).take(values.len()).collect()
            } else {
                if read.known.is_empty() {
                    read.known = values.iter().map(Box::from).zip(1..).collect();
                }
                let mut place = |text: &str| match read.known.get(text) {
                    Some(place) => *place,
                    None => {
                        values.push(text);
                        let place = u32::try_from(values.len()).unwrap_or(u32::MAX);
                        read.known.insert(text.into(), place);
                        place
                    }
                };
                texts.iter().map(|text| place(text.unwrap_or_default())).collect()
            };
            let keys = array.keys();
            codes.reserve(keys.len());
            let place =
                |key: i32| usize::try_from(key).ok().and_then(|key| places.get(key)).copied().unwrap_or(0);
            if keys.null_count() == 0 {
                codes.extend(keys.values().iter().map(|key| place(*key)));
            } else {
                codes.extend(keys.iter().map(|key| key.map_or(0, place)));
            }
        }
        DataType::Int64 => {
            let array = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            let read = read.get_or_insert_with(|| empty(ColumnValues::Integers(Vec::new())));
            let ColumnValues::Integers(values) = &mut read.values else { return Err(wrong()) };
            if array.null_count() == 0 {
                values.extend(array.values().iter().copied().map(Some));
            } else {
                values.extend(array.iter());
            }
        }
        DataType::Boolean => {
            let read = read.get_or_insert_with(|| empty(ColumnValues::Flags(Vec::new())));
            let ColumnValues::Flags(values) = &mut read.values else { return Err(wrong()) };
            values.extend(array.as_boolean());
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Hit,
        codec::{self, Purpose},
    };
    use parquet::{
        arrow::ArrowWriter, arrow::arrow_reader::ParquetRecordBatchReader, file::properties::WriterProperties,
    };

    fn hits() -> Vec<Hit> {
        (0..100_i64)
            .map(|n| Hit {
                ts: n,
                path: (n % 7 != 0).then(|| format!("/p/{}", n % 30)),
                host: Some("h".into()),
                status: (n % 3 != 0).then_some(200),
                bot: (n % 5 != 0).then_some(n % 2 == 0),
                ..Hit::default()
            })
            .collect()
    }

    fn assert_reads(data: Vec<u8>, hits: &[Hit]) {
        let columns = HitFile::new(data).open().expect("open");
        assert_eq!(columns.rows(), hits.len());
        let texts = |field| match columns.read(field).expect("read") {
            Some(ColumnValues::Texts { codes, values }) => codes
                .iter()
                .map(|code| (*code > 0).then(|| values.get(*code as usize - 1).expect("text").to_owned()))
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(texts("path"), hits.iter().map(|hit| hit.path.clone()).collect::<Vec<_>>());
        assert_eq!(texts("host"), hits.iter().map(|hit| hit.host.clone()).collect::<Vec<_>>());
        let integers = |field| columns.read(field).expect("read");
        let wanted = ColumnValues::Integers(hits.iter().map(|hit| Some(hit.ts)).collect());
        assert_eq!(integers("ts"), Some(wanted));
        let wanted = hits.iter().map(|hit| hit.status.map(i64::from)).collect();
        assert_eq!(integers("status"), Some(ColumnValues::Integers(wanted)));
        let wanted = hits.iter().map(|hit| hit.bot).collect();
        assert_eq!(columns.read("bot").expect("read"), Some(ColumnValues::Flags(wanted)));
        assert_eq!(columns.read("user_agent").expect("read"), None);
    }

    #[test]
    fn columns_are_those_of_the_hits() {
        for (purpose, count) in [(Purpose::Inbox, 20), (Purpose::Inbox, 100), (Purpose::Segment, 100)] {
            let hits = &hits()[..count];
            assert_reads(codec::encode(hits, purpose).expect("encode"), hits);
        }
    }

    #[test]
    fn row_groups_and_encodings_make_no_difference() {
        let data = Bytes::from(codec::encode(&hits(), Purpose::Segment).expect("encode"));
        for dictionary in [true, false] {
            let batches = ParquetRecordBatchReader::try_new(data.clone(), 1_000).expect("read");
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(9))
                .set_dictionary_enabled(dictionary)
                .build();
            let mut writer = None;
            for batch in batches {
                let batch = batch.expect("batch");
                writer
                    .get_or_insert_with(|| {
                        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.clone()))
                            .expect("writer")
                    })
                    .write(&batch)
                    .expect("write");
            }
            let again = writer.expect("a batch").into_inner().expect("finish");
            assert_reads(again, &hits());
        }
    }

    #[test]
    fn junk_is_an_error_and_never_a_panic() {
        for (purpose, count) in [(Purpose::Inbox, 20), (Purpose::Segment, 100)] {
            let data = codec::encode(&hits()[..count], purpose).expect("encode");
            for cut in (0..data.len()).step_by(7) {
                assert!(HitFile::new(data[..cut].to_vec()).open().is_err());
            }
            for place in (0..data.len()).step_by(3) {
                let mut torn = data.clone();
                torn[place] ^= 0x55;
                let _ = HitFile::new(torn).open().and_then(|columns| columns.read("path"));
            }
        }
    }
}
