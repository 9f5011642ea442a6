//! Where groups wait on disk while Postgres is away, bounded in bytes. A group
//! is on the disk before its clients are answered, and goes into the database
//! once, in the order in which groups came, when that is back.

mod files;
mod record;
mod replay;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) use replay::replay;

use self::{files::Files, record::Record};
use super::ingest::{Group, Marks, Outcome, Verdict, postgres::Turn};
use crate::{Result, StoreError, db::SpoolOptions, now_ms};

/// What waits in the spool, and what went through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Bytes that it may take.
    pub limit: u64,
    /// Batches put into it since the start.
    pub spooled: u64,
    /// Batches brought into the database from it since the start.
    pub replayed: u64,
    /// When the oldest that waits was spooled, UTC milliseconds; `None` when nothing waits.
    pub oldest: Option<i64>,
}

/// A spool that no other process uses.
#[derive(Debug)]
pub(crate) struct Spool {
    /// What it is known by in the database, also to the next process that has it.
    id: Uuid,
    directory: PathBuf,
    limit: u64,
    state: Mutex<State>,
    spooled: AtomicU64,
    replayed: AtomicU64,
    filled: Notify,
}

#[derive(Debug)]
struct State {
    files: Files,
    /// Number of the next group that the database has never been asked to write.
    turn: Turn,
    /// Of the groups that wait, so that a batch that is sent again is known.
    marks: Marks,
    oldest: Option<i64>,
}

impl Spool {
    /// Opens the directory; what waits there is replayed.
    pub async fn open(options: &SpoolOptions) -> Result<Self> {
        let SpoolOptions { directory, bytes } = options.clone();
        let spool = blocking(move || {
            let files = Files::open(&directory).map_err(|source| fault(&directory, source))?;
            let state = State { files, turn: Turn::first(), marks: Marks::default(), oldest: None };
            Ok(Self {
                id: id(&directory),
                directory,
                limit: bytes,
                state: Mutex::new(state),
                spooled: AtomicU64::new(0),
                replayed: AtomicU64::new(0),
                filled: Notify::new(),
            })
        })
        .await?;
        spool.filled.notify_one();
        Ok(spool)
    }

    /// Puts a group on the disk. `turn` is its number if the database was asked to
    /// write it under one.
    ///
    /// # Errors
    /// [`StoreError::SpoolFull`], also when the disk itself is full; the system's errors.
    pub async fn append(self: &Arc<Self>, turn: Option<Turn>, group: Group) -> Result<Vec<Outcome>> {
        let spool = Arc::clone(self);
        blocking(move || spool.append_blocking(turn, group)).await
    }

