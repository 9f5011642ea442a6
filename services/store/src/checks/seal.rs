//! Sealing: batches become segments, one endpoint and UTC day each; segments
//! of a day that have grown many become one.
//!
//! Pieces of the last days stay short, so that a range that begins in the
//! middle of a day is answered from whole pieces; a day that is older becomes
//! one segment.

use std::collections::BTreeMap;

use sqlx::{Any, Row, Transaction};

use super::{
    days::forget_days,
    pack::{Recorded, pack, unpack},
    summary,
};
use crate::{DAY_MS, LastCheck, ProjectId, Result, Store, background::background, hit::day_of, now_ms};

/// Checks in batches from which sealing pays.
const ROWS: i64 = 60_000;

/// Age of the oldest batch from which it does, however few there are, milliseconds.
const AGE: i64 = 15 * 60_000;

/// Checks that one seal takes at most beyond its first batch, which bounds its memory.
const ROWS_PER_SEAL: i64 = 60_000;

/// Pieces of one level that become one of the next.
const FAN_IN: i64 = 8;

/// Time that a piece of the last days covers at most, milliseconds.
const SPAN: i64 = 4 * 3_600_000;

/// Checks up to which pieces that cover nearly that time together become one, though they are not many:
/// with few checks a row has more of its own than of theirs.
const FEW: i64 = 1_000;

/// Days that stay in pieces.
const RECENT_DAYS: i64 = 2;

/// Days before them that are looked through for pieces left.
const PAST_DAYS: i64 = 14;

/// The level of pieces that are damaged: no merge comes to it.
const APART: i64 = 99;

/// Merges before the next look for some.
const MERGES: i64 = 200;

/// How hard segments are compressed; they are written seldom.
const EFFORT: i32 = 9;

impl Store {
    /// Seals results when there are enough of them or they are old enough,
    /// merges what has become many, and adds up the days that are over; returns
    /// the checks sealed. Any number of replicas may do this at once.
    ///
    /// # Errors
    /// When the database fails; what was sealed before stays sealed.
    pub async fn seal_checks(&self) -> Result<u64> {
        self.seal_checks_from(ROWS, AGE).await
    }

    /// Seals all results that have arrived, however few.
    ///
    /// # Errors
    /// As [`Store::seal_checks`].
    pub async fn seal_all_checks(&self) -> Result<u64> {
        self.seal_checks_from(1, 0).await
    }

    async fn seal_checks_from(&self, rows: i64, age: i64) -> Result<u64> {
        let mut sealed = self.absorb_former().await?;
        loop {
            let waiting =
                sqlx::query(include_str!("../../sql/checks/waiting.sql")).fetch_one(self.db.read()).await?;
            let (count, oldest): (i64, i64) = (waiting.try_get(0)?, waiting.try_get(1)?);
            if count == 0 || (count < rows && now_ms().saturating_sub(oldest) < age) {
                break;
            }
            let store = self.clone();
            match self.to_its_end(async move { store.seal_portion().await }).await? {
                0 => break,
                some => sealed += some,
            }
        }
        loop {
            let store = self.clone();
            if !self.to_its_end(async move { store.merge_pieces().await }).await? {
                break;
            }
        }
        let store = self.clone();
        self.to_its_end(async move { store.keep_days().await }).await?;
        Ok(sealed)
    }

