//! Writing hits, a batch at a time, into bytes that are taken away as they come.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value};

use super::{Format, columns, field, parquet::ParquetWriter};
use crate::{Hit, Result, StoreError, codec::COLUMNS};

/// Writes hits in one format.
pub struct HitWriter {
    sink: Sink,
    encoder: Encoder,
}

enum Encoder {
    Csv(Box<csv::Writer<Sink>>),
    Ndjson,
    Parquet(Box<ParquetWriter<Sink>>),
}

/// Bytes that were written and not yet taken.
#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl HitWriter {
    /// A writer that has written what precedes the first hit.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn new(format: Format) -> Result<Self> {
        let sink = Sink::default();
        let encoder = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(sink.clone());
                csv.write_record(columns()).map_err(damaged)?;
                Encoder::Csv(Box::new(csv))
            }
            Format::Ndjson => Encoder::Ndjson,
            Format::Parquet => Encoder::Parquet(Box::new(ParquetWriter::new(sink.clone())?)),
        };
        Ok(Self { sink, encoder })
    }

    /// Writes hits and gives the bytes that are ready; Parquet keeps up to a row group back.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn write(&mut self, hits: &[Hit]) -> Result<Vec<u8>> {
        match &mut self.encoder {
            Encoder::Csv(csv) => {
                for hit in hits {
                    let cells = COLUMNS.iter().map(|(_, column)| field::to_cell(hit, column));
                    csv.write_record(cells.map(String::into_bytes)).map_err(damaged)?;
                }
                csv.flush().map_err(damaged)?;
            }
            Encoder::Ndjson => {
                for hit in hits {
                    let known = COLUMNS.iter().filter_map(|(name, column)| {
                        Some(((*name).to_owned(), field::to_json(hit, column)?))
                    });
                    let line = Value::Object(known.collect::<Map<_, _>>()).to_string();
                    writeln!(self.sink, "{line}").map_err(damaged)?;
                }
            }
            Encoder::Parquet(parquet) => parquet.write(hits)?,
        }
        Ok(self.sink.take())
    }

    /// Ends the file and gives its last bytes.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn finish(self) -> Result<Vec<u8>> {
        match self.encoder {
            Encoder::Csv(mut csv) => csv.flush().map_err(damaged)?,
            Encoder::Ndjson => {}
            Encoder::Parquet(parquet) => parquet.finish()?,
        }
        Ok(self.sink.take())
    }
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(error.to_string())
}
