//! Marks on a project's time line, such as deployments.

use sqlx::Row;

use crate::{ProjectId, Result, Store};

/// Annotations that one answer holds at most.
const MOST: i64 = 1_000;

/// What is noted about one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAnnotation {
    /// The moment, UTC milliseconds.
    pub at: i64,
    /// What happened.
    pub text: String,
    /// Where to read on.
    pub url: Option<String>,
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Number within the store.
    pub id: i64,
    /// What it says.
    pub note: NewAnnotation,
}

impl Store {
    /// Notes something; returns its number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn annotate(&self, project: ProjectId, new: &NewAnnotation) -> Result<i64> {
        Ok(sqlx::query_scalar(include_str!("../sql/annotations/create.sql"))
            .bind(project.0)
            .bind(new.at)
            .bind(&new.text)
            .bind(new.url.as_deref())
            .fetch_one(self.db.write())
            .await?)
    }

    /// Annotations of moments with `from <= at < to`, newest first, at most 1,000.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn annotations(&self, project: ProjectId, from: i64, to: i64) -> Result<Vec<Annotation>> {
        sqlx::query(include_str!("../sql/annotations/list.sql"))
            .bind(project.0)
            .bind(from)
            .bind(to)
            .bind(MOST)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let note = NewAnnotation { at: row.try_get(1)?, text: row.try_get(2)?, url: row.try_get(3)? };
                Ok(Annotation { id: row.try_get(0)?, note })
            })
            .collect()
    }

    /// Deletes an annotation; tells whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_annotation(&self, project: ProjectId, id: i64) -> Result<bool> {
        let sql = "DELETE FROM annotations WHERE project_id = $1 AND id = $2";
        let done = sqlx::query(sql).bind(project.0).bind(id).execute(self.db.write()).await?;
        Ok(done.rows_affected() > 0)
    }
}
