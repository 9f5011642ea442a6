//! Group commit: writers that wait at the same time share one transaction, and
//! each is answered after it is durable.

use sqlx::{Any, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Hit, ProjectId, Result, Store, StoreError,
    codec::{self, Purpose},
    db::{Db, Dialect},
};

/// Batches that may wait for the writer; further ones are refused at once.
const QUEUE: usize = 1_024;

/// Rows that one transaction writes at most.
const ROWS_PER_COMMIT: usize = 50_000;

struct Batch {
    project: ProjectId,
    hits: Vec<Hit>,
    done: oneshot::Sender<Result<()>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    queue: mpsc::Sender<Batch>,
}

impl Ingest {
    pub fn start(db: Db) -> Self {
        let (queue, batches) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(db, batches));
        Self { queue }
    }
}

impl Store {
    /// Writes hits of one project; they are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too many batches wait, [`StoreError::NoProject`]
    /// when the project was deleted, and whatever the database says. None of the
    /// batch is stored then, except when the connection broke while committing.
    pub async fn append(&self, project: ProjectId, hits: Vec<Hit>) -> Result<()> {
        if hits.is_empty() {
            return Ok(());
        }
        let (done, written) = oneshot::channel();
        self.ingest.queue.try_send(Batch { project, hits, done }).map_err(|_| StoreError::Overloaded)?;
        written.await.unwrap_or(Err(StoreError::Overloaded))
    }
}

async fn write_all(db: Db, mut batches: mpsc::Receiver<Batch>) {
    while let Some(first) = batches.recv().await {
        let mut rows = first.hits.len();
        let mut group = vec![first];
        while rows < ROWS_PER_COMMIT {
            let Ok(next) = batches.try_recv() else { break };
            rows += next.hits.len();
            group.push(next);
        }
        commit(&db, group).await;
    }
}

/// Batches of one project, to be stored as one row.
struct Row {
    project: ProjectId,
    hits: Vec<Hit>,
    waiting: Vec<oneshot::Sender<Result<()>>>,
}

async fn commit(db: &Db, group: Vec<Batch>) {
    let mut rows: Vec<Row> = Vec::new();
    for batch in group {
        match rows.iter_mut().find(|row| row.project == batch.project) {
            Some(row) => {
                row.hits.extend(batch.hits);
                row.waiting.push(batch.done);
            }
            None => rows.push(Row { project: batch.project, hits: batch.hits, waiting: vec![batch.done] }),
        }
    }
    // One order of locks for all replicas.
    rows.sort_by_key(|row| row.project);
    match try_commit(db, &mut rows).await {
        Ok(stored) => {
            for (row, stored) in rows.into_iter().zip(stored) {
                for done in row.waiting {
                    // The writer may have gone away; its hits are stored all the same.
                    let _ = done.send(if stored { Ok(()) } else { Err(StoreError::NoProject) });
                }
            }
        }
        Err(error) => {
            tracing::error!(%error, "hits could not be written");
            let text = error.to_string();
            for done in rows.into_iter().flat_map(|row| row.waiting) {
                let _ = done.send(Err(StoreError::Database(sqlx::Error::Protocol(text.clone()))));
            }
        }
    }
}

/// Tells for each row whether its project still exists.
async fn try_commit(db: &Db, rows: &mut [Row]) -> Result<Vec<bool>> {
    let sql = match db.dialect {
        Dialect::Sqlite => include_str!("../../sql/sqlite/append.sql"),
        Dialect::Postgres => include_str!("../../sql/postgres/append.sql"),
    };
    let mut transaction = db.begin().await?;
    let mut stored = Vec::with_capacity(rows.len());
    for row in rows {
        let hits = std::mem::take(&mut row.hits);
        stored.push(insert(&mut transaction, sql, row.project, hits).await?);
    }
    transaction.commit().await?;
    Ok(stored)
}

async fn insert(
    transaction: &mut Transaction<'static, Any>,
    sql: &'static str,
    project: ProjectId,
    hits: Vec<Hit>,
) -> Result<bool> {
    let min = hits.iter().map(|hit| hit.ts).min().unwrap_or_default();
    let max = hits.iter().map(|hit| hit.ts).max().unwrap_or_default();
    let count = i64::try_from(hits.len()).unwrap_or(i64::MAX);
    let data = if hits.len() < 256 {
        codec::encode(&hits, Purpose::Inbox)?
    } else {
        tokio::task::spawn_blocking(move || codec::encode(&hits, Purpose::Inbox))
            .await
            .map_err(|e| StoreError::Damaged(e.to_string()))??
    };
    let result = sqlx::query(sql)
        .bind(project.0)
        .bind(count)
        .bind(min)
        .bind(max)
        .bind(data)
        .execute(&mut **transaction)
        .await?;
    Ok(result.rows_affected() == 1)
}
