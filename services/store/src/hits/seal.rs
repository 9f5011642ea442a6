//! Sealing: the inbox of a project becomes segments, a day each; segments of a
//! day that have grown many become one of the next level.

use std::time::{Duration, Instant};

use sqlx::{Any, Row, Transaction, any::AnyRow};

use super::{
    TEXT,
    merge::{self, Merged},
    pack::{Enough, Packed, pack},
};
use crate::{ProjectId, Result, Store, StoreError, background::background, db::Dialect};

/// Unsealed batches of a project from which sealing pays.
const BATCHES: i64 = 64;

/// Unsealed hits of a project from which sealing pays.
const ROWS: i64 = 50_000;

/// Bytes of a project's unsealed batches from which sealing pays.
const BYTES: i64 = 32 << 20;

/// Batches that one seal takes of a project at most, so that its transaction stays short.
const BATCHES_PER_SEAL: i64 = 1_024;

/// Hits that one seal takes of a project at most beyond its first batch, which bounds its memory.
const ROWS_PER_SEAL: i64 = 100_000;

/// Bytes of batches from which it reads no further one.
const BYTES_PER_SEAL: i64 = 32 << 20;

/// What is enough of the batches that it has read: how many texts they have is known only then, and each
/// day is a file of its own. The days are more than those of years, so that batches that are spread over
/// the same years become one file a day, not each its own.
const ENOUGH: Enough = Enough { text: TEXT, days: 2_000 };

/// Hits from which a segment is large enough to stay as it is. The largest that
/// is made has eight times as many: some 40 MB.
const FULL: i64 = 250_000;

/// Bytes from which it is however few hits it has; so many ordinary ones take less. What is made of eight
/// stays far below the gigabyte that Postgres takes as one value.
const FULL_BYTES: i64 = 8 << 20;

/// Segments of one day and level that are merged into one of the next.
const FAN_IN: i64 = 8;

/// The level of segments that stay as they are: no merge comes to it.
const APART: i64 = 99;

/// Unpacked bytes of segments that are still merged: as many are held meanwhile. Those of ordinary hits
/// have some 80 MB.
const UNPACKED: u64 = 128 << 20;

/// First of the advisory lock keys, one a project.
const LOCK_BASE: i64 = 0x57_4B_53_45_41_4C_00_00;

/// What a seal has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sealed {
    /// Hits sealed.
    pub hits: usize,
    /// Whether a project may have had more than a seal takes: another one pays at once.
    pub more: bool,
}

impl Store {
    /// Seals every project whose inbox has grown enough, a portion of each, so that none waits for
    /// another that writes as fast as this seals. Any number of replicas may do this at once.
    ///
    /// # Errors
    /// When the database fails; what was sealed before stays sealed.
    pub async fn seal(&self) -> Result<Sealed> {
        self.seal_for(Duration::ZERO).await
    }

    /// As [`Store::seal`], and then a portion of each of these projects that has more, again and again until
    /// none has or so much time has passed: to find out which inboxes have grown takes a look at all of them.
    ///
    /// # Errors
    /// As [`Store::seal`].
    pub async fn seal_for(&self, time: Duration) -> Result<Sealed> {
        self.seal_from(BATCHES, ROWS, BYTES, time).await
    }

    /// Seals every hit that has arrived, however few; returns how many. It does not wait for writers to
    /// pause: what comes meanwhile may be left.
    ///
    /// # Errors
    /// As [`Store::seal`].
    pub async fn seal_all(&self) -> Result<usize> {
        const LAST: &str = "SELECT COALESCE(MAX(id), 0) FROM inbox";
        const FIRST: &str = "SELECT COALESCE(MIN(id), 0) FROM inbox";
        let last: i64 = sqlx::query_scalar(LAST).fetch_one(self.db.read()).await?;
        let mut sealed = 0;
        loop {
            let hits = self.seal_from(1, 1, 1, Duration::ZERO).await?.hits;
            sealed += hits;
            let first: i64 = sqlx::query_scalar(FIRST).fetch_one(self.db.read()).await?;
            if hits == 0 || first == 0 || first > last {
                return Ok(sealed);
            }
        }
    }

    async fn seal_from(&self, batches: i64, rows: i64, bytes: i64, time: Duration) -> Result<Sealed> {
        let begun = Instant::now();
        let mut projects: Vec<i64> = sqlx::query_scalar(include_str!("../../sql/hits/ripe.sql"))
            .bind(batches)
            .bind(rows)
            .bind(bytes)
            .fetch_all(self.db.read())
            .await?;
        let (mut hits, mut failed) = (0, None);
        loop {
            let mut further = Vec::new();
            for project in projects {
                match self.seal_project(ProjectId(project)).await {
                    Ok(sealed) => {
                        hits += sealed.hits;
                        further.extend(sealed.more.then_some(project));
                    }
                    // One project that cannot be sealed holds up no other.
                    Err(error) => {
                        tracing::warn!(project, %error, "a project could not be sealed");
                        failed = Some(error);
                    }
                }
            }
            projects = further;
            if projects.is_empty() || begun.elapsed() >= time {
                break;
            }
        }
        failed.map_or(Ok(Sealed { hits, more: !projects.is_empty() }), Err)
    }

