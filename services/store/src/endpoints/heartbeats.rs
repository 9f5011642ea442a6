//! Calls of endpoints that report by themselves.

use std::collections::HashMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};
use sqlx::{Any, Row, Transaction};

use super::{Endpoint, NewEndpoint, Probe, select};
use crate::{Check, LastCheck, Result, Store, db};

/// How far ahead of the database's clock the newest call may be before it is taken for one of a clock that
/// was wrong, milliseconds.
const AHEAD: i64 = 60_000;

/// A call of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// When it came by the database's clock, UTC milliseconds.
    pub at: i64,
    /// Whether it said that all is well.
    pub ok: bool,
}

impl Store {
    /// Stores a call that names its endpoints by `token`, as a check of each;
    /// tells how many there are. What is stored survives this process. Its time is the
    /// database's, whatever `result.at` is: clocks of replicas may differ.
    ///
    /// # Errors
    /// When the database fails; the call can then be repeated.
    pub async fn push_heartbeat(&self, token: &str, result: &LastCheck) -> Result<usize> {
        let hash = hash(token);
        let mut snapshot = self.db.snapshot().await?;
        let condition = "id IN (SELECT endpoint_id FROM heartbeats WHERE token_hash = $1)";
        let endpoints: Vec<Endpoint> = select(&mut snapshot, condition, &hash).await?;
        let now = db::now(&mut snapshot).await?;
        drop(snapshot);
        if endpoints.is_empty() {
            return Ok(0);
        }
        // First the call itself: a check without it would be followed by a false miss.
        let times: Vec<i64> = sqlx::query_scalar(include_str!("../../sql/heartbeats/push.sql"))
            .bind(&hash)
            .bind(now)
            .bind(now.saturating_add(AHEAD))
            .bind(i64::from(result.ok))
            .fetch_all(self.db.write())
            .await?;
        let result = LastCheck { at: times.into_iter().max().unwrap_or(now), ..result.clone() };
        let checks: Vec<Check> = endpoints
            .iter()
            .filter(|endpoint| !endpoint.spec.suspended)
            .map(|endpoint| Check {
                project: endpoint.project,
                endpoint: endpoint.id,
                result: result.clone(),
            })
            .collect();
        self.record_checks(&checks).await?;
        Ok(endpoints.len())
    }

    /// The newest call of each endpoint that called.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn heartbeats(&self) -> Result<HashMap<i64, Heartbeat>> {
        sqlx::query("SELECT endpoint_id, pushed_at, pushed_ok FROM heartbeats WHERE pushed_at > 0")
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let ok: i64 = row.try_get(2)?;
                Ok((row.try_get(0)?, Heartbeat { at: row.try_get(1)?, ok: ok != 0 }))
            })
            .collect()
    }
}

/// Keeps the tokens in step with an endpoint that was put.
pub(super) async fn follow(transaction: &mut Transaction<'static, Any>, new: &NewEndpoint) -> Result<()> {
    match &new.spec.probe {
        Probe::Heartbeat(probe) => {
            sqlx::query(include_str!("../../sql/heartbeats/put.sql"))
                .bind(&new.uid)
                .bind(hash(&probe.token))
                .execute(&mut **transaction)
                .await?;
        }
        _ => forget(transaction, &new.uid).await?,
    }
    Ok(())
}

/// Forgets the token of an endpoint.
pub(super) async fn forget(transaction: &mut Transaction<'static, Any>, uid: &str) -> Result<()> {
    sqlx::query(include_str!("../../sql/heartbeats/delete.sql"))
        .bind(uid)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// A token is looked up by its hash, so that how long that takes says nothing of it.
fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
