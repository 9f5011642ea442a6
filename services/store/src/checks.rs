//! Results of checks, good and bad, and the transitions that they cause.

use std::collections::{BTreeMap, HashMap};

use sqlx::{Row, any::AnyRow};

use crate::{LastCheck, ProjectId, Result, State, Store, endpoints::next};

/// One check of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Owner of the endpoint.
    pub project: ProjectId,
    /// The endpoint.
    pub endpoint: i64,
    /// When, how it went and why.
    pub result: LastCheck,
}

/// Share of good checks among those made, per window; `None` where none was made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Uptime {
    /// Over the last 24 hours, 0 to 1.
    pub day: Option<f64>,
    /// Over the last 7 days, 0 to 1.
    pub week: Option<f64>,
    /// Over the last 30 days, 0 to 1.
    pub month: Option<f64>,
}

impl Store {
    /// Stores results and moves the states of their endpoints, all or nothing.
    /// Results of endpoints that have gone or been suspended meanwhile are dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_checks(&self, checks: &[Check]) -> Result<()> {
        let mut transaction = self.db.begin().await?;
        let mut newest: BTreeMap<i64, &Check> = BTreeMap::new();
        for check in checks {
            let result = &check.result;
            sqlx::query(include_str!("../sql/checks/insert.sql"))
                .bind(check.project.0)
                .bind(check.endpoint)
                .bind(result.at)
                .bind(result.ok)
                .bind(result.status.map(i64::from))
                .bind(result.duration_us)
                .bind(result.message.as_deref())
                .execute(&mut *transaction)
                .await?;
            let entry = newest.entry(check.endpoint).or_insert(check);
            if result.at >= entry.result.at {
                *entry = check;
            }
        }
        for (endpoint, check) in newest {
            let state = if check.result.ok { State::Up } else { State::Down };
            let last = serde_json::to_string(&check.result)?;
            let same = sqlx::query(include_str!("../sql/checks/keep_state.sql"))
                .bind(endpoint)
                .bind(state.as_str())
                .bind(&last)
                .bind(check.result.at)
                .execute(&mut *transaction)
                .await?;
            if same.rows_affected() == 0 {
                let transition = next(&mut transaction, "transitions").await?;
                sqlx::query(include_str!("../sql/checks/change_state.sql"))
                    .bind(endpoint)
                    .bind(state.as_str())
                    .bind(&last)
                    .bind(check.result.at)
                    .bind(transition)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Results of one endpoint since `from` (UTC milliseconds), oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checks(&self, project: ProjectId, endpoint: i64, from: i64) -> Result<Vec<LastCheck>> {
        sqlx::query(include_str!("../sql/checks/list.sql"))
            .bind(project.0)
            .bind(endpoint)
            .bind(from)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let ok: i64 = row.try_get(1)?;
                let status: Option<i64> = row.try_get(2)?;
                Ok(LastCheck {
                    at: row.try_get(0)?,
                    ok: ok != 0,
                    status: status.and_then(|status| i32::try_from(status).ok()),
                    duration_us: row.try_get(3)?,
                    message: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Uptime of one endpoint over the 30 days before `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn uptime(&self, project: ProjectId, endpoint: i64, now: i64) -> Result<Uptime> {
        let row = sqlx::query(include_str!("../sql/checks/uptime.sql"))
            .bind(project.0)
            .bind(endpoint)
            .bind(days_before(now, 1))
            .bind(days_before(now, 7))
            .bind(days_before(now, 30))
            .fetch_one(self.db.read())
            .await?;
        Uptime::read(&row, 0)
    }

    /// Uptime of every endpoint that was checked in the last 30 days before `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn uptimes(&self, now: i64) -> Result<HashMap<i64, Uptime>> {
        sqlx::query(include_str!("../sql/checks/uptimes.sql"))
            .bind(days_before(now, 1))
            .bind(days_before(now, 7))
            .bind(days_before(now, 30))
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| Ok((row.try_get(0)?, Uptime::read(row, 1)?)))
            .collect()
    }
}

impl Uptime {
    /// Reads good and all checks of each window, from a column on.
    fn read(row: &AnyRow, first: usize) -> Result<Self> {
        let share = |index: usize| -> Result<Option<f64>> {
            let (good, all): (i64, i64) = (row.try_get(index)?, row.try_get(index + 1)?);
            #[allow(clippy::cast_precision_loss)] // counts far below 2^52
            Ok((all > 0).then(|| good as f64 / all as f64))
        };
        Ok(Self { day: share(first)?, week: share(first + 2)?, month: share(first + 4)? })
    }
}

fn days_before(now: i64, days: i64) -> i64 {
    now - days * crate::DAY_MS
}