    /// Seals a portion of what a project has in its inbox.
    async fn seal_project(&self, project: ProjectId) -> Result<Sealed> {
        let Some(turn) = self.turn(project).await? else { return Ok(Sealed::default()) };
        let portion = match self.portion(project).await {
            Err(error @ StoreError::Damaged(_)) => {
                // It is told, and the next seal goes on without what is damaged.
                self.set_damaged_aside(project).await?;
                turn.end().await?;
                return Err(error);
            }
            portion => portion?,
        };
        let Some(portion) = portion else { return Ok(Sealed::default()) };
        let sealed = Sealed { hits: portion.hits, more: portion.full };
        let days = || portion.segments.iter().map(|(day, _)| *day);
        let (first, last) = (days().min().unwrap_or_default(), days().max().unwrap_or_default());
        if !self.replace(project, portion).await? {
            return Ok(Sealed::default());
        }
        for day in self.mergeable_days(project, first, last).await? {
            self.merge(project, day).await?;
        }
        turn.end().await?;
        Ok(sealed)
    }

    /// The oldest batches of a project and their segments, which are made before anything is written,
    /// so that no other writer waits for that.
    async fn portion(&self, project: ProjectId) -> Result<Option<Packed>> {
        let batches = self.oldest_unsealed(project).await?;
        if batches.is_empty() {
            return Ok(None);
        }
        let all = i64::try_from(batches.len()).is_ok_and(|count| count < BATCHES_PER_SEAL);
        let mut packed = background(move || pack(batches, ENOUGH)).await?;
        packed.full |= !all || i64::try_from(packed.hits).is_ok_and(|hits| hits >= ROWS_PER_SEAL);
        Ok(Some(packed))
    }