    fn append_blocking(&self, turn: Option<Turn>, mut group: Group) -> Result<Vec<Outcome>> {
        let mut state = self.lock();
        let mut outcomes = Vec::with_capacity(group.parts.len());
        let mut parts = Vec::with_capacity(group.parts.len());
        for part in group.parts {
            let verdict =
                part.mark.as_ref().map_or(Verdict::New, |mark| state.marks.judge(part.project, mark));
            match verdict {
                Verdict::New => parts.push(part),
                // Whole: what of it is in the database is known when it is replayed.
                Verdict::Rest(_) => parts.push(part),
                Verdict::Repeat => {
                    outcomes.push(Outcome::Repeated);
                    continue;
                }
                Verdict::Other => {
                    outcomes.push(Outcome::KeyReused);
                    continue;
                }
            }
            outcomes.push(Outcome::Stored);
        }
        if parts.is_empty() {
            return Ok(outcomes);
        }
        group.parts = parts;
        // Each file has a writer of its own, so that one that was kept aside counts as new behind those that
        // came after it.
        if state.files.begins_another() {
            state.turn = Turn::first();
        }
        // Never twice the same number: a record that could not be put may be there after all.
        let own = state.turn;
        state.turn = own.next();
        let record = Record { turn: turn.unwrap_or(own), at: now_ms(), group };
        let bytes = record.encode();
        let put = if state.files.bytes() + bytes.len() as u64 > self.limit {
            Err(StoreError::SpoolFull)
        } else {
            state.files.put(&bytes).map_err(|source| match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::SpoolFull,
                _ => fault(&self.directory, source),
            })
        };
        if let Err(error) = put {
            state.forget(&record);
            return Err(error);
        }
        state.oldest.get_or_insert(record.at);
        drop(state);
        self.spooled.fetch_add(u64::from(record.group.batches), Ordering::Relaxed);
        self.filled.notify_one();
        Ok(outcomes)
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.files.bytes() == 0 && state.oldest.is_none()
    }

    pub fn status(&self) -> SpoolStatus {
        let state = self.lock();
        SpoolStatus {
            bytes: state.files.bytes(),
            limit: self.limit,
            spooled: self.spooled.load(Ordering::Relaxed),
            replayed: self.replayed.load(Ordering::Relaxed),
            oldest: state.oldest,
        }
    }

    /// The oldest group that waits, and its bytes.
    async fn oldest(self: &Arc<Self>) -> Result<Option<(Record, u64)>> {
        let spool = Arc::clone(self);
        blocking(move || {
            let mut state = spool.lock();
            let found = state.files.oldest().map_err(|source| fault(&spool.directory, source))?;
            state.oldest = found.as_ref().map(|(record, _)| record.at);
            if found.is_none() {
                // Of groups that could not be read: one that is sent again is new.
                state.marks = Marks::default();
            }
            Ok(found)
        })
        .await
    }

    /// The oldest group is in the database.
    async fn done(self: &Arc<Self>, record: Record, bytes: u64) -> Result<()> {
        let spool = Arc::clone(self);
        blocking(move || {
            let mut state = spool.lock();
            state.forget(&record);
            state.files.take(bytes).map_err(|source| fault(&spool.directory, source))?;
            spool.replayed.fetch_add(u64::from(record.group.batches), Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, record: &Record) {
        for part in &record.group.parts {
            if let Some(mark) = &part.mark {
                self.marks.forget(part.project, mark);
            }
        }
    }
}

/// The id of the spool in a directory. A new one does where none can be kept.
fn id(directory: &Path) -> Uuid {
    let path = directory.join("id");
    let kept = fs::read_to_string(&path).ok().and_then(|text| text.parse().ok());
    kept.unwrap_or_else(|| {
        let id = Uuid::new_v4();
        if let Err(error) = fs::write(&path, id.to_string()) {
            tracing::warn!(%error, "the spool's id could not be kept");
        }
        id
    })
}

fn fault(directory: &Path, source: std::io::Error) -> StoreError {
    StoreError::File { path: directory.display().to_string(), source }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Unwritten(e.to_string()))?
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        Hit, ProjectId,
        hits::ingest::{Identity, Mark, Part},
    };

    #[tokio::test]
    async fn what_is_sent_again_is_new_when_what_waited_of_it_could_not_be_read() {
        let directory = TempDir::new().expect("directory");
        let options = SpoolOptions { directory: directory.path().to_owned(), bytes: 1 << 20 };
        let spool = Arc::new(Spool::open(&options).await.expect("open"));
        let send = async || {
            let hits = [Hit::default()];
            let key = Identity::Key { key: b"k".to_vec(), payload: [1; 32] };
            let part = Part::new(ProjectId(1), &hits, Mark::new(key, &hits)).expect("encode");
            spool.append(None, Group { parts: vec![part], batches: 1 }).await.expect("append")
        };
        assert_eq!(send().await, [Outcome::Stored]);
        assert_eq!(send().await, [Outcome::Repeated]);
        let path = directory.path().join("0000000000000000.spool");
        let length = fs::read(&path).expect("read").len();
        fs::write(&path, vec![0; length]).expect("damage");
        assert_eq!(spool.oldest().await.expect("read"), None);
        assert_eq!(send().await, [Outcome::Stored]);
        assert!(spool.oldest().await.expect("read").is_some());
    }

    #[tokio::test]
    async fn each_file_has_a_writer_of_its_own() {
        let directory = TempDir::new().expect("directory");
        let options = SpoolOptions { directory: directory.path().to_owned(), bytes: 1 << 20 };
        let spool = Arc::new(Spool::open(&options).await.expect("open"));
        let mut files = Vec::new();
        for _ in 0..2 {
            let mut turns = Vec::new();
            for _ in 0..2 {
                let part = Part::new(ProjectId(1), &[Hit::default()], None).expect("encode");
                spool.append(None, Group { parts: vec![part], batches: 1 }).await.expect("append");
            }
            // Once all is taken, the next record begins a file.
            while let Some((record, bytes)) = spool.oldest().await.expect("read") {
                turns.push(record.turn);
                spool.done(record, bytes).await.expect("take");
            }
            files.push(turns);
        }
        for turns in &files {
            assert_eq!((turns.len(), turns[0].next()), (2, turns[1]));
        }
        assert_ne!(files[0][0].writer, files[1][0].writer);
    }
}
