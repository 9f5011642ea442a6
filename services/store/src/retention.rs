//! What is older than its retention goes, and so do hits whose project is gone.

use std::time::Duration;

use crate::{DAY_MS, Result, Store, db::Dialect, hit::day_of, now_ms};

/// How long a batch that is sent again is known.
const BATCHES: Duration = Duration::from_secs(24 * 3_600);

/// How long a writer is known; a spool that is replayed later than this could double its first group.
const WRITERS: Duration = Duration::from_secs(90 * 24 * 3_600);

/// How long the log of notices goes back at most.
const NOTICES: Duration = Duration::from_secs(90 * 24 * 3_600);

/// How long a project is kept that has no name and nothing in it, and that nobody looks at.
const UNUSED: Duration = Duration::from_secs(180 * 24 * 3_600);

/// How long data is kept; `None` keeps it for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Hits, in whole UTC days.
    pub hits: Option<Duration>,
    /// Results of checks.
    pub checks: Option<Duration>,
}

impl Store {
    /// Drops what is past its retention, of each project the shorter of the installation's and its
    /// own; returns the rows dropped.
    ///
    /// # Errors
    /// When the database fails; running it again continues.
    pub async fn expire(&self, retention: Retention) -> Result<u64> {
        let before =
            |age: Duration| now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let mut dropped = 0;
        if let Some(age) = retention.hits {
            let day = day_of(before(age));
            for sql in [
                "DELETE FROM segments WHERE day < $1 / 86400000",
                "DELETE FROM inbox WHERE max_ts < $1",
                "DELETE FROM addresses WHERE last_seen < $1",
                "DELETE FROM site_days WHERE day < $1 / 86400000",
            ] {
                dropped += sqlx::query(sql)
                    .bind(day.saturating_mul(DAY_MS))
                    .execute(self.db.write())
                    .await?
                    .rows_affected();
            }
        }
        for (project, age) in self.own_retentions().await? {
            let day = day_of(before(age));
            for sql in [
                "DELETE FROM segments WHERE project_id = $2 AND day < $1 / 86400000",
                "DELETE FROM inbox WHERE project_id = $2 AND max_ts < $1",
                "DELETE FROM addresses WHERE project_id = $2 AND last_seen < $1",
                "DELETE FROM site_days WHERE project_id = $2 AND day < $1 / 86400000",
            ] {
                dropped += sqlx::query(sql)
                    .bind(day.saturating_mul(DAY_MS))
                    .bind(project.0)
                    .execute(self.db.write())
                    .await?
                    .rows_affected();
            }
        }
        if let Some(age) = retention.checks {
            for sql in [
                "DELETE FROM checks WHERE at < $1",
                "DELETE FROM transitions WHERE at < $1",
                "DELETE FROM check_batches WHERE last_at < $1",
                "DELETE FROM check_segments WHERE day <= $1 / 86400000 AND last_at < $1",
            ] {
                dropped += sqlx::query(sql).bind(before(age)).execute(self.db.write()).await?.rows_affected();
            }
        }
        dropped += sqlx::query("DELETE FROM notices WHERE finished_at < $1")
            .bind(before(retention.checks.unwrap_or(NOTICES).min(NOTICES)))
            .execute(self.db.write())
            .await?
            .rows_affected();
        dropped += self.drop_unused_projects(before(UNUSED)).await?;
        dropped += self.forget_batches().await?;
        dropped += self.forget_salts().await?;
        dropped += sqlx::query("DELETE FROM sessions WHERE expires_at < $1")
            .bind(now_ms())
            .execute(self.db.write())
            .await?
            .rows_affected();
        // An append or a processing that raced with the deletion of its project may have left some.
        for sql in [
            "DELETE FROM inbox WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)",
            "DELETE FROM segments WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)",
            "DELETE FROM addresses WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)",
            "DELETE FROM sites WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)",
            "DELETE FROM site_days WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)",
        ] {
            dropped += sqlx::query(sql).execute(self.db.write()).await?.rows_affected();
        }
        Ok(dropped)
    }

    /// Forgets what was noted of batches that nobody will send again, and of writers that are gone.
    async fn forget_batches(&self) -> Result<u64> {
        let ago = |age: Duration| now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let forgotten = sqlx::query("DELETE FROM batches WHERE created_at < $1")
            .bind(ago(BATCHES))
            .execute(self.db.write())
            .await?
            .rows_affected();
        if self.db.dialect == Dialect::Postgres {
            sqlx::query("DELETE FROM writers WHERE written_at < $1")
                .bind(ago(WRITERS))
                .execute(self.db.write())
                .await?;
        }
        Ok(forgotten)
    }
}
