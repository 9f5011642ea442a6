//! Storing results: once each, only by who may, with the transitions and the
//! notices that they cause in the same transaction.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use serde_json::json;
use sqlx::{Any, Row, Transaction as Sql, any::AnyRow};

use super::{
    Check,
    pack::{Recorded, pack},
};
use crate::{
    EndpointSpec, LastCheck, Probe, ProjectId, Result, Standing, State, Store, StoreError, Transition,
    alerts, checkers, db::Dialect, standing::advance,
};

/// How hard batches are compressed; they are read again soon.
const EFFORT: i32 = 1;

/// How often a transaction is tried that lost a race.
const TRIES: usize = 5;

/// How far ahead of the database's clock the newest check of an endpoint may be
/// before it is taken for one of a clock that was wrong, milliseconds.
const AHEAD: i64 = 60_000;

/// A check that was planned, as a replica makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCheck {
    /// The instant for which it was planned, UTC milliseconds. Of an endpoint's
    /// checks only one with a given instant is stored, and none before it afterwards.
    pub due: i64,
    /// What it found.
    pub check: Check,
}

/// What became of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recording {
    /// Stored now.
    pub stored: usize,
    /// There already, or not newer than what is there.
    pub known: usize,
    /// Of endpoints that have gone or are suspended.
    pub gone: usize,
    /// Of endpoints that this replica does not own (any more).
    pub refused: usize,
}

/// An endpoint in the middle of a batch.
struct Subject {
    standing: Standing,
    spec: EndpointSpec,
    seq: i64,
    before: Option<i64>,
    due: Option<i64>,
    /// The newest of its transitions in this batch, which becomes its state.
    changed: bool,
}

impl Subject {
    /// A check of it as it is stored. It holds until the next one is overdue.
    fn recorded(&self, due: i64, result: &LastCheck) -> Recorded {
        let spec = &self.spec;
        let grace = match &spec.probe {
            Probe::Heartbeat(probe) => probe.grace,
            _ => Duration::ZERO,
        };
        Recorded {
            endpoint: self.standing.endpoint,
            due,
            holds: milliseconds(spec.interval.saturating_add(spec.timeout).saturating_add(grace)),
            maintenance: self.standing.state == State::Maintenance,
            result: result.clone(),
        }
    }
}

