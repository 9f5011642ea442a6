//! Group commit: batches that wait at the same time share one transaction, and
//! each is answered after it is durable.

mod group;
mod identity;
pub(super) mod postgres;
mod sqlite;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use group::{Group, Part};
pub use identity::Identity;
pub(super) use identity::{Kind, Mark, MarkKey, Marks, Verdict};

use super::spool::Spool;
use crate::{Hit, ProjectId, Result, Store, StoreError, db::Db};

/// Batches that may wait for a writer; further ones are refused at once.
const QUEUE: usize = 4_096;

/// Rows that one transaction writes at most.
const ROWS_PER_COMMIT: usize = 50_000;

/// Groups under way at once on Postgres: while one waits for the disk, the next is made.
const WRITERS: usize = 2;

/// Longest wait for the database where there is no spool.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest wait for the database before a batch goes to the spool.
const PATIENCE_WITH_SPOOL: Duration = Duration::from_secs(2);

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
    identity: Option<Identity>,
    done: oneshot::Sender<Result<Appended>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    queue: mpsc::Sender<Batch>,
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
                    writers.spawn(super::spool::replay(link, spool, closed.clone()));
                }
            }
        }
        writers.close();
        Self { queue, writers, closed }
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
    /// [`StoreError::Overloaded`] when too many batches wait, [`StoreError::NoProject`]
    /// when the project was deleted, [`StoreError::SpoolFull`], and whatever the
    /// database says. None of the batch is stored then, except when the connection
    /// broke while committing and there is no spool.
    pub async fn append(&self, project: ProjectId, hits: Vec<Hit>) -> Result<()> {
        self.enqueue(project, hits, None).await.map(drop)
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
        self.enqueue(project, hits, Some(identity)).await
    }

    async fn enqueue(
        &self,
        project: ProjectId,
        hits: Vec<Hit>,
        identity: Option<Identity>,
    ) -> Result<Appended> {
        if hits.is_empty() {
            return Ok(Appended::Repeated);
        }
        let (done, written) = oneshot::channel();
        let closed = || StoreError::Database(sqlx::Error::PoolClosed);
        self.ingest.queue.try_send(Batch { project, hits, identity, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        written.await.unwrap_or_else(|_| Err(closed()))
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
                tracing::error!(%error, "hits could not be written");
                answers.all(&error);
            }
        }
    }
}

/// All that waits; waits for the first. Empty when nobody will come any more.
async fn waiting(batches: &Mutex<mpsc::Receiver<Batch>>) -> Vec<Batch> {
    let mut batches = batches.lock().await;
    let Some(first) = batches.recv().await else { return Vec::new() };
    let mut rows = first.hits.len();
    let mut waiting = vec![first];
    while rows < ROWS_PER_COMMIT {
        let Ok(next) = batches.try_recv() else { break };
        rows += next.hits.len();
        waiting.push(next);
    }
    waiting
}

/// When to stop waiting for the database.
fn deadline(spool: bool) -> Instant {
    Instant::now() + if spool { PATIENCE_WITH_SPOOL } else { PATIENCE }
}