    /// The batches that one seal of a project takes at most, with their numbers.
    pub(super) async fn oldest_unsealed(&self, project: ProjectId) -> Result<Vec<(i64, Vec<u8>)>> {
        let batches = sqlx::query(include_str!("../../sql/hits/oldest_unsealed.sql"))
            .bind(project.0)
            .bind(BATCHES_PER_SEAL)
            .bind(ROWS_PER_SEAL)
            .bind(BYTES_PER_SEAL)
            .fetch_all(self.db.read());
        batches.await?.into_iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Puts the segments in the place of exactly those batches that they are made of. Does nothing and
    /// says `false` when one is gone: somebody was erased meanwhile, and is still in the segments.
    async fn replace(&self, project: ProjectId, portion: Packed) -> Result<bool> {
        let mut transaction = self.db.begin().await?;
        let taken = sqlx::query(match self.db.dialect {
            Dialect::Sqlite => include_str!("../../sql/sqlite/take_unsealed.sql"),
            Dialect::Postgres => include_str!("../../sql/postgres/take_unsealed.sql"),
        })
        .bind(project.0)
        .bind(serde_json::to_string(&portion.batches)?)
        .execute(&mut *transaction)
        .await?;
        if taken.rows_affected() != portion.batches.len() as u64 {
            return Ok(false);
        }
        for (day, segment) in portion.segments {
            insert(&mut transaction, project, day, 0, segment).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The days from the first to the last that have many segments of one level.
    async fn mergeable_days(&self, project: ProjectId, first: i64, last: i64) -> Result<Vec<i64>> {
        Ok(sqlx::query_scalar(include_str!("../../sql/hits/mergeable_days.sql"))
            .bind(project.0)
            .bind(first)
            .bind(last)
            .bind(FULL)
            .bind(FULL_BYTES)
            .bind(FAN_IN)
            .bind(APART)
            .fetch_all(self.db.read())
            .await?)
    }

    /// Makes one segment of many of the same day and level, level by level.
    async fn merge(&self, project: ProjectId, day: i64) -> Result<()> {
        for level in 0.. {
            let segments = sqlx::query(include_str!("../../sql/hits/segments_of_level.sql"))
                .bind(project.0)
                .bind(day)
                .bind(level)
                .bind(FULL)
                .bind(FULL_BYTES)
                .bind(FAN_IN)
                .bind(FULL_BYTES * FAN_IN)
                .fetch_all(self.db.read())
                .await?;
            if segments.is_empty() {
                break;
            }
            let ids: Vec<i64> = column(&segments, 0)?;
            let files: Vec<Vec<u8>> = column(&segments, 1)?;
            drop(segments);
            let merged = match background(move || merge::merge(files, UNPACKED)).await {
                // What is damaged would hold up the merges of all days after this one for good.
                Err(StoreError::Damaged(reason)) => {
                    tracing::error!(project = project.0, day, %reason, "damaged segments are not merged");
                    None
                }
                merged => merged?,
            };
            let sql = match merged {
                Some(_) => "DELETE FROM segments WHERE project_id = $1 AND id = $2",
                // To `APART`.
                None => "UPDATE segments SET level = 99 WHERE project_id = $1 AND id = $2",
            };
            let mut transaction = self.db.begin().await?;
            for id in ids {
                let found = sqlx::query(sql).bind(project.0).bind(id).execute(&mut *transaction).await?;
                if found.rows_affected() == 0 {
                    // Its time was over, or somebody was erased, meanwhile.
                    return Ok(());
                }
            }
            if let Some(merged) = merged {
                insert(&mut transaction, project, day, level + 1, merged).await?;
            }
            transaction.commit().await?;
        }
        Ok(())
    }

    /// The turn to seal a project, unless another process has it. SQLite belongs to one process, which
    /// seals in one place.
    async fn turn(&self, project: ProjectId) -> Result<Option<Turn>> {
        if self.db.dialect == Dialect::Sqlite {
            return Ok(Some(Turn(None)));
        }
        let mut transaction = self.db.begin().await?;
        let free: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(LOCK_BASE.wrapping_add(project.0))
            .fetch_one(&mut *transaction)
            .await?;
        Ok(free.then_some(Turn(Some(transaction))))
    }
}

/// The turn to seal a project; it ends when it is dropped.
struct Turn(Option<Transaction<'static, Any>>);

impl Turn {
    async fn end(self) -> Result<()> {
        if let Some(transaction) = self.0 {
            transaction.commit().await?;
        }
        Ok(())
    }
}

/// One column of rows.
fn column<'r, T>(rows: &'r [AnyRow], place: usize) -> Result<Vec<T>>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    Ok(rows.iter().map(|row| row.try_get(place)).collect::<std::result::Result<_, _>>()?)
}

/// Waits for a seal of a project that is under way, and holds further ones off
/// until the transaction ends.
pub(crate) async fn wait_for_seals(
    transaction: &mut Transaction<'static, Any>,
    dialect: Dialect,
    project: ProjectId,
) -> Result<()> {
    // SQLite has one writer: there is none to wait for.
    if dialect == Dialect::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK_BASE.wrapping_add(project.0))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
    day: i64,
    level: i64,
    segment: Merged,
) -> Result<()> {
    let Merged { data, rows, min_ts, max_ts } = segment;
    sqlx::query(include_str!("../../sql/hits/insert_segment.sql"))
        .bind(project.0)
        .bind(day)
        .bind(level)
        .bind(rows)
        .bind(min_ts)
        .bind(max_ts)
        .bind(i64::try_from(data.len()).unwrap_or(i64::MAX))
        .bind(data)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;
    use uuid::Uuid;

    use super::*;
    use crate::{Hit, testing::on_both};

    on_both! { a_batch_that_comes_to_light_while_others_are_sealed_is_not_taken_for_one_of_them }

    async fn execute(store: &Store, sql: &str) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(store.db.write()).await.expect("execute");
    }

    async fn paths(store: &Store, project: ProjectId) -> Vec<String> {
        let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
        let hits = snapshot.load(0).await.expect("load");
        hits.into_iter().filter_map(|hit| hit.path).collect()
    }

    /// As when a transaction with a lower number commits after the batches were read, and a person is
    /// erased from one of them.
    async fn a_batch_that_comes_to_light_while_others_are_sealed_is_not_taken_for_one_of_them(store: &Store) {
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        let append = async |path: &str| {
            let hit = Hit { ts: 1, path: Some(path.into()), ..Hit::default() };
            store.append(project, vec![hit]).await.expect("append");
        };
        for path in ["late", "a", "b"] {
            append(path).await;
        }
        // `late` has its number, and is not there yet.
        execute(store, "CREATE TABLE apart AS SELECT * FROM inbox WHERE id = 1").await;
        execute(store, "DELETE FROM inbox WHERE id = 1").await;
        let portion = store.portion(project).await.expect("read").expect("a portion");
        assert_eq!(portion.batches, [2, 3]);
        let columns = "project_id, id, rows, min_ts, max_ts, data";
        let overriding = if store.db.dialect == Dialect::Postgres { "OVERRIDING SYSTEM VALUE" } else { "" };
        execute(store, &format!("INSERT INTO inbox ({columns}) {overriding} SELECT {columns} FROM apart"))
            .await;
        execute(store, "DELETE FROM inbox WHERE id = 2").await;
        assert!(!store.replace(project, portion).await.expect("give way"), "`a` is gone");
        assert_eq!(paths(store, project).await, ["late", "b"]);

        let portion = store.portion(project).await.expect("read").expect("a portion");
        append("c").await;
        assert!(store.replace(project, portion).await.expect("replace"), "what came meanwhile stays");
        let mut left = paths(store, project).await;
        left.sort();
        assert_eq!(left, ["b", "c", "late"]);
        assert_eq!(store.seal_all().await.expect("seal"), 1);
    }
}
