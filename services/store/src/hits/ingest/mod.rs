//! Group commit: batches that wait at the same time share one transaction, and
//! each is answered after it is durable.

mod group;
mod identity;
pub(super) mod postgres;
mod sqlite;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use group::{Group, Part};
pub use identity::Identity;
pub(super) use identity::{Kind, Mark, MarkKey, Marks, Verdict};

use super::{TEXT, spool::Spool};
use crate::{Hit, ProjectId, Result, Store, StoreError, codec::text_bytes, db::Db};

/// Batches that may wait for a writer; further ones are refused at once.
const QUEUE: usize = 4_096;

/// Hits that may wait or be written at once, KiB; further ones are refused at once. Whoever sent them may
/// have gone: nothing else bounds them then.
const ROOM_KIB: u32 = 192 * 1_024;

/// Rows from which a transaction takes no further batch.
const ROWS_PER_COMMIT: usize = 50_000;

/// Groups under way at once on Postgres: while one waits for the disk, the next is made.
const WRITERS: usize = 2;

/// Longest wait for the database where there is no spool.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest wait for the database before a batch goes to the spool.
const PATIENCE_WITH_SPOOL: Duration = Duration::from_secs(2);

/// Time between two words about hits that cannot be written: there may be thousands a second.
const QUIET: Duration = Duration::from_secs(10);

/// Whether a batch that is durable has only now become it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// All of it, or what was new of it, was stored now.
    Stored,
    /// All of it was stored before.
    Repeated,
}

/// A batch that waits.
struct Batch {
    project: ProjectId,
    hits: Vec<Hit>,
    /// Bytes of their texts.
    text: usize,
    identity: Option<Identity>,
    sender: Sender,
}

/// Who waits for a batch, and the room that its hits take until they are written.
struct Sender {
    done: oneshot::Sender<Result<Appended>>,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    queue: mpsc::Sender<Batch>,
    room: Arc<Semaphore>,
    writers: TaskTracker,
    closed: CancellationToken,
}

impl Ingest {
    pub fn start(db: Db, spool: Option<Arc<Spool>>) -> Self {
        let (queue, batches) = mpsc::channel(QUEUE);
        let batches = Arc::new(Mutex::new(batches));
        let (writers, closed) = (TaskTracker::new(), CancellationToken::new());
        match db.postgres().cloned() {
            None => drop(writers.spawn(write_all(sqlite::Writer::new(db), batches, closed.clone()))),
            Some(options) => {
                for _ in 0..WRITERS {
                    let writer = postgres::Writer::new(options.clone(), spool.clone());
                    writers.spawn(write_all(writer, Arc::clone(&batches), closed.clone()));
                }
                if let Some(spool) = spool {
                    let link = postgres::Link::new(options);
                    writers.spawn(super::spool::replay(link, db, spool, closed.clone()));
                }
            }
        }
        writers.close();
        Self { queue, room: room(), writers, closed }
    }

    /// Puts a batch into the queue, and waits until it is written. The hits stay in the queue, and take
    /// their room, when this is dropped.
    async fn append(
        &self,
        project: ProjectId,
        hits: Vec<Hit>,
        identity: Option<Identity>,
    ) -> Result<Appended> {
        if hits.is_empty() {
            return Ok(Appended::Repeated);
        }
        let text: usize = hits.iter().map(text_bytes).sum();
        let size = (text + hits.len() * size_of::<Hit>()) / 1_024 + 1;
        // What would not fit at all has the whole room to itself.
        let size = u32::try_from(size).map_or(ROOM_KIB, |size| size.min(ROOM_KIB));
        let room = Arc::clone(&self.room).try_acquire_many_owned(size).map_err(|_| StoreError::Overloaded)?;
        let (done, written) = oneshot::channel();
        let closed = || StoreError::Database(sqlx::Error::PoolClosed);
        let batch = Batch { project, hits, text, identity, sender: Sender { done, _room: room } };
        self.queue.try_send(batch).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        written.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the writers finish what they are at, and refuses everything after it.
    pub async fn close(&self) {
        self.closed.cancel();
        self.writers.wait().await;
    }
}

impl Store {
    /// Writes hits of one project; they are durable when this returns: in the
    /// database, or in the spool while the database is away.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too much waits, [`StoreError::NoProject`]
    /// when the project was deleted, [`StoreError::SpoolFull`], and whatever the
    /// database says. None of the batch is stored then, except when the connection
    /// broke while committing and there is no spool.
    pub async fn append(&self, project: ProjectId, hits: Vec<Hit>) -> Result<()> {
        self.ingest.append(project, hits, None).await.map(drop)
    }

