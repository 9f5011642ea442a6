//! Importing: rows are read on a thread of their own and stored in batches while they come, so
//! that a file of any length needs the memory of a few batches.

use std::{fs::File, io::Read, time::Duration};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Format, parquet, read};
use crate::{
    Hit, Identity, ProjectId, Store, StoreError,
    codec::{COLUMNS, Column, text_bytes},
};

/// Hits that are stored at once, at most.
const BATCH: usize = 5_000;

/// Bytes of their texts from which fewer are.
const BYTES: usize = 16 << 20;

/// Rows that cannot be read and are told of one by one.
const ERRORS: usize = 20;

/// How often a batch is tried again while too many others wait.
const PATIENCE: u32 = 100;

/// Where a file's bytes come from.
pub enum Source {
    /// A file on this machine.
    File(File),
    /// Bytes as they arrive. Parquet has its table of contents at its end, so one that comes this
    /// way is read into memory first: bound it.
    Stream(Box<dyn Read + Send>),
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The row's number, the first is 1; a header is none.
    pub row: u64,
    /// The field at fault; empty for the whole row.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// What became of a file's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows read.
    pub rows: u64,
    /// Hits that are stored, durably.
    pub imported: u64,
    /// Rows that were not taken.
    pub rejected: u64,
    /// The first of those.
    pub errors: Vec<RowError>,
    /// Columns that mean nothing here and were passed over.
    pub ignored: Vec<String>,
}

/// Why an import ended early; what it says is imported stays.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct ImportError {
    /// The reason.
    #[source]
    pub cause: ImportCause,
    /// What had been done by then.
    pub done: Imported,
}

