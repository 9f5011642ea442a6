//! What is known of an endpoint's past: segments, and the batches that are not
//! sealed yet, at one moment.

use std::collections::HashMap;

use futures::TryStreamExt;
use sqlx::{Any, Row, Transaction};

use super::{
    availability::{Availability, Bucket, Buckets, Outage, Outages, Sample, Tally, Verdict},
    pack::{Recorded, unpack},
    summary,
};
use crate::{DAY_MS, LastCheck, ProjectId, Result, State, Store, StoreError, day_of, now_ms};

/// How far before a range all segments are looked at, milliseconds: at least as far
/// as one reaches. Beyond that only the newest may matter, whose last check holds
/// on into the range when the next one is due in a week.
const REACH: i64 = 2 * DAY_MS;

/// A part of an endpoint's past, in the order of time.
enum Piece {
    /// A segment that its sum stands for.
    Sum(Tally),
    /// Checks one by one.
    Checks(Vec<Recorded>),
}

/// A change of state, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastTransition {
    /// Its number among all transitions.
    pub seq: i64,
    /// When the check that decided it began, UTC milliseconds.
    pub at: i64,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// What the deciding check said.
    pub message: Option<String>,
}

impl Store {
    /// Checks of an endpoint that started from `from` up to, not including,
    /// `to` (UTC milliseconds): the `limit` oldest, or the newest with
    /// `newest_first`, which also says their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checks_between(
        &self,
        project: ProjectId,
        endpoint: i64,
        from: i64,
        to: i64,
        limit: usize,
        newest_first: bool,
    ) -> Result<Vec<LastCheck>> {
        let found = self.recorded(project, endpoint, (from, to), limit, newest_first).await?;
        Ok(found.into_iter().map(|check| check.result).collect())
    }

    /// The instants for which the checks of [`Store::checks_between`] were
    /// planned, oldest first; each is there once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn planned_between(
        &self,
        project: ProjectId,
        endpoint: i64,
        from: i64,
        to: i64,
    ) -> Result<Vec<i64>> {
        let found = self.recorded(project, endpoint, (from, to), usize::MAX, false).await?;
        Ok(found.into_iter().map(|check| check.due).collect())
    }

    /// Number of the checks that [`Store::checks_between`] would give without a limit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_count(&self, project: ProjectId, endpoint: i64, from: i64, to: i64) -> Result<i64> {
        Ok(self.availability(project, endpoint, from, to).await?.checks)
    }

    /// How an endpoint's time from `from` up to, not including, `to` (UTC
    /// milliseconds) was spent. Of a range that reaches into the future, that
    /// part is unknown: give the present as `to`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn availability(
        &self,
        project: ProjectId,
        endpoint: i64,
        from: i64,
        to: i64,
    ) -> Result<Availability> {
        let parts = self.buckets(project, endpoint, from, to, 1).await?;
        Ok(parts.into_iter().next().map(|part| part.availability).unwrap_or_default())
    }

    /// [`Store::availability`] of every endpoint of which the range tells anything,
    /// by id, without latencies. Of a sealed piece in which the range begins, its
    /// share counts. One whose sum is damaged is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn availability_of_all(&self, from: i64, to: i64) -> Result<HashMap<i64, Availability>> {
        let [all] = self.availabilities([from], to).await?;
        Ok(all)
    }

    /// [`Store::availability_of_all`] of several ranges with the same end.
    pub(super) async fn availabilities<const N: usize>(
        &self,
        from: [i64; N],
        to: i64,
    ) -> Result<[HashMap<i64, Availability>; N]> {
        let earliest = from.iter().copied().min().unwrap_or(to);
        let mut transaction = self.db.snapshot().await?;
        let mut tallies: [HashMap<i64, Tally>; N] = std::array::from_fn(|_| HashMap::new());
        let first_day = day_of(earliest);
        let mut rows = sqlx::query(include_str!("../../sql/checks/segments_of_all.sql"))
            .bind(first_day)
            .bind(day_of(to.saturating_sub(1)))
            .bind(first_day.saturating_mul(DAY_MS))
            .fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            let endpoint: i64 = row.try_get(0)?;
            let (first, last): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
            if first >= to {
                continue;
            }
            let sum = match summary::decode_time(&row.try_get::<Vec<u8>, _>(3)?) {
                Ok(sum) => sum,
                Err(error) => {
                    tracing::error!(endpoint, %error, "a sealed sum of checks is damaged and left out");
                    continue;
                }
            };
            for (tallies, from) in tallies.iter_mut().zip(from) {
                let tally = tallies.entry(endpoint).or_insert_with(|| Tally::new(from, to));
                match sum.last {
                    // It ends before the range and may hold on into it.
                    Some(sample) if last < from => tally.push(sample),
                    _ if first >= from => tally.append(&sum),
                    _ => tally.append(&sum.since(from)),
                }
            }
        }
        drop(rows);
        for check in unsealed(&mut transaction, None, earliest.saturating_sub(REACH), to).await? {
            for (tallies, from) in tallies.iter_mut().zip(from) {
                let tally = tallies.entry(check.endpoint).or_insert_with(|| Tally::new(from, to));
                tally.push(check.sample());
            }
        }
        Ok(tallies.map(|tallies| {
            tallies
                .into_iter()
                .map(|(endpoint, tally)| (endpoint, Availability { latency: None, ..tally.finish() }))
                .filter(|(_, found)| found.checks > 0 || found.observed() > 0.0)
                .collect()
        }))
    }

    /// The range in `count` equal parts, for bars and charts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn buckets(
        &self,
        project: ProjectId,
        endpoint: i64,
        from: i64,
        to: i64,
        count: usize,
    ) -> Result<Vec<Bucket>> {
        let mut buckets = Buckets::new(from, to, count);
        let pieces = self.pieces(project, endpoint, from, to, |sum| buckets.takes_whole(sum)).await?;
        for piece in pieces {
            match piece {
                Piece::Sum(sum) => buckets.append(&sum),
                Piece::Checks(checks) => checks.iter().for_each(|check| buckets.push(check.sample())),
            }
        }
        Ok(buckets.finish())
    }

    /// Outages of an endpoint whose checks lie in the range, oldest first. One
    /// that began before it starts with its first check in it. Bad checks in
    /// maintenance windows are none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outages(
        &self,
        project: ProjectId,
        endpoint: i64,
        from: i64,
        to: i64,
    ) -> Result<Vec<Outage>> {
        let mut outages = Outages::default();
        // Of a segment without a bad check, only where it begins matters.
        let all_good = |sum: &Tally| sum.good == sum.checks && sum.first.is_some_and(|first| first >= from);
        for piece in self.pieces(project, endpoint, from, to, all_good).await? {
            match piece {
                Piece::Sum(sum) => outages.push(sum.first.unwrap_or(from), None),
                Piece::Checks(checks) => {
                    let within = |check: &&Recorded| (from..to).contains(&check.result.at);
                    for check in checks.iter().filter(within) {
                        let Recorded { holds, maintenance, result, .. } = check;
                        let bad = !result.ok && !maintenance;
                        let until = result.at.saturating_add(*holds);
                        let said = result.message.as_deref().unwrap_or_default();
                        outages.push(result.at, bad.then_some((until, said)));
                    }
                }
            }
        }
        Ok(outages.finish(to.min(now_ms())))
    }

    /// Changes of an endpoint's state in a range, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transitions_between(
        &self,
        project: ProjectId,
        endpoint: i64,
        from: i64,
        to: i64,
    ) -> Result<Vec<PastTransition>> {
        sqlx::query(include_str!("../../sql/checks/transitions.sql"))
            .bind(project.0)
            .bind(endpoint)
            .bind(from)
            .bind(to)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                Ok(PastTransition {
                    seq: row.try_get(0)?,
                    at: row.try_get(1)?,
                    from: State::parse(&row.try_get::<String, _>(2)?)?,
                    to: State::parse(&row.try_get::<String, _>(3)?)?,
                    message: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Newest planned instant of each endpoint that was ever checked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_planned(&self) -> Result<HashMap<i64, i64>> {
        sqlx::query("SELECT id, due FROM endpoints WHERE due IS NOT NULL")
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Checks of a range, from one end of it up to `limit`.
    async fn recorded(
        &self,
        project: ProjectId,
        endpoint: i64,
        (from, to): (i64, i64),
        limit: usize,
        newest_first: bool,
    ) -> Result<Vec<Recorded>> {
        let mut transaction = self.db.snapshot().await?;
        if !is_there(&mut transaction, project, endpoint).await? {
            return Ok(Vec::new());
        }
        let mut sealed = sealed(&mut transaction, project, endpoint, from, to).await?;
        sealed.retain(|segment| segment.last_at >= from && segment.first_at < to);
        let unsealed = unsealed(&mut transaction, Some(endpoint), from, to).await?;
        let within = |check: &Recorded| (from..to).contains(&check.result.at);
        let mut found = Vec::new();
        if newest_first {
            found.extend(unsealed.into_iter().rev().filter(within));
            for segment in sealed.iter().rev() {
                if found.len() >= limit {
                    break;
                }
                let checks = read(&mut transaction, project, endpoint, segment.first_due).await?;
                found.extend(checks.into_iter().rev().filter(within));
            }
        } else {
            for segment in &sealed {
                if found.len() >= limit {
                    break;
                }
                let checks = read(&mut transaction, project, endpoint, segment.first_due).await?;
                found.extend(checks.into_iter().filter(within));
            }
            found.extend(unsealed.into_iter().filter(within));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The past that touches a range: the sums of those segments for which
    /// `enough` says so, the checks of all else.
    async fn pieces(
        &self,
        project: ProjectId,
        endpoint: i64,
        from: i64,
        to: i64,
        enough: impl Fn(&Tally) -> bool,
    ) -> Result<Vec<Piece>> {
        let mut transaction = self.db.snapshot().await?;
        let mut pieces = Vec::new();
        if !is_there(&mut transaction, project, endpoint).await? {
            return Ok(pieces);
        }
        for segment in sealed(&mut transaction, project, endpoint, from, to).await? {
            let Some(last) = segment.sum.last else { continue };
            if segment.first_at >= to {
                continue;
            }
            if last.at < from {
                // Only how it ends may matter.
                if last.at.saturating_add(last.holds) > from {
                    pieces.push(Piece::Checks(vec![ending(endpoint, last)]));
                }
            } else if enough(&segment.sum) {
                pieces.push(Piece::Sum(segment.sum));
            } else {
                let checks = read(&mut transaction, project, endpoint, segment.first_due).await?;
                pieces.push(Piece::Checks(checks));
            }
        }
        let checks = unsealed(&mut transaction, Some(endpoint), from.saturating_sub(REACH), to).await?;
        pieces.push(Piece::Checks(checks));
        Ok(pieces)
    }
}

/// Whether a project has an endpoint. Batches hold those of all projects, and
/// for a while those of endpoints that are gone.
async fn is_there(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
    endpoint: i64,
) -> Result<bool> {
    let found: Option<i64> = sqlx::query_scalar("SELECT id FROM endpoints WHERE id = $1 AND project_id = $2")
        .bind(endpoint)
        .bind(project.0)
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(found.is_some())
}

/// A segment without its checks.
pub(super) struct Sealed {
    pub(super) first_due: i64,
    first_at: i64,
    last_at: i64,
    sum: Tally,
}

/// The segments of an endpoint that may touch a range or hold on into it, oldest first.
pub(super) async fn sealed(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
    endpoint: i64,
    from: i64,
    to: i64,
) -> Result<Vec<Sealed>> {
    sqlx::query(include_str!("../../sql/checks/segments.sql"))
        .bind(project.0)
        .bind(endpoint)
        .bind(from.saturating_sub(REACH))
        .bind(to)
        .fetch_all(&mut **transaction)
        .await?
        .iter()
        .map(|row| {
            Ok(Sealed {
                first_due: row.try_get(0)?,
                first_at: row.try_get(1)?,
                last_at: row.try_get(2)?,
                sum: summary::decode(&row.try_get::<Vec<u8>, _>(3)?)?,
            })
        })
        .collect()
}

pub(super) async fn read(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
    endpoint: i64,
    first_due: i64,
) -> Result<Vec<Recorded>> {
    let data: Vec<u8> = sqlx::query_scalar(include_str!("../../sql/checks/segment.sql"))
        .bind(project.0)
        .bind(endpoint)
        .bind(first_due)
        .fetch_one(&mut **transaction)
        .await?;
    unpack(&data)
}

/// Checks that are not sealed yet, of one endpoint or all, in the order of their instants.
pub(super) async fn unsealed(
    transaction: &mut Transaction<'static, Any>,
    endpoint: Option<i64>,
    from: i64,
    to: i64,
) -> Result<Vec<Recorded>> {
    let batches: Vec<Vec<u8>> = sqlx::query_scalar(include_str!("../../sql/checks/batches.sql"))
        .bind(from)
        .bind(to)
        .fetch_all(&mut **transaction)
        .await?;
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut checks = Vec::new();
        for batch in batches {
            let wanted = |check: &Recorded| endpoint.is_none_or(|endpoint| check.endpoint == endpoint);
            checks.extend(unpack(&batch)?.into_iter().filter(wanted));
        }
        checks.sort_by_key(|check| check.due);
        Ok(checks)
    });
    unpacking.await.map_err(|error| StoreError::Damaged(error.to_string()))?
}

/// A check that a sum knows of only by what it means.
fn ending(endpoint: i64, last: Sample) -> Recorded {
    Recorded {
        endpoint,
        due: last.at,
        holds: last.holds,
        maintenance: last.verdict == Verdict::Maintenance,
        result: LastCheck {
            at: last.at,
            ok: last.ok,
            degraded: last.verdict == Verdict::Degraded,
            duration_us: last.duration_us,
            ..LastCheck::default()
        },
    }
}
