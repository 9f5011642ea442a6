//! Hits as they arrive.

use std::collections::VecDeque;

use sqlx::Row;

use crate::{Hit, ProjectId, Result, Store, StoreError, codec};

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
    /// this is for watching, not for keeping.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
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
        let cursor = rows.last().map(|row| row.try_get(0)).transpose()?.unwrap_or(cursor);
        let files: Vec<Vec<u8>> =
            rows.iter().map(|row| row.try_get(1)).collect::<std::result::Result<_, _>>()?;
        drop(rows);
        if files.is_empty() {
            return Ok(Arrivals { hits: Vec::new(), cursor });
        }
        let hits = tokio::task::spawn_blocking(move || last(files, most, keeps));
        let hits = hits.await.map_err(|e| StoreError::Damaged(e.to_string()))??;
        Ok(Arrivals { hits, cursor })
    }
}

/// The last hits of files that are wanted.
fn last(files: Vec<Vec<u8>>, most: usize, keeps: impl Fn(&Hit) -> bool) -> Result<Vec<Hit>> {
    let mut last = VecDeque::new();
    for file in files {
        codec::decode_each(file, None, |hits| {
            last.extend(hits.drain(..).filter(&keeps));
            last.drain(..last.len().saturating_sub(most));
        })?;
    }
    Ok(last.into())
}
