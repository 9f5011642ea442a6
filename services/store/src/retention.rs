//! What is older than its retention goes, and so do hits whose project is gone.

use std::time::Duration;

use crate::{
    DAY_MS, Result, Store,
    db::{self, Dialect},
    hit::day_of,
    now_ms,
    portions::Bulk,
    spools::SPOOLS,
};

/// How long a batch that is sent again is known, counted from when no spool held any.
const BATCHES: Duration = Duration::from_secs(24 * 3_600);

/// How long a writer is known; a spool that is replayed later than this could double its first group.
const WRITERS: Duration = Duration::from_secs(90 * 24 * 3_600);

/// How long the log of notices goes back at most.
const NOTICES: Duration = Duration::from_secs(90 * 24 * 3_600);

/// How long a project is kept that has no name and nothing in it, and that nobody looks at.
const UNUSED: Duration = Duration::from_secs(180 * 24 * 3_600);

/// How far the clocks of this process and of the database may be apart before neither is trusted alone,
/// milliseconds.
const APART: u64 = 3_600_000;

/// What is known of hits, and which of it is older than `$1`, the start of a day.
const OF_HITS: [(Bulk, &str); 5] = [
    (Bulk::files("segments"), "day < $1 / 86400000"),
    (Bulk::files("inbox"), "max_ts < $1"),
    (Bulk::files("damaged_batches"), "max_ts < $1"),
    (Bulk::rows("addresses"), "last_seen < $1"),
    (Bulk::rows("site_days"), "day < $1 / 86400000"),
];

/// What is known of checks, and which of it is older than `$1`.
const OF_CHECKS: [(Bulk, &str); 5] = [
    (Bulk::rows("checks"), "at < $1"),
    (Bulk::rows("transitions"), "at < $1"),
    (Bulk::pieces("check_batches"), "last_at < $1"),
    (Bulk::pieces("check_segments"), "day <= $1 / 86400000 AND last_at < $1"),
    (Bulk::rows("check_days"), "day < $1 / 86400000"),
];

/// Whether the project of a row is gone.
const WITHOUT_PROJECT: &str = "NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id)";

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
    /// own; returns the rows dropped. Time is the database's, so that no replica whose clock is wrong
    /// drops what is young.
    ///
    /// # Errors
    /// When the database fails; running it again continues.
    pub async fn expire(&self, retention: Retention) -> Result<u64> {
        self.expire_by(retention, now_ms()).await
    }

    /// [`Store::expire`] by a process whose own clock says `local`.
    async fn expire_by(&self, retention: Retention, local: i64) -> Result<u64> {
        let now = self.agreed_now(local).await?;
        let before = |age: Duration| ago(now, age);
        self.note_empty_spool(now).await?;
        // Before any of them goes.
        self.note_projects_with_hits(now).await?;
        let mut dropped = 0;
        if let Some(age) = retention.hits {
            for (table, is_old) in OF_HITS {
                dropped += self.delete_bulk(table, is_old, &[start_of_day(before(age))]).await?;
            }
        }
        for (project, age) in self.own_retentions().await? {
            for (table, is_old) in OF_HITS {
                let condition = format!("{is_old} AND project_id = $2");
                let values = [start_of_day(before(age)), project.0];
                dropped += self.delete_bulk(table, &condition, &values).await?;
            }
        }
        if let Some(age) = retention.checks {
            for (table, is_old) in OF_CHECKS {
                dropped += self.delete_bulk(table, is_old, &[before(age)]).await?;
            }
        }
        dropped += sqlx::query("DELETE FROM notices WHERE finished_at < $1")
            .bind(before(retention.checks.unwrap_or(NOTICES).min(NOTICES)))
            .execute(self.db.write())
            .await?
            .rows_affected();
        // What went out of the outbox after its endpoint was deleted. Dead letters stay: somebody may
        // have to tell by hand what they say.
        dropped += sqlx::query(include_str!("../sql/alerts/drop_of_gone.sql"))
            .execute(self.db.write())
            .await?
            .rows_affected();
        dropped += self.drop_unused_projects(before(UNUSED)).await?;
        dropped += self.forget_batches(now).await?;
        dropped += self.forget_salts(now).await?;
        dropped += sqlx::query("DELETE FROM sessions WHERE expires_at < $1")
            .bind(now)
            .execute(self.db.write())
            .await?
            .rows_affected();
        // An append or a processing that raced with the deletion of its project may have left some.
        for (table, _) in OF_HITS {
            dropped += self.delete_bulk(table, WITHOUT_PROJECT, &[]).await?;
        }
        dropped += self.delete_bulk(Bulk::rows("sites"), WITHOUT_PROJECT, &[]).await?;
        Ok(dropped)
    }

    /// The database's time, UTC milliseconds. If it is far from what this process takes for the time,
    /// the earlier of both: what is kept for too long can still be dropped later.
    async fn agreed_now(&self, local: i64) -> Result<i64> {
        let mut transaction = self.db.snapshot().await?;
        let database = db::now(&mut transaction).await?;
        if database.abs_diff(local) <= APART {
            return Ok(database);
        }
        tracing::warn!(
            database,
            local,
            "the clocks of the database and of this process are more than an hour apart; \
             what is too old is judged by the earlier"
        );
        Ok(database.min(local))
    }

    /// Forgets what was noted of batches that nobody will send again, and of writers and projects that
    /// are gone.
    async fn forget_batches(&self, now: i64) -> Result<u64> {
        sqlx::query("DELETE FROM spools WHERE empty_at < $1")
            .bind(ago(now, SPOOLS))
            .execute(self.db.write())
            .await?;
        let before = ago(self.spools_are_empty_at(now).await?, BATCHES);
        let forgotten = self.delete_bulk(Bulk::rows("batches"), "created_at < $1", &[before]).await?;
        sqlx::query("DELETE FROM absorbed WHERE at < $1")
            .bind(ago(now, WRITERS))
            .execute(self.db.write())
            .await?;
        if self.db.dialect == Dialect::Postgres {
            sqlx::query("DELETE FROM writers WHERE written_at < $1")
                .bind(ago(now, WRITERS))
                .execute(self.db.write())
                .await?;
        }
        Ok(forgotten)
    }
}

