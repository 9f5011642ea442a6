//! Hits as they arrive.

use std::collections::VecDeque;

use sqlx::Row;

use super::{columns::BatchId, damaged::give_each};
use crate::{Hit, ProjectId, Result, Store, StoreError};

/// Batches that one look takes at most.
const BATCHES: i64 = 64;

/// Hits that one look takes at most beyond its first batch, which bounds what it reads.
const ROWS: i64 = 10_000;

/// What has arrived since a cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// The last of the hits that were wanted, in the order of their arrival.
    pub hits: Vec<Hit>,
    /// Where the next look starts.
    pub cursor: i64,
}

impl Store {
    /// The cursor after which nothing has arrived yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn arrival_cursor(&self, project: ProjectId) -> Result<i64> {
        let sql = "SELECT COALESCE(MAX(id), 0) FROM inbox WHERE project_id = $1";
        Ok(sqlx::query_scalar(sql).bind(project.0).fetch_one(self.db.read()).await?)
    }

    /// Hits that arrived after a cursor, a look at a time: of some ten thousand, the last `most` that
    /// `keeps` wants, and no more are in memory. What was sealed between two looks is not among them:
    /// this is for watching, not for keeping. Damaged batches are passed over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn arrivals(
        &self,
        project: ProjectId,
        cursor: i64,
        most: usize,
        keeps: impl Fn(&Hit) -> bool + Send + 'static,
    ) -> Result<Arrivals> {
        let rows = sqlx::query(include_str!("../../sql/hits/arrivals.sql"))
            .bind(project.0)
            .bind(cursor)
            .bind(BATCHES)
            .bind(ROWS)
            .fetch_all(self.db.read())
            .await?;
        let files: Vec<(i64, Vec<u8>)> =
            rows.into_iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_>>()?;
        let Some((cursor, _)) = files.last() else { return Ok(Arrivals { hits: Vec::new(), cursor }) };
        let cursor = *cursor;
        let hits = tokio::task::spawn_blocking(move || last(project, files, most, keeps));
        let hits = hits.await.map_err(|e| StoreError::Damaged(e.to_string()))??;
        Ok(Arrivals { hits, cursor })
    }
}

/// The last hits of files that are wanted.
fn last(
    project: ProjectId,
    files: Vec<(i64, Vec<u8>)>,
    most: usize,
    keeps: impl Fn(&Hit) -> bool,
) -> Result<Vec<Hit>> {
    let mut last = VecDeque::new();
    for (id, file) in files {
        give_each((project, BatchId::Unsealed(id)), file, None, |hits| {
            last.extend(hits.into_iter().filter(&keeps));
            last.drain(..last.len().saturating_sub(most));
            true
        })?;
    }
    Ok(last.into())
}
