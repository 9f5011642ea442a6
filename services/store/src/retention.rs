//! What is older than its retention goes, and so do hits whose project is gone.

use std::time::Duration;

use crate::{
    DAY_MS, Result, Store,
    db::{self, Dialect},
    hit::day_of,
    now_ms,
};

/// How long a batch that is sent again is known.
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
        // Before any of them goes.
        self.note_projects_with_hits(now).await?;
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
        let forgotten = sqlx::query("DELETE FROM batches WHERE created_at < $1")
            .bind(ago(now, BATCHES))
            .execute(self.db.write())
            .await?
            .rows_affected();
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
