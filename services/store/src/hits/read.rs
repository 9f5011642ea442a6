//! Reading: one consistent view of a project's hits, a day at a time, oldest first.

use std::collections::BTreeMap;

use sqlx::{Any, Row, Transaction};

use crate::{Hit, ProjectId, Result, Store, StoreError, codec, hit::day_of};

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
/// meanwhile are not seen.
pub struct Snapshot {
    transaction: Transaction<'static, Any>,
    project: ProjectId,
    inbox: BTreeMap<i64, Vec<Hit>>,
    days: Vec<Day>,
}

impl Store {
    /// Opens a snapshot of the hits with `from <= ts < to`, in days: the first
    /// and last day are given whole.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn snapshot(&self, project: ProjectId, from: i64, to: i64) -> Result<Snapshot> {
        let mut transaction = self.db.snapshot().await?;
        let (first, last) = (day_of(from), day_of(to.saturating_sub(1)));
        let mut rows: BTreeMap<i64, usize> = BTreeMap::new();
        for row in sqlx::query(include_str!("../../sql/hits/days.sql"))
            .bind(project.0)
            .bind(first)
            .bind(last)
            .fetch_all(&mut *transaction)
            .await?
        {
            let count: i64 = row.try_get(1)?;
            rows.insert(row.try_get(0)?, usize::try_from(count).unwrap_or_default());
        }
        let unsealed: Vec<Vec<u8>> = sqlx::query_scalar(include_str!("../../sql/hits/unsealed.sql"))
            .bind(project.0)
            .bind(first.saturating_mul(crate::DAY_MS))
            .bind(last.saturating_add(1).saturating_mul(crate::DAY_MS))
            .fetch_all(&mut *transaction)
            .await?;
        let mut inbox: BTreeMap<i64, Vec<Hit>> = BTreeMap::new();
        for hit in decode(unsealed).await? {
            let day = day_of(hit.ts);
            if (first..=last).contains(&day) {
                *rows.entry(day).or_default() += 1;
                inbox.entry(day).or_default().push(hit);
            }
        }
        let days = rows.into_iter().map(|(day, rows)| Day { day, rows }).collect();
        Ok(Snapshot { transaction, project, inbox, days })
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
        let segments = self.segments(day).await?;
        let mut hits = decode(segments).await?;
        hits.extend(self.inbox.remove(&day).unwrap_or_default());
        hits.sort_by_key(|hit| hit.ts);
        Ok(hits)
    }

    /// Folds the hits of one day, in no order, without holding them: `columns`
    /// names the fields that are read, all else is unknown.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn fold<T: Send + 'static>(
        &mut self,
        day: i64,
        columns: &'static [&'static str],
        mut state: T,
        add: impl Fn(&mut T, &Hit) + Send + 'static,
    ) -> Result<T> {
        let segments = self.segments(day).await?;
        let unsealed = self.inbox.remove(&day).unwrap_or_default();
        tokio::task::spawn_blocking(move || {
            for file in segments {
                codec::decode_each(file, Some(columns), |hits| {
                    hits.iter().for_each(|hit| add(&mut state, hit))
                })?;
            }
            unsealed.iter().for_each(|hit| add(&mut state, hit));
            Ok(state)
        })
        .await
        .map_err(|e| StoreError::Damaged(e.to_string()))?
    }

    /// Reads the hits of one day, a batch at a time, until `each` says `false`, which is told.
    /// `each` may change or take them.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn scan<T: Send + 'static>(
        &mut self,
        day: i64,
        mut state: T,
        each: impl Fn(&mut T, &mut Vec<Hit>) -> bool + Send + 'static,
    ) -> Result<(T, bool)> {
        let segments = self.segments(day).await?;
        let mut unsealed = self.inbox.remove(&day).unwrap_or_default();
        tokio::task::spawn_blocking(move || {
            let mut go_on = true;
            for file in segments {
                codec::decode_each(file, None, |hits| go_on = go_on && each(&mut state, hits))?;
                if !go_on {
                    return Ok((state, false));
                }
            }
            go_on = unsealed.is_empty() || each(&mut state, &mut unsealed);
            Ok((state, go_on))
        })
        .await
        .map_err(|e| StoreError::Damaged(e.to_string()))?
    }

    async fn segments(&mut self, day: i64) -> Result<Vec<Vec<u8>>> {
        let sql = include_str!("../../sql/hits/segments_of_day.sql");
        Ok(sqlx::query_scalar(sql).bind(self.project.0).bind(day).fetch_all(&mut *self.transaction).await?)
    }
}

/// Decodes off the executor: a day can be megabytes.
async fn decode(files: Vec<Vec<u8>>) -> Result<Vec<Hit>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    tokio::task::spawn_blocking(move || {
        let mut hits = Vec::new();
        for file in files {
            hits.append(&mut codec::decode(file)?);
        }
        Ok(hits)
    })
    .await
    .map_err(|e| StoreError::Damaged(e.to_string()))?
}
