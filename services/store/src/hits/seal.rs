//! Sealing: the inbox of a project becomes segments, a day each; segments of a
//! day that have grown many become one of the next level.

use std::collections::BTreeMap;

use sqlx::{Any, Row, Transaction, any::AnyRow};

use super::{
    merge::{self, Merged},
    read::decode,
};
use crate::{
    Hit, ProjectId, Result, Store,
    background::background,
    codec::{self, Purpose},
    db::Dialect,
    hit::day_of,
};

/// Unsealed batches of a project from which sealing pays.
const BATCHES: i64 = 64;

/// Unsealed hits of a project from which sealing pays.
const ROWS: i64 = 50_000;

/// Batches that one seal takes at most, so that its transaction stays short.
const BATCHES_PER_SEAL: i64 = 1_024;

/// Hits that one seal takes at most beyond its first batch, which bounds its memory.
const ROWS_PER_SEAL: i64 = 100_000;

/// Hits from which a segment is large enough to stay as it is. The largest that
/// is made has eight times as many: some 40 MB.
const FULL: i64 = 250_000;

/// Segments of one day and level that are merged into one of the next.
const FAN_IN: usize = 8;

/// First of the advisory lock keys, one a project.
const LOCK_BASE: i64 = 0x57_4B_53_45_41_4C_00_00;

/// What one seal took.
#[derive(Debug, Clone, Copy, Default)]
struct Sealed {
    hits: usize,
    /// Whether there may be more at once.
    more: bool,
}

impl Store {
    /// Seals every project whose inbox has grown enough; returns the hits sealed.
    /// Any number of replicas may do this at once.
    ///
    /// # Errors
    /// When the database fails; what was sealed before stays sealed.
    pub async fn seal(&self) -> Result<usize> {
        self.seal_from(BATCHES, ROWS).await
    }

    /// Seals every hit that has arrived, however few.
    ///
    /// # Errors
    /// As [`Store::seal`].
    pub async fn seal_all(&self) -> Result<usize> {
        let mut sealed = 0;
        loop {
            match self.seal_from(1, 1).await? {
                0 => return Ok(sealed),
                more => sealed += more,
            }
        }
    }

    async fn seal_from(&self, batches: i64, rows: i64) -> Result<usize> {
        let projects: Vec<i64> = sqlx::query_scalar(include_str!("../../sql/hits/ripe.sql"))
            .bind(batches)
            .bind(rows)
            .fetch_all(self.db.read())
            .await?;
        let (mut sealed, mut failed) = (0, None);
        for project in projects {
            // One project that cannot be sealed holds up no other.
            loop {
                match self.seal_project(ProjectId(project)).await {
                    Ok(Sealed { hits, more }) => {
                        sealed += hits;
                        if !more {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(project, %error, "a project could not be sealed");
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(sealed), Err)
    }

    /// Seals what a project has in its inbox, up to a portion. Files are made before anything is written,
    /// so that no other writer waits for that.
    async fn seal_project(&self, project: ProjectId) -> Result<Sealed> {
        let Some(turn) = self.turn(project).await? else { return Ok(Sealed::default()) };
        let batches = sqlx::query(include_str!("../../sql/hits/oldest_unsealed.sql"))
            .bind(project.0)
            .bind(BATCHES_PER_SEAL)
            .bind(ROWS_PER_SEAL)
            .fetch_all(self.db.read())
            .await?;
        let ids: Vec<i64> = column(&batches, 0)?;
        let Some(last) = ids.last().copied() else { return Ok(Sealed::default()) };
        let hits = decode(column(&batches, 1)?).await?;
        drop(batches);
        let portion = i64::try_from(ids.len()).is_ok_and(|count| count >= BATCHES_PER_SEAL);
        let sealed = Sealed {
            more: portion || i64::try_from(hits.len()).is_ok_and(|hits| hits >= ROWS_PER_SEAL),
            hits: hits.len(),
        };
        let mut days: BTreeMap<i64, Vec<Hit>> = BTreeMap::new();
        for hit in hits {
            days.entry(day_of(hit.ts)).or_default().push(hit);
        }
        let mut segments = Vec::new();
        for (day, hits) in days {
            segments.push((day, background(move || segment(hits)).await?));
        }

        let mut transaction = self.db.begin().await?;
        let taken = sqlx::query("DELETE FROM inbox WHERE project_id = $1 AND id <= $2")
            .bind(project.0)
            .bind(last)
            .execute(&mut *transaction)
            .await?;
        if taken.rows_affected() != ids.len() as u64 {
            // Somebody was erased meanwhile: what was read is no longer what is there.
            return Ok(Sealed::default());
        }
        let days: Vec<i64> = segments.iter().map(|(day, _)| *day).collect();
        for (day, segment) in segments {
            insert(&mut transaction, project, day, 0, segment).await?;
        }
        transaction.commit().await?;
        for day in days {
            self.merge(project, day).await?;
        }
        turn.end().await?;
        Ok(sealed)
    }

    /// Makes one segment of many of the same day and level, level by level.
    async fn merge(&self, project: ProjectId, day: i64) -> Result<()> {
        for level in 0.. {
            let segments = sqlx::query(include_str!("../../sql/hits/segments_of_level.sql"))
                .bind(project.0)
                .bind(day)
                .bind(level)
                .bind(FULL)
                .fetch_all(self.db.read())
                .await?;
            if segments.len() < FAN_IN {
                break;
            }
            let ids: Vec<i64> = column(&segments, 0)?;
            let files: Vec<Vec<u8>> = column(&segments, 1)?;
            drop(segments);
            let merged = background(move || merge::merge(files)).await?;
            let mut transaction = self.db.begin().await?;
            for id in ids {
                let gone = sqlx::query("DELETE FROM segments WHERE project_id = $1 AND id = $2")
                    .bind(project.0)
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
                if gone.rows_affected() == 0 {
                    // Its time was over, or somebody was erased, meanwhile.
                    return Ok(());
                }
            }
            insert(&mut transaction, project, day, level + 1, merged).await?;
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

/// Hits of a day as a segment, sorted.
pub(super) fn segment(mut hits: Vec<Hit>) -> Result<Merged> {
    hits.sort_by_key(|hit| hit.ts);
    Ok(Merged {
        rows: i64::try_from(hits.len()).unwrap_or(i64::MAX),
        min_ts: hits.first().map_or(0, |hit| hit.ts),
        max_ts: hits.last().map_or(0, |hit| hit.ts),
        data: codec::encode(&hits, Purpose::Segment)?,
    })
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
