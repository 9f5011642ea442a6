//! Reading: one consistent view of a project's hits, a day at a time, oldest first.

use std::collections::BTreeMap;

use sqlx::{Any, Row, Transaction, any::AnyRow};

use super::{columns::BatchId, damaged::give_each};
use crate::{DAY_MS, Hit, ProjectId, Result, Store, StoreError, hit::day_of};

/// Files that are read at once, at most.
const FILES_AT_ONCE: i64 = 1_024;

/// Bytes of files from which no further one is read at once.
const BYTES_AT_ONCE: i64 = 32 << 20;

/// How much is stored, over all projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stored {
    /// Projects.
    pub projects: i64,
    /// Hits, sealed or not.
    pub hits: i64,
    /// Bytes of the hits as stored.
    pub bytes: i64,
}

/// One UTC day of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Hits on it.
    pub rows: usize,
}

/// One state of a project's hits: appends, seals and merges that happen
/// meanwhile are not seen. Files are read a few at a time, when they are wanted.
pub struct Snapshot {
    transaction: Transaction<'static, Any>,
    project: ProjectId,
    days: Vec<Day>,
}

/// Where hits of a day lie, in the order in which they are read.
#[derive(Clone, Copy)]
enum Table {
    Segments,
    Inbox,
}

/// Files that are read at once, with their numbers.
struct Files {
    project: ProjectId,
    table: Table,
    all: Vec<(i64, Vec<u8>)>,
}

impl Files {
    /// The number of the last.
    fn last(&self) -> Option<i64> {
        self.all.last().map(|(id, _)| *id)
    }

    /// As [`give_each`], of all of them.
    fn give_each(self, columns: Option<&[&str]>, mut each: impl FnMut(Vec<Hit>) -> bool) -> Result<bool> {
        for (id, file) in self.all {
            let id = match self.table {
                Table::Segments => BatchId::Sealed(id),
                Table::Inbox => BatchId::Unsealed(id),
            };
            if !give_each((self.project, id), file, columns, &mut each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Store {
    /// Opens a snapshot of the hits with `from <= ts < to`, in days: the first
    /// and last day are given whole. Batches that are damaged and not sealed yet are passed over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self, project: ProjectId, from: i64, to: i64) -> Result<Snapshot> {
        let mut snapshot = Snapshot { transaction: self.db.snapshot().await?, project, days: Vec::new() };
        let (first, last) = (day_of(from), day_of(to.saturating_sub(1)));
        let mut rows: BTreeMap<i64, usize> = BTreeMap::new();
        for row in sqlx::query(include_str!("../../sql/hits/days.sql"))
            .bind(project.0)
            .bind(first)
            .bind(last)
            .fetch_all(&mut *snapshot.transaction)
            .await?
        {
            let count: i64 = row.try_get(1)?;
            rows.insert(row.try_get(0)?, usize::try_from(count).unwrap_or_default());
        }
        let mut after = 0;
        loop {
            let files = snapshot.unsealed(first, last, after).await?;
            let Some(last_read) = files.last() else { break };
            after = last_read;
            rows = blocking(move || count(files, first, last, rows)).await?;
        }
        snapshot.days = rows.into_iter().map(|(day, rows)| Day { day, rows }).collect();
        Ok(snapshot)
    }

    /// When a project's first hit happened, UTC milliseconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_hit(&self, project: ProjectId) -> Result<Option<i64>> {
        let first = sqlx::query_scalar(include_str!("../../sql/hits/first.sql"));
        Ok(first.bind(project.0).fetch_one(self.db.read()).await?)
    }

    /// Counts what is stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored(&self) -> Result<Stored> {
        let row = sqlx::query(include_str!("../../sql/hits/stored.sql")).fetch_one(self.db.read()).await?;
        Ok(Stored { projects: row.try_get(0)?, hits: row.try_get(1)?, bytes: row.try_get(2)? })
    }
}

impl Snapshot {
    /// The days that have hits, oldest first.
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// The hits of one day, oldest first; those of the same millisecond in the
    /// order of their arrival.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn load(&mut self, day: i64) -> Result<Vec<Hit>> {
        let all = |all: &mut Vec<Hit>, hits: &mut Vec<Hit>| {
            all.append(hits);
            true
        };
        let (mut hits, _) = self.read(day, None, Vec::new(), all).await?;
        hits.sort_by_key(|hit| hit.ts);
        Ok(hits)
    }