impl Store {
    /// Stores results that no replica owns, such as pushed ones, and moves the
    /// states of their endpoints, all or nothing. A result that is not newer
    /// than the newest of its endpoint is dropped, as are those of endpoints that
    /// have gone or been suspended meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_checks(&self, checks: &[Check]) -> Result<()> {
        let planned =
            checks.iter().map(|check| PlannedCheck { due: check.result.at, check: check.clone() }).collect();
        self.record(None, planned).await.map(drop)
    }

    /// Stores results of planned checks as [`Store::record_checks`] does, under
    /// the term of the replica that made them. Results of endpoints that the
    /// term does not own are refused, one by one.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the term has ended: nothing is stored then.
    /// When the database fails; the same results may be given again.
    pub async fn record_planned(&self, term: i64, checks: Vec<PlannedCheck>) -> Result<Recording> {
        self.record(Some(term), checks).await
    }

    /// Stores a check that somebody asked for beside the schedule: it is part of
    /// the endpoint's past, and moves no state. That of an endpoint that has gone is dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_manual_check(&self, check: &Check) -> Result<()> {
        let (store, mut check) = (self.clone(), check.clone());
        check.result = check.result.with_plain_message();
        self.to_its_end(async move {
            let mut transaction = store.db.begin().await?;
            let planned = [PlannedCheck { due: check.result.at, check }];
            let subjects = store.subjects(&mut transaction, &planned).await?;
            let [PlannedCheck { due, check }] = planned;
            let Some(subject) = subjects.get(&check.endpoint) else { return Ok(()) };
            append(&mut transaction, &[subject.recorded(due, &check.result)]).await?;
            // One that took long may have been overtaken.
            let newest = subject.standing.last_check.as_ref().is_none_or(|known| known.at <= check.result.at);
            if newest {
                sqlx::query("UPDATE endpoints SET last_check = $2 WHERE id = $1 AND state <> 'Suspended'")
                    .bind(check.endpoint)
                    .bind(serde_json::to_string(&check.result)?)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    async fn record(&self, term: Option<i64>, mut checks: Vec<PlannedCheck>) -> Result<Recording> {
        for planned in &mut checks {
            planned.check.result = std::mem::take(&mut planned.check.result).with_plain_message();
        }
        checks.sort_by_key(|planned| (planned.check.endpoint, planned.due));
        let store = self.clone();
        self.to_its_end(async move {
            let mut tries = 1;
            loop {
                match store.try_record(term, &checks).await {
                    Err(error) if tries < TRIES && is_race(&error) => tries += 1,
                    done => return done,
                }
            }
        })
        .await
    }

    async fn try_record(&self, term: Option<i64>, checks: &[PlannedCheck]) -> Result<Recording> {
        let mut transaction = self.db.begin().await?;
        let now: i64 = sqlx::query_scalar(match self.db.dialect {
            Dialect::Sqlite => include_str!("../../sql/sqlite/now.sql"),
            Dialect::Postgres => include_str!("../../sql/postgres/begin_record.sql"),
        })
        .fetch_one(&mut *transaction)
        .await?;
        let owned = match term {
            Some(term) => Some(self.owned(&mut transaction, term).await?),
            None => None,
        };
        let mut subjects = self.subjects(&mut transaction, checks).await?;

        let mut recording = Recording::default();
        let (mut stored, mut transitions) = (Vec::new(), Vec::new());
        for PlannedCheck { due, check } in checks {
            if owned.as_ref().is_some_and(|owned| !owned.contains(&checkers::shard_of(check.endpoint))) {
                recording.refused += 1;
                continue;
            }
            let subject = subjects.get_mut(&check.endpoint).filter(|subject| {
                subject.standing.project == check.project && subject.standing.state != State::Suspended
            });
            let Some(subject) = subject else {
                recording.gone += 1;
                continue;
            };
            let newest = subject.due.filter(|newest| *newest <= now.saturating_add(AHEAD));
            if newest.is_some_and(|newest| newest >= *due) {
                recording.known += 1;
                continue;
            }
            if let Some(transition) = advance(&mut subject.standing, &subject.spec, &check.result) {
                subject.changed = true;
                transitions.push(transition);
            }
            subject.due = Some(*due);
            stored.push(subject.recorded(*due, &check.result));
        }
        recording.stored = stored.len();
        if stored.is_empty() {
            return Ok(recording);
        }

        // Before any endpoint's row, as whoever changes a specification does.
        number(&mut transaction, &mut transitions).await?;
        append(&mut transaction, &stored).await?;
        self.advance(&mut transaction, &subjects).await?;
        for transition in &transitions {
            note(&mut transaction, transition).await?;
        }
        change_states(&mut transaction, &subjects, &transitions).await?;
        alerts::enqueue(&mut transaction, &transitions).await?;
        transaction.commit().await?;
        Ok(recording)
    }

    /// The shards that a term owns, which stay its own until the transaction ends.
    async fn owned(&self, transaction: &mut Sql<'static, Any>, term: i64) -> Result<HashSet<i64>> {
        let held: Option<i64> = sqlx::query_scalar(match self.db.dialect {
            Dialect::Sqlite => include_str!("../../sql/sqlite/hold_term.sql"),
            Dialect::Postgres => include_str!("../../sql/postgres/hold_term.sql"),
        })
        .bind(term)
        .fetch_optional(&mut **transaction)
        .await?;
        held.ok_or(StoreError::Fenced)?;
        let shards: Vec<i64> = sqlx::query_scalar("SELECT shard FROM check_shards WHERE term = $1")
            .bind(term)
            .fetch_all(&mut **transaction)
            .await?;
        Ok(shards.into_iter().collect())
    }

    async fn subjects(
        &self,
        transaction: &mut Sql<'static, Any>,
        checks: &[PlannedCheck],
    ) -> Result<BTreeMap<i64, Subject>> {
        let ids: BTreeSet<i64> = checks.iter().map(|planned| planned.check.endpoint).collect();
        let rows = sqlx::query(match self.db.dialect {
            Dialect::Sqlite => include_str!("../../sql/sqlite/standings.sql"),
            Dialect::Postgres => include_str!("../../sql/postgres/standings.sql"),
        })
        .bind(serde_json::to_string(&ids)?)
        .fetch_all(&mut **transaction)
        .await?;
        let mut subjects = BTreeMap::new();
        for row in &rows {
            // One damaged row never holds up the others.
            match self.subject(row) {
                Ok(subject) => drop(subjects.insert(subject.standing.endpoint, subject)),
                Err(error) => tracing::error!(%error, "results of a damaged endpoint are dropped"),
            }
        }
        Ok(subjects)
    }

    fn subject(&self, row: &AnyRow) -> Result<Subject> {
        let (last_check, memory): (Option<String>, Option<String>) = (row.try_get(5)?, row.try_get(6)?);
        let due: Option<i64> = row.try_get(7)?;
        let standing = Standing {
            endpoint: row.try_get(0)?,
            project: ProjectId(row.try_get(1)?),
            state: State::parse(&row.try_get::<String, _>(3)?)?,
            since: row.try_get(4)?,
            last_check: last_check.as_deref().map(serde_json::from_str).transpose()?,
            memory: memory.and_then(|memory| serde_json::from_str(&memory).ok()).unwrap_or_default(),
        };
        let spec = serde_json::from_str(&row.try_get::<String, _>(8)?)?;
        Ok(Subject { standing, spec, seq: row.try_get(2)?, before: due, due, changed: false })
    }

    /// Writes what changed of the endpoints, unless somebody else was quicker with one of them.
    async fn advance(
        &self,
        transaction: &mut Sql<'static, Any>,
        subjects: &BTreeMap<i64, Subject>,
    ) -> Result<()> {
        let moved: Vec<serde_json::Value> = subjects
            .values()
            .filter(|subject| subject.due != subject.before)
            .map(|subject| {
                let standing = &subject.standing;
                let last_check = standing.last_check.as_ref().map(serde_json::to_string).transpose()?;
                Ok(json!({
                    "id": standing.endpoint,
                    "seq": subject.seq,
                    "before": subject.before,
                    "due": subject.due,
                    "last_check": last_check,
                    "memory": serde_json::to_string(&standing.memory)?,
                }))
            })
            .collect::<Result<_>>()?;
        let done = sqlx::query(match self.db.dialect {
            Dialect::Sqlite => include_str!("../../sql/sqlite/advance.sql"),
            Dialect::Postgres => include_str!("../../sql/postgres/advance.sql"),
        })
        .bind(serde_json::to_string(&moved)?)
        .execute(&mut **transaction)
        .await?;
        if done.rows_affected() != moved.len() as u64 {
            return Err(StoreError::Raced);
        }
        Ok(())
    }
}

/// Gives transitions their numbers.
async fn number(transaction: &mut Sql<'static, Any>, transitions: &mut [Transition]) -> Result<()> {
    if transitions.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(transitions.len()).unwrap_or(i64::MAX);
    let last: i64 = sqlx::query_scalar(
        "UPDATE sequences SET value = value + $1 WHERE name = 'transitions' RETURNING value",
    )
    .bind(count)
    .fetch_one(&mut **transaction)
    .await?;
    for (seq, transition) in (last - count + 1..).zip(transitions) {
        transition.seq = seq;
    }
    Ok(())
}

async fn append(transaction: &mut Sql<'static, Any>, stored: &[Recorded]) -> Result<()> {
    let times = stored.iter().map(|check| check.result.at);
    let (first, last) = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
    sqlx::query(include_str!("../../sql/checks/append.sql"))
        .bind(i64::try_from(stored.len()).unwrap_or(i64::MAX))
        .bind(first)
        .bind(last)
        .bind(pack(stored, EFFORT)?)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn note(transaction: &mut Sql<'static, Any>, transition: &Transition) -> Result<()> {
    sqlx::query(include_str!("../../sql/checks/note_transition.sql"))
        .bind(transition.project.0)
        .bind(transition.endpoint)
        .bind(transition.seq)
        .bind(transition.at)
        .bind(transition.from.as_str())
        .bind(transition.to.as_str())
        .bind(transition.message.as_deref())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn change_states(
    transaction: &mut Sql<'static, Any>,
    subjects: &BTreeMap<i64, Subject>,
    transitions: &[Transition],
) -> Result<()> {
    for (endpoint, subject) in subjects.iter().filter(|(_, subject)| subject.changed) {
        let newest = transitions.iter().rfind(|transition| transition.endpoint == *endpoint);
        sqlx::query(include_str!("../../sql/checks/change_state.sql"))
            .bind(*endpoint)
            .bind(subject.standing.state.as_str())
            .bind(subject.standing.since)
            .bind(newest.map_or(0, |transition| transition.seq))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Whether trying again at once may help: somebody else was quicker, or Postgres
/// has ended a deadlock.
fn is_race(error: &StoreError) -> bool {
    match error {
        StoreError::Raced => true,
        StoreError::Database(sqlx::Error::Database(error)) => {
            matches!(error.code().as_deref(), Some("40P01" | "40001"))
        }
        _ => false,
    }
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