fn start_of_day(ts: i64) -> i64 {
    day_of(ts).saturating_mul(DAY_MS)
}

fn ago(now: i64, age: Duration) -> i64 {
    now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Hit, Identity, testing::on_both};

    on_both! { a_replica_whose_clock_is_years_off_drops_nothing_that_is_young }

    const YEARS: i64 = 10 * 365 * DAY_MS;

    /// A store with something young of each kind that expires.
    async fn young(store: &Store) -> Vec<i64> {
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        let hit = || vec![Hit { ts: now_ms() - DAY_MS, ..Hit::default() }];
        store.append(project, hit()).await.expect("append");
        store.seal_all().await.expect("seal");
        let key = Identity::Key { key: b"k".to_vec(), payload: [7; 32] };
        store.append_once(project, hit(), key).await.expect("append");
        store.visitor_salts(&[day_of(now_ms())]).await.expect("salts");
        store.start_session(b"one", now_ms() + DAY_MS).await.expect("start");
        // Of use to nobody, and made just now.
        store.register_key(Uuid::new_v4()).await.expect("register");
        counts(store).await
    }

    async fn counts(store: &Store) -> Vec<i64> {
        let mut counts = Vec::new();
        for sql in [
            "SELECT COUNT(*) FROM segments",
            "SELECT COUNT(*) FROM inbox",
            "SELECT COUNT(*) FROM batches",
            "SELECT COUNT(*) FROM visitor_salts",
            "SELECT COUNT(*) FROM sessions",
            "SELECT COUNT(*) FROM projects",
        ] {
            counts.push(sqlx::query_scalar(sql).fetch_one(store.db.read()).await.expect("count"));
        }
        counts
    }

    async fn a_replica_whose_clock_is_years_off_drops_nothing_that_is_young(store: &Store) {
        let before = young(store).await;
        assert!(before.iter().all(|count| *count > 0), "{before:?}");
        let days = Some(Duration::from_secs(30 * 86_400));
        let retention = Retention { hits: days, checks: days };
        for local in [now_ms() + YEARS, now_ms() - YEARS, now_ms()] {
            assert_eq!(store.expire_by(retention, local).await.expect("expire"), 0);
            assert_eq!(counts(store).await, before);
        }
    }
}