    /// As [`Store::append`], for a batch that its client may send again: what is
    /// known by its identity already is not stored twice.
    ///
    /// # Errors
    /// As [`Store::append`], and [`StoreError::KeyReused`].
    pub async fn append_once(
        &self,
        project: ProjectId,
        hits: Vec<Hit>,
        identity: Identity,
    ) -> Result<Appended> {
        self.ingest.append(project, hits, Some(identity)).await
    }
}

/// Where groups of batches go.
trait Write {
    /// Writes a group and tells for each of its parts what became of it. An
    /// error is everybody's.
    fn write(&mut self, group: Group) -> impl Future<Output = Result<Vec<Outcome>>> + Send;
}

/// What became of a part of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is durable now.
    Stored,
    /// It was durable before.
    Repeated,
    /// Its project was deleted.
    NoProject,
    /// Its key stands for another payload.
    KeyReused,
}

impl From<Outcome> for Result<Appended> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Stored => Ok(Appended::Stored),
            Outcome::Repeated => Ok(Appended::Repeated),
            Outcome::NoProject => Err(StoreError::NoProject),
            Outcome::KeyReused => Err(StoreError::KeyReused),
        }
    }
}

async fn write_all(
    mut writer: impl Write + Send,
    batches: Arc<Mutex<mpsc::Receiver<Batch>>>,
    closed: CancellationToken,
) {
    let mut told: Option<Instant> = None;
    loop {
        let waiting = tokio::select! {
            biased;
            () = closed.cancelled() => return batches.lock().await.close(),
            waiting = waiting(&batches) => waiting,
        };
        if waiting.is_empty() {
            return;
        }
        let (group, answers) = group::make(waiting).await;
        let written = match group {
            Ok(group) => writer.write(group).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(outcomes) => answers.each(&outcomes),
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() >= QUIET) {
                    tracing::error!(%error, "hits could not be written");
                    told = Some(Instant::now());
                }
                answers.all(&error);
            }
        }
    }
}

fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM_KIB as usize))
}

/// All that waits, up to what one transaction takes; waits for the first. Empty when nobody will come any
/// more.
async fn waiting(batches: &Mutex<mpsc::Receiver<Batch>>) -> Vec<Batch> {
    let mut batches = batches.lock().await;
    let Some(first) = batches.recv().await else { return Vec::new() };
    let (mut rows, mut text) = (first.hits.len(), first.text);
    let mut waiting = vec![first];
    while rows < ROWS_PER_COMMIT && text < TEXT {
        let Ok(next) = batches.try_recv() else { break };
        rows += next.hits.len();
        text += next.text;
        waiting.push(next);
    }
    waiting
}

/// When to stop waiting for the database.
fn deadline(spool: bool) -> Instant {
    Instant::now() + if spool { PATIENCE_WITH_SPOOL } else { PATIENCE }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// The queue of a store that writes nothing.
    fn unwritten() -> (Ingest, Mutex<mpsc::Receiver<Batch>>) {
        let (queue, batches) = mpsc::channel(QUEUE);
        let ingest =
            Ingest { queue, room: room(), writers: TaskTracker::new(), closed: CancellationToken::new() };
        (ingest, Mutex::new(batches))
    }

    fn hits(text: usize) -> Vec<Hit> {
        vec![Hit { path: Some("x".repeat(text)), ..Hit::default() }]
    }

    /// Appends for a client that goes at once; whether the hits were taken.
    async fn abandon(ingest: &Ingest, hits: Vec<Hit>) -> bool {
        match timeout(Duration::ZERO, ingest.append(ProjectId(1), hits, None)).await {
            Err(_) => true,
            Ok(refused) => {
                assert!(matches!(refused, Err(StoreError::Overloaded)), "{refused:?}");
                false
            }
        }
    }

    #[tokio::test]
    async fn hits_whose_clients_have_gone_take_room_until_they_are_written() {
        let (ingest, batches) = unwritten();
        let mut taken = 0;
        while abandon(&ingest, hits(10 << 20)).await {
            taken += 1;
        }
        assert_eq!(taken, 19, "of ten MiB each");
        drop(waiting(&batches).await);
        assert!(abandon(&ingest, hits(10 << 20)).await, "those that were written take none");
    }

    #[tokio::test]
    async fn a_batch_of_any_size_is_taken_when_nothing_waits() {
        let (ingest, _batches) = unwritten();
        assert!(abandon(&ingest, hits(200 << 20)).await);
        assert!(!abandon(&ingest, hits(1)).await);
    }

    #[tokio::test]
    async fn a_group_ends_with_the_batch_whose_texts_are_enough() {
        let (ingest, batches) = unwritten();
        for _ in 0..3 {
            assert!(abandon(&ingest, hits(TEXT / 2 + 1)).await);
        }
        assert_eq!(waiting(&batches).await.len(), 2);
        assert_eq!(waiting(&batches).await.len(), 1);
    }
}
