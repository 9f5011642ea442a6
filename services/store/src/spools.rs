//! Which spools there are, and when each was last empty: a batch that its client has sent elsewhere again
//! may wait in one whose logger is down, and what was noted of it must be there when that is back.

use std::time::Duration;

use crate::{Result, Store};

/// How long a spool is reckoned with that nobody has found empty since: it may have gone with its disk.
pub(crate) const SPOOLS: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Longest wait for the database when a process ends.
const PATIENCE: Duration = Duration::from_secs(2);

impl Store {
    /// Notes the spool of this process, if it has one and nobody knows of it, as one that is empty at `now`,
    /// UTC milliseconds.
    pub(crate) async fn note_spool(&self, now: i64) -> Result<()> {
        let Some(spool) = &self.spool else { return Ok(()) };
        sqlx::query("INSERT INTO spools (id, empty_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(spool.id().to_string())
            .bind(now)
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// Notes that the spool of this process is empty at `now`, UTC milliseconds, if it has one and it is.
    pub(crate) async fn note_empty_spool(&self, now: i64) -> Result<()> {
        let Some(spool) = self.spool.as_ref().filter(|spool| spool.is_empty()) else { return Ok(()) };
        self.note_spool(now).await?;
        sqlx::query("UPDATE spools SET empty_at = $2 WHERE id = $1")
            .bind(spool.id().to_string())
            .bind(now)
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// Takes the spool of a process that ends out of the reckoning, if it is empty.
    pub(crate) async fn forget_empty_spool(&self) {
        let Some(spool) = self.spool.as_ref().filter(|spool| spool.is_empty()) else { return };
        let forget = sqlx::query("DELETE FROM spools WHERE id = $1").bind(spool.id().to_string());
        // Else it is reckoned with for a week.
        let _ = tokio::time::timeout(PATIENCE, forget.execute(self.db.write())).await;
    }

    /// Since when no batch waits in any spool that is reckoned with: `now` at the latest.
    pub(crate) async fn spools_are_empty_at(&self, now: i64) -> Result<i64> {
        let first: Option<i64> =
            sqlx::query_scalar("SELECT MIN(empty_at) FROM spools").fetch_one(self.db.read()).await?;
        Ok(first.map_or(now, |first| first.min(now)))
    }
}