    /// Seals the oldest batches; 0 when another replica was at it. What takes
    /// time is done before the transaction, which holds nobody up.
    async fn seal_portion(&self) -> Result<u64> {
        let rows = sqlx::query(include_str!("../../sql/checks/oldest_batches.sql"))
            .bind(ROWS_PER_SEAL)
            .fetch_all(self.db.read())
            .await?;
        let mut batches = Vec::with_capacity(rows.len());
        let mut last: i64 = 0;
        for row in &rows {
            last = row.try_get(0)?;
            batches.push(row.try_get::<Vec<u8>, _>(1)?);
        }
        let taken = batches.len() as u64;
        let owners = self.owners().await?;
        let (count, segments) = background(move || {
            let mut parts: BTreeMap<(i64, i64), Vec<Recorded>> = BTreeMap::new();
            let mut count = 0;
            for batch in batches {
                // What cannot be read is lost either way, and must not stop the others.
                let checks = unpack(&batch).unwrap_or_else(|error| {
                    tracing::error!(%error, "a batch of results is damaged and dropped");
                    Vec::new()
                });
                count += checks.len() as u64;
                for check in checks {
                    parts.entry((check.endpoint, day_of(check.due))).or_default().push(check);
                }
            }
            let segments = parts
                .into_iter()
                .filter_map(|((endpoint, day), checks)| {
                    // Of endpoints that are gone nothing is kept.
                    owners.get(&endpoint).map(|project| Segment::new(*project, day, 0, checks))
                })
                .collect::<Result<Vec<_>>>()?;
            Ok((count, segments))
        })
        .await?;
        let mut transaction = self.db.begin().await?;
        let gone = sqlx::query("DELETE FROM check_batches WHERE id <= $1")
            .bind(last)
            .execute(&mut *transaction)
            .await?;
        // Another replica has sealed some, or an earlier one has come to light meanwhile.
        if gone.rows_affected() != taken {
            return Ok(0);
        }
        if let Some(day) = segments.iter().map(|segment| segment.day).min() {
            forget_days(&mut transaction, day).await?;
        }
        for segment in segments {
            segment.insert(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(count)
    }

    /// Merges pieces; whether there may be more.
    async fn merge_pieces(&self) -> Result<bool> {
        let today = day_of(now_ms());
        let groups = sqlx::query(include_str!("../../sql/checks/mergeable.sql"))
            .bind(today - RECENT_DAYS)
            .bind(FAN_IN)
            .bind(SPAN)
            .bind(MERGES)
            .bind(today - PAST_DAYS)
            .bind(FEW)
            .bind(APART)
            .fetch_all(self.db.read())
            .await?;
        if groups.is_empty() {
            return Ok(false);
        }
        for group in &groups {
            let (project, endpoint, day, level): (i64, i64, i64, i64) =
                (group.try_get(0)?, group.try_get(1)?, group.try_get(2)?, group.try_get(3)?);
            if !self.merge_day((project, endpoint, day, level)).await? {
                return Ok(false);
            }
        }
        Ok(i64::try_from(groups.len()).is_ok_and(|count| count >= MERGES))
    }

    /// Seals what earlier releases have stored, a check a row.
    async fn absorb_former(&self) -> Result<u64> {
        let mut absorbed = 0;
        loop {
            let oldest = sqlx::query(
                "SELECT project_id, endpoint_id, at FROM checks ORDER BY project_id, endpoint_id, at LIMIT 1",
            )
            .fetch_optional(self.db.read())
            .await?;
            let Some(oldest) = oldest else { return Ok(absorbed) };
            let (project, endpoint, at): (i64, i64, i64) =
                (oldest.try_get(0)?, oldest.try_get(1)?, oldest.try_get(2)?);
            let store = self.clone();
            match self.to_its_end(async move { store.absorb_day(project, endpoint, at).await }).await? {
                0 => return Ok(absorbed),
                some => absorbed += some,
            }
        }
    }

    async fn absorb_day(&self, project: i64, endpoint: i64, at: i64) -> Result<u64> {
        let day = day_of(at);
        let (begin, end) = (day.saturating_mul(DAY_MS), day.saturating_add(1).saturating_mul(DAY_MS));
        let results: Vec<LastCheck> = sqlx::query(include_str!("../../sql/checks/former.sql"))
            .bind(project)
            .bind(endpoint)
            .bind(begin)
            .bind(end)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(former)
            .collect::<Result<_>>()?;
        let spec: Option<String> = sqlx::query_scalar("SELECT spec FROM endpoints WHERE id = $1")
            .bind(endpoint)
            .fetch_optional(self.db.read())
            .await?;
        let spec = spec.and_then(|spec| serde_json::from_str::<crate::EndpointSpec>(&spec).ok());
        let count = results.len() as u64;
        let segment = match spec {
            None => None,
            Some(spec) => {
                let holds = super::record::milliseconds(spec.interval.saturating_add(spec.timeout));
                let checks = results
                    .into_iter()
                    .map(|result| Recorded { endpoint, due: result.at, holds, maintenance: false, result })
                    .collect();
                Some(background(move || Segment::new(ProjectId(project), day, 0, checks)).await?)
            }
        };
        let mut transaction = self.db.begin().await?;
        let gone = sqlx::query(
            "DELETE FROM checks WHERE project_id = $1 AND endpoint_id = $2 AND at >= $3 AND at < $4",
        )
        .bind(project)
        .bind(endpoint)
        .bind(begin)
        .bind(end)
        .execute(&mut *transaction)
        .await?;
        if gone.rows_affected() != count {
            return Ok(0);
        }
        forget_days(&mut transaction, day).await?;
        if let Some(segment) = segment {
            segment.insert(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(count)
    }

    /// Makes one segment of the pieces of an endpoint's day, of one level or, if
    /// that is negative, of all; `false` when another replica was quicker. Damaged
    /// ones are put aside instead, for what is left to be merged without them.
    async fn merge_day(&self, (project, endpoint, day, level): (i64, i64, i64, i64)) -> Result<bool> {
        let rows = sqlx::query(include_str!("../../sql/checks/pieces.sql"))
            .bind(project)
            .bind(endpoint)
            .bind(day)
            .bind(level)
            .bind(APART)
            .fetch_all(self.db.read())
            .await?;
        let (mut pieces, mut highest) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            highest = highest.max(row.try_get::<i64, _>(1)?);
            pieces.push((row.try_get::<i64, _>(0)?, row.try_get::<Vec<u8>, _>(2)?));
        }
        let taken = pieces.len() as u64;
        let (damaged, merged) = background(move || {
            let (mut checks, mut damaged) = (Vec::new(), Vec::new());
            for (first_due, piece) in pieces {
                match unpack(&piece) {
                    Ok(found) => checks.extend(found),
                    Err(error) => {
                        tracing::error!(endpoint, day, first_due, %error, "a piece of checks is damaged");
                        damaged.push(first_due);
                    }
                }
            }
            let level = (highest + 1).min(APART - 1);
            Ok((damaged, Segment::new(ProjectId(project), day, level, checks)?))
        })
        .await?;
        if !damaged.is_empty() {
            for first_due in damaged {
                sqlx::query(include_str!("../../sql/checks/put_apart.sql"))
                    .bind(project)
                    .bind(endpoint)
                    .bind(first_due)
                    .bind(APART)
                    .execute(self.db.write())
                    .await?;
            }
            return Ok(true);
        }
        let mut transaction = self.db.begin().await?;
        let gone = sqlx::query(include_str!("../../sql/checks/drop_pieces.sql"))
            .bind(project)
            .bind(endpoint)
            .bind(day)
            .bind(level)
            .bind(APART)
            .execute(&mut *transaction)
            .await?;
        if gone.rows_affected() != taken {
            return Ok(false);
        }
        merged.insert(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Which project each endpoint belongs to.
    async fn owners(&self) -> Result<BTreeMap<i64, ProjectId>> {
        sqlx::query("SELECT id, project_id FROM endpoints")
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| Ok((row.try_get(0)?, ProjectId(row.try_get(1)?))))
            .collect()
    }
}

/// Checks of one endpoint and day, ready to be stored.
struct Segment {
    project: ProjectId,
    endpoint: i64,
    first_due: i64,
    first_at: i64,
    last_at: i64,
    day: i64,
    level: i64,
    rows: i64,
    summary: Vec<u8>,
    data: Vec<u8>,
}

impl Segment {
    fn new(project: ProjectId, day: i64, level: i64, mut checks: Vec<Recorded>) -> Result<Self> {
        checks.sort_by_key(|check| check.due);
        let times = checks.iter().map(|check| check.result.at);
        Ok(Self {
            project,
            endpoint: checks.first().map_or(0, |check| check.endpoint),
            first_due: checks.first().map_or(0, |check| check.due),
            first_at: times.clone().min().unwrap_or_default(),
            last_at: times.max().unwrap_or_default(),
            day,
            level,
            rows: i64::try_from(checks.len()).unwrap_or(i64::MAX),
            summary: summary::encode(&summary::sum_up(&checks)),
            data: pack(&checks, EFFORT)?,
        })
    }

    async fn insert(mut self, transaction: &mut Transaction<'static, Any>) -> Result<()> {
        loop {
            let inserted = sqlx::query(include_str!("../../sql/checks/insert_segment.sql"))
                .bind(self.project.0)
                .bind(self.endpoint)
                .bind(self.first_due)
                .bind(self.first_at)
                .bind(self.last_at)
                .bind(self.day)
                .bind(self.level)
                .bind(self.rows)
                .bind(self.summary.clone())
                .bind(self.data.clone())
                .execute(&mut **transaction)
                .await?;
            if inserted.rows_affected() > 0 {
                return Ok(());
            }
            // A check beside the schedule, or a clock that was put back, gives an instant once more. As a
            // key one that is a little earlier does as well.
            self.first_due -= 1;
        }
    }
}

fn former(row: &sqlx::any::AnyRow) -> Result<LastCheck> {
    let ok: i64 = row.try_get(1)?;
    let status: Option<i64> = row.try_get(2)?;
    Ok(LastCheck {
        at: row.try_get(0)?,
        ok: ok != 0,
        status: status.and_then(|status| i32::try_from(status).ok()),
        duration_us: row.try_get(3)?,
        message: row.try_get(4)?,
        ..LastCheck::default()
    })
}
