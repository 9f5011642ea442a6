//! What is older than its retention goes, and so do hits whose project is gone.

use std::time::Duration;

use crate::{DAY_MS, Result, Store, hit::day_of, now_ms};

/// How long data is kept; `None` keeps it for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Hits, in whole UTC days.
    pub hits: Option<Duration>,
    /// Results of checks.
    pub checks: Option<Duration>,
}

impl Store {
    /// Drops what is past its retention; returns the rows dropped.
    ///
    /// # Errors
    /// When the database fails; running it again continues.
    pub async fn expire(&self, retention: Retention) -> Result<u64> {
        let before =
            |age: Duration| now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let mut dropped = 0;
        if let Some(age) = retention.hits {
            let day = day_of(before(age));
            for sql in
                ["DELETE FROM segments WHERE day < $1 / 86400000", "DELETE FROM inbox WHERE max_ts < $1"]
            {
                dropped += sqlx::query(sql)
                    .bind(day.saturating_mul(DAY_MS))
                    .execute(self.db.write())
                    .await?
                    .rows_affected();
            }
        }
        if let Some(age) = retention.checks {
            dropped += sqlx::query("DELETE FROM checks WHERE at < $1")
                .bind(before(age))
                .execute(self.db.write())
                .await?
                .rows_affected();
        }
        // An append that raced with the deletion of its project may have left some.
        for sql in [
            "DELETE FROM inbox WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)",
            "DELETE FROM segments WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)",
        ] {
            dropped += sqlx::query(sql).execute(self.db.write()).await?.rows_affected();
        }
        Ok(dropped)
    }
}
