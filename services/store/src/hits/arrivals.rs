//! Hits as they arrive.

use sqlx::Row;

use super::read::decode;
use crate::{Hit, ProjectId, Result, Store};

/// Batches that one look takes at most.
const BATCHES: i64 = 64;

/// What has arrived since a cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// The hits, in the order of their arrival.
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

    /// Hits that arrived after a cursor, at most 64 posts of them. What was sealed between two looks
    /// is not among them: this is for watching, not for keeping.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn arrivals(&self, project: ProjectId, cursor: i64) -> Result<Arrivals> {
        let rows = sqlx::query(include_str!("../../sql/hits/arrivals.sql"))
            .bind(project.0)
            .bind(cursor)
            .bind(BATCHES)
            .fetch_all(self.db.read())
            .await?;
        let cursor = rows.last().map(|row| row.try_get(0)).transpose()?.unwrap_or(cursor);
        let files = rows.iter().map(|row| row.try_get(1)).collect::<std::result::Result<_, _>>()?;
        Ok(Arrivals { hits: decode(files).await?, cursor })
    }
}
