//! Marks on a project's time line, such as deployments.

use sqlx::Row;

use crate::{ProjectId, Result, Store};

/// Annotations that one answer holds at most.
const MOST: i64 = 1_000;

/// Annotations that a project has at most.
pub const MOST_ANNOTATIONS: i64 = 10_000;

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
    /// Notes something; returns its number, or `None` when the project has [`MOST_ANNOTATIONS`]. Several
    /// at once may go beyond that by a few.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn annotate(&self, project: ProjectId, new: &NewAnnotation) -> Result<Option<i64>> {
        self.annotate_below(MOST_ANNOTATIONS, project, new).await
    }

    async fn annotate_below(
        &self,
        most: i64,
        project: ProjectId,
        new: &NewAnnotation,
    ) -> Result<Option<i64>> {
        Ok(sqlx::query_scalar(include_str!("../sql/annotations/create.sql"))
            .bind(project.0)
            .bind(new.at)
            .bind(&new.text)
            .bind(new.url.as_deref())
            .bind(most)
            .fetch_optional(self.db.write())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_both;

    on_both! { a_project_has_so_many_annotations_and_no_more }

    async fn a_project_has_so_many_annotations_and_no_more(store: &Store) {
        let note = NewAnnotation { at: 1, text: "n".into(), url: None };
        let (one, other) = (ProjectId(1), ProjectId(2));
        let annotate = async |project| store.annotate_below(2, project, &note).await.expect("annotate");
        let first = annotate(one).await.expect("there is room");
        assert!(annotate(one).await.is_some());
        assert_eq!(annotate(one).await, None);
        assert!(annotate(other).await.is_some(), "another project has room of its own");
        assert!(store.delete_annotation(one, first).await.expect("delete"));
        assert!(annotate(one).await.is_some());
        assert_eq!(store.annotations(one, 0, 2).await.expect("list").len(), 2);
    }
}