/// The reasons.
#[derive(Debug, thiserror::Error)]
pub enum ImportCause {
    /// The file cannot be read, or not to its end.
    #[error("{0}")]
    File(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// What the reading thread tells.
enum Step {
    Hits { hits: Vec<Hit>, rows: u64, digest: [u8; 32] },
    End { rows: u64, rejected: u64, errors: Vec<RowError>, outcome: read::Outcome },
}

impl Store {
    /// Stores the hits of a file, and tells `progress` after each batch. `change` sees every hit
    /// before it is stored. Dropping the future stops the import; what was stored stays.
    ///
    /// Under a `key`, the same file is stored once however often it is imported, also after an import
    /// that ended early: what it had stored is not stored again.
    ///
    /// # Errors
    /// When the file cannot be read or the store fails, with what had been imported by then;
    /// [`StoreError::KeyReused`] when the key stands for another file.
    pub async fn import(
        &self,
        project: ProjectId,
        format: Format,
        source: Source,
        key: Option<Vec<u8>>,
        change: impl Fn(&mut Hit) + Send + 'static,
        mut progress: impl FnMut(&Imported),
    ) -> Result<Imported, ImportError> {
        let (steps, mut received) = mpsc::channel(2);
        let whole = key.is_some();
        tokio::task::spawn_blocking(move || parse(format, source, change, whole, &steps));
        let (mut done, mut batch) = (Imported::default(), 0_u64);
        while let Some(step) = received.recv().await {
            match step {
                Step::Hits { hits, rows, digest } => {
                    let count = hits.len() as u64;
                    let identity = key.as_deref().map(|key| identity(key, batch, digest));
                    batch += 1;
                    if let Err(error) = self.append_patiently(project, hits, identity).await {
                        return Err(ImportError { cause: ImportCause::Store(error), done });
                    }
                    done.imported += count;
                    done.rows = rows;
                    progress(&done);
                }
                Step::End { rows, rejected, errors, outcome } => {
                    done = Imported { rows, rejected, errors, ..done };
                    return match outcome {
                        Ok(ignored) => Ok(Imported { ignored, ..done }),
                        Err(why) => Err(ImportError { cause: ImportCause::File(why), done }),
                    };
                }
            }
        }
        Err(ImportError { cause: ImportCause::File("reading it broke off".into()), done })
    }

    /// Appends, and waits where clients would be told to come back.
    async fn append_patiently(
        &self,
        project: ProjectId,
        hits: Vec<Hit>,
        identity: Option<Identity>,
    ) -> crate::Result<()> {
        for _ in 0..PATIENCE {
            let appended = match identity.clone() {
                None => self.append(project, hits.clone()).await,
                Some(identity) => self.append_once(project, hits.clone(), identity).await.map(drop),
            };
            match appended {
                Err(StoreError::Overloaded) => tokio::time::sleep(Duration::from_millis(100)).await,
                done => return done,
            }
        }
        Err(StoreError::Overloaded)
    }
}

/// What a batch of a file is known by, apart from whatever else has the file's key.
fn identity(key: &[u8], batch: u64, payload: [u8; 32]) -> Identity {
    Identity::Key { key: [b"import\0", key, &batch.to_be_bytes()].concat(), payload }
}

/// Reads a file. `whole`: the last batch counts only when the file was read to its end, for it is
/// another one when the file comes again.
fn parse(format: Format, source: Source, change: impl Fn(&mut Hit), whole: bool, steps: &mpsc::Sender<Step>) {
    let (mut rows, mut rejected, mut errors, mut hits) = (0, 0, Vec::new(), Vec::new());
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut each = |row: parquet::Read| {
        rows += 1;
        match row {
            Ok(mut hit) => {
                if whole {
                    note(&mut digest, &hit);
                }
                bytes += text_bytes(&hit);
                change(&mut hit);
                hits.push(hit);
            }
            Err((field, message)) => {
                rejected += 1;
                if errors.len() < ERRORS {
                    errors.push(RowError { row: rows, field, message });
                }
            }
        }
        // Who imports has gone when nobody takes the batch.
        if hits.len() < BATCH && bytes < BYTES {
            return true;
        }
        bytes = 0;
        let (hits, digest) = (std::mem::take(&mut hits), digest.finalize_reset().into());
        steps.blocking_send(Step::Hits { hits, rows, digest }).is_ok()
    };
    let outcome = match (format, source) {
        (Format::Csv, Source::File(file)) => read::csv(file, &mut each),
        (Format::Csv, Source::Stream(stream)) => read::csv(stream, &mut each),
        (Format::Ndjson, Source::File(file)) => read::ndjson(file, &mut each),
        (Format::Ndjson, Source::Stream(stream)) => read::ndjson(stream, &mut each),
        (Format::Parquet, Source::File(file)) => parquet::read(file, &mut each),
        (Format::Parquet, Source::Stream(mut stream)) => {
            let mut bytes = Vec::new();
            let whole = stream.read_to_end(&mut bytes).map_err(|error| error.to_string());
            whole.and_then(|_| parquet::read(Bytes::from(bytes), &mut each))
        }
    };
    if !hits.is_empty() && (outcome.is_ok() || !whole) {
        let _ = steps.blocking_send(Step::Hits { hits, rows, digest: digest.finalize().into() });
    }
    let _ = steps.blocking_send(Step::End { rows, rejected, errors, outcome });
}

/// Adds a hit to the digest of its batch: what is known of it, by name, so that a release with more
/// columns finds the same.
fn note(digest: &mut Sha256, hit: &Hit) {
    for (name, column) in COLUMNS {
        let mut put = |value: &[u8]| {
            digest.update(name);
            digest.update(value.len().to_be_bytes());
            digest.update(value);
        };
        match column {
            Column::Text(get, _) => get(hit).into_iter().for_each(|text| put(text.as_bytes())),
            Column::Integer(get, _) => get(hit).into_iter().for_each(|number| put(&number.to_be_bytes())),
            Column::Flag(get, _) => get(hit).into_iter().for_each(|flag| put(&[flag.into()])),
        }
    }
    digest.update([0]);
}

/// A name of a stranger's, short enough to be repeated.
pub(super) fn short(name: &str) -> String {
    name[..name.floor_char_boundary(64)].to_owned()
}
