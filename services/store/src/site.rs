//! Websites that report their views as those of site-analytics do: who speaks for one, and how far
//! the processing of its addresses has come.

use std::{collections::HashMap, fmt};

use sha2::{Digest, Sha256};
use sqlx::Row;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::{ProjectId, Result, Store, addresses, hits::seal};

/// The project that the installation's secret opens unless another is named.
pub const DEFAULT_SITE_PROJECT: &str = "site";

/// Idle time that ends a session unless another is set, milliseconds.
pub const DEFAULT_VISIT_IDLE: i64 = 600_000;

/// What a bare `Authorization` header opens: the installation's secret opens the project of its
/// website, a project's API key that project.
#[derive(Clone)]
pub struct SiteAccess {
    secret: Option<[u8; 32]>,
    project: String,
}

impl SiteAccess {
    /// `secret` opens the project called `project`; without one, only API keys open anything.
    pub fn new(secret: Option<&str>, project: impl Into<String>) -> Self {
        Self { secret: secret.map(|secret| Sha256::digest(secret).into()), project: project.into() }
    }

    /// The name of the project that the secret opens.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Whether what was presented is the secret; `None` where it is no guess at it: there is none, nothing
    /// was presented, or an API key, of whose 122 random bits nobody guesses any.
    pub fn guess(&self, presented: &[u8]) -> Option<bool> {
        let is_guess = self.secret.is_some() && !presented.is_empty() && api_key(presented).is_none();
        is_guess.then(|| self.is_secret(presented))
    }

    /// Compares by digest and in constant time, so that neither content nor length leaks.
    fn is_secret(&self, presented: &[u8]) -> bool {
        self.secret.is_some_and(|secret| secret.ct_eq(&Sha256::digest(presented)).into())
    }
}

impl fmt::Debug for SiteAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteAccess").field("project", &self.project).finish_non_exhaustive()
    }
}

fn api_key(presented: &[u8]) -> Option<Uuid> {
    std::str::from_utf8(presented).ok()?.parse().ok()
}

impl Store {
    /// The project that an `Authorization` header opens, which is compared as it is, without a scheme.
    /// The project of the installation's secret is made when it is first needed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_project(&self, access: &SiteAccess, presented: &[u8]) -> Result<Option<ProjectId>> {
        if access.is_secret(presented) {
            return Ok(Some(self.project_named(&access.project).await?.id));
        }
        match api_key(presented) {
            Some(key) => Ok(self.project_by_key(key).await?.map(|project| project.id)),
            None => Ok(None),
        }
    }

    /// Notes that a website reports to a project, so that its addresses are processed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_site(&self, project: ProjectId) -> Result<()> {
        sqlx::query("INSERT INTO sites (project_id) VALUES ($1) ON CONFLICT (project_id) DO NOTHING")
            .bind(project.0)
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// The projects that websites report to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sites(&self) -> Result<Vec<ProjectId>> {
        let ids: Vec<i64> = sqlx::query_scalar("SELECT project_id FROM sites ORDER BY project_id")
            .fetch_all(self.db.read())
            .await?;
        Ok(ids.into_iter().map(ProjectId).collect())
    }

    /// How many hits of each day the processing of a project's addresses has looked at.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn processed_days(&self, project: ProjectId) -> Result<HashMap<i64, usize>> {
        sqlx::query("SELECT day, rows FROM site_days WHERE project_id = $1")
            .bind(project.0)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let rows: i64 = row.try_get(1)?;
                Ok((row.try_get(0)?, usize::try_from(rows).unwrap_or_default()))
            })
            .collect()
    }

    /// Notes how many hits of a day were looked at.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_processed_day(&self, project: ProjectId, day: i64, rows: usize) -> Result<()> {
        sqlx::query(include_str!("../sql/sites/put_day.sql"))
            .bind(project.0)
            .bind(day)
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// Drops the days of a site before `day` whose hits were all processed, with what is known of
    /// addresses that were not seen since; returns the hits dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_processed_days(&self, project: ProjectId, day: i64) -> Result<u64> {
        // What still lies in the inbox would otherwise keep its day.
        self.seal_all().await?;
        let mut transaction = self.db.begin().await?;
        seal::wait_for_seals(&mut transaction, self.db.dialect, project).await?;
        let finished = sqlx::query(include_str!("../sql/sites/finished_days.sql"))
            .bind(project.0)
            .bind(day)
            .fetch_all(&mut *transaction)
            .await?;
        let mut dropped = 0;
        for row in finished {
            let (day, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            dropped += u64::try_from(rows).unwrap_or_default();
            for sql in [
                "DELETE FROM segments WHERE project_id = $1 AND day = $2",
                "DELETE FROM site_days WHERE project_id = $1 AND day = $2",
            ] {
                sqlx::query(sql).bind(project.0).bind(day).execute(&mut *transaction).await?;
            }
        }
        sqlx::query("DELETE FROM addresses WHERE project_id = $1 AND last_seen < $2")
            .bind(project.0)
            .bind(day.saturating_mul(crate::DAY_MS))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(dropped)
    }

    /// Deletes every hit of a site and what is known of its addresses; the project stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clear_site(&self, project: ProjectId) -> Result<()> {
        let mut transaction = self.db.begin().await?;
        seal::wait_for_seals(&mut transaction, self.db.dialect, project).await?;
        addresses::note_erasure(&mut transaction, project).await?;
        for sql in [
            "DELETE FROM inbox WHERE project_id = $1",
            "DELETE FROM segments WHERE project_id = $1",
            "DELETE FROM addresses WHERE project_id = $1",
            "DELETE FROM site_days WHERE project_id = $1",
        ] {
            sqlx::query(sql).bind(project.0).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