    /// Folds the hits of one day, in no order, without holding them: `columns`
    /// names the fields that are read beside the time, all else is unknown.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn fold<T: Send + 'static>(
        &mut self,
        day: i64,
        columns: &'static [&'static str],
        state: T,
        add: impl Fn(&mut T, &Hit) + Send + 'static,
    ) -> Result<T> {
        let each = move |state: &mut T, hits: &mut Vec<Hit>| {
            hits.iter().for_each(|hit| add(state, hit));
            true
        };
        Ok(self.read(day, Some(columns), state, each).await?.0)
    }

    /// Reads the hits of one day, a batch at a time, until `each` says `false`, which is told.
    /// `each` may change or take them.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn scan<T: Send + 'static>(
        &mut self,
        day: i64,
        state: T,
        each: impl Fn(&mut T, &mut Vec<Hit>) -> bool + Send + 'static,
    ) -> Result<(T, bool)> {
        self.read(day, None, state, each).await
    }

    /// Gives the hits of one day, sealed ones first, to `each` until it says `false`, off the executor.
    async fn read<T: Send + 'static>(
        &mut self,
        day: i64,
        columns: Option<&'static [&'static str]>,
        mut state: T,
        mut each: impl Fn(&mut T, &mut Vec<Hit>) -> bool + Send + 'static,
    ) -> Result<(T, bool)> {
        for table in [Table::Segments, Table::Inbox] {
            let mut after = 0;
            loop {
                let files = match table {
                    Table::Segments => self.sealed(day, after).await?,
                    Table::Inbox => self.unsealed(day, day, after).await?,
                };
                let Some(last) = files.last() else { break };
                after = last;
                let go_on;
                (state, each, go_on) = blocking(move || {
                    let go_on = give(files, day, columns, &mut state, &each)?;
                    Ok((state, each, go_on))
                })
                .await?;
                if !go_on {
                    return Ok((state, false));
                }
            }
        }
        Ok((state, true))
    }

    /// The next files of a day that were sealed; none when all were read.
    async fn sealed(&mut self, day: i64, after: i64) -> Result<Files> {
        let rows = sqlx::query(include_str!("../../sql/hits/segments_of_day.sql"))
            .bind(self.project.0)
            .bind(day)
            .bind(after)
            .bind(FILES_AT_ONCE)
            .bind(BYTES_AT_ONCE)
            .fetch_all(&mut *self.transaction);
        let rows = rows.await?;
        self.files(Table::Segments, rows)
    }

    /// The next files of the inbox that may have hits of these days.
    async fn unsealed(&mut self, first: i64, last: i64, after: i64) -> Result<Files> {
        let rows = sqlx::query(include_str!("../../sql/hits/unsealed.sql"))
            .bind(self.project.0)
            .bind(first.saturating_mul(DAY_MS))
            .bind(last.saturating_add(1).saturating_mul(DAY_MS))
            .bind(after)
            .bind(FILES_AT_ONCE)
            .bind(BYTES_AT_ONCE)
            .fetch_all(&mut *self.transaction);
        let rows = rows.await?;
        self.files(Table::Inbox, rows)
    }

    fn files(&self, table: Table, rows: Vec<AnyRow>) -> Result<Files> {
        let all: Vec<(i64, Vec<u8>)> =
            rows.into_iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_>>()?;
        Ok(Files { project: self.project, table, all })
    }
}

/// Adds the hits of files to those of each day from the first to the last.
fn count(
    files: Files,
    first: i64,
    last: i64,
    mut rows: BTreeMap<i64, usize>,
) -> Result<BTreeMap<i64, usize>> {
    files.give_each(Some(&["ts"]), |hits| {
        for day in hits.iter().map(|hit| day_of(hit.ts)).filter(|day| (first..=last).contains(day)) {
            *rows.entry(day).or_default() += 1;
        }
        true
    })?;
    Ok(rows)
}

/// Gives the hits of one day to `each` until it says `false`, which is told.
fn give<T>(
    files: Files,
    day: i64,
    columns: Option<&[&str]>,
    state: &mut T,
    each: impl Fn(&mut T, &mut Vec<Hit>) -> bool,
) -> Result<bool> {
    // A file of the inbox has hits of other days.
    let columns: Option<Vec<&str>> = columns.map(|columns| [columns, &["ts"]].concat());
    files.give_each(columns.as_deref(), |mut hits| {
        hits.retain(|hit| day_of(hit.ts) == day);
        hits.is_empty() || each(state, &mut hits)
    })
}

/// Works off the executor: a day can be megabytes.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Damaged(e.to_string()))?
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::on_both;

    on_both! { a_day_in_more_files_than_are_read_at_once_is_read_whole }

    /// Each makes twice as many files of those that there are.
    const TWICE: [&str; 2] = [
        "INSERT INTO inbox (project_id, rows, min_ts, max_ts, data) \
         SELECT project_id, rows, min_ts, max_ts, data FROM inbox",
        "INSERT INTO segments (project_id, day, level, rows, min_ts, max_ts, bytes, data) \
         SELECT project_id, day, level, rows, min_ts, max_ts, bytes, data FROM segments",
    ];

    async fn a_day_in_more_files_than_are_read_at_once_is_read_whole(store: &Store) {
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        let hit = |ts| Hit { ts, ..Hit::default() };
        store.append(project, vec![hit(1), hit(DAY_MS + 1)]).await.expect("append");
        store.seal_all().await.expect("seal");
        store.append(project, vec![hit(2), hit(DAY_MS)]).await.expect("append");
        for sql in TWICE {
            for _ in 0..11 {
                sqlx::query(sql).execute(store.db.write()).await.expect("copy");
            }
        }
        let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
        assert_eq!(snapshot.days(), [Day { day: 0, rows: 4_096 }, Day { day: 1, rows: 4_096 }]);

        let hits = snapshot.load(1).await.expect("load");
        assert_eq!(hits.len(), 4_096);
        assert!(hits[..2_048].iter().all(|hit| hit.ts == DAY_MS), "oldest first");
        // Time tells of which day a hit is, whether it is asked for or not.
        let folded = snapshot.fold(0, &["status"], 0, |count: &mut usize, _: &Hit| *count += 1);
        assert_eq!(folded.await.expect("fold"), 4_096);
        let scanned = snapshot.scan(0, 0, |count: &mut usize, hits: &mut Vec<Hit>| {
            *count += hits.len();
            *count < 3_000
        });
        assert_eq!(scanned.await.expect("scan"), (3_000, false), "nothing is read that nobody wants");
    }
}
