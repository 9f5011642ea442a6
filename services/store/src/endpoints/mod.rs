//! Endpoints to watch, and the state each is in.

mod alerts;
mod heartbeats;
mod observed;
mod probe;
mod spec;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::{
    Any, Row, Transaction,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::{ProjectId, Result, Store, StoreError, now_ms};

pub use alerts::{AlertSpec, Escalation, FlappingSpec, MaintenanceWindow};
pub use heartbeats::Heartbeat;
pub use probe::{
    AddressPolicy, ConnectOptions, DnsProbe, DnsTransport, Exchange, GrpcProbe, HeartbeatProbe, HttpAuth,
    HttpProbe, HttpVersion, IcmpProbe, IpFamily, Probe, StartTls, TcpProbe, TlsOptions, TlsProbe,
    WebSocketProbe,
};
pub use spec::{Assertion, EndpointSpec, Retry, Severity, Slo};

/// Who asked for an endpoint to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A MonitoredEndpoint that the operator pushes.
    Kubernetes,
    /// A MonitoredEndpoint in a manifest file of `watchkeeper local`.
    Manifest,
    /// A monitor that an api-analytics user added: a stranger, for the probe's guard.
    Monitor,
    /// What somebody made through the monitoring interface, or in its configuration file.
    Api,
}

impl Origin {
    /// The word stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Manifest => "manifest",
            Self::Monitor => "monitor",
            Self::Api => "api",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        [Self::Kubernetes, Self::Manifest, Self::Monitor, Self::Api]
            .into_iter()
            .find(|origin| origin.as_str() == text)
            .ok_or_else(|| StoreError::Damaged(format!("origin {text}")))
    }
}

/// What is known of an endpoint right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Its last check was good.
    Up,
    /// Its last check was bad.
    Down,
    /// It has not been checked yet, or not for too long.
    Unknown,
    /// It is not to be checked.
    Suspended,
    /// Its last check was good, and something about it was not as it should be.
    Degraded,
    /// Bad checks are expected at this time.
    Maintenance,
}

impl State {
    /// The word stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Down => "Down",
            Self::Unknown => "Unknown",
            Self::Suspended => "Suspended",
            Self::Degraded => "Degraded",
            Self::Maintenance => "Maintenance",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        [Self::Up, Self::Down, Self::Unknown, Self::Suspended, Self::Degraded, Self::Maintenance]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::Damaged(format!("state {text}")))
    }
}

/// An endpoint to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEndpoint {
    /// Identity that outlives renaming: a Kubernetes uid, or a text of the origin's making.
    pub uid: String,
    /// Who asked.
    pub origin: Origin,
    /// Owner.
    pub project: ProjectId,
    /// Namespace of its manifest, or "".
    pub namespace: String,
    /// Name of its manifest, or its URL.
    pub name: String,
    /// Generation of its manifest.
    pub generation: i64,
    /// What to watch.
    pub spec: EndpointSpec,
}

/// The last check of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// When it started, UTC milliseconds.
    pub at: i64,
    /// Whether it was good.
    pub ok: bool,
    /// HTTP status, if there was an answer.
    pub status: Option<i32>,
    /// Time to the answer's head, microseconds.
    pub duration_us: i64,
    /// Why it was bad.
    pub message: Option<String>,
    /// Whether it was good, and something about it was not as it should be.
    #[serde(default)]
    pub degraded: bool,
    /// Where its time went, if there was an answer.
    #[serde(default)]
    pub phases: Option<Phases>,
    /// When the server's own certificate expires, UTC milliseconds.
    #[serde(default)]
    pub certificate_expires_at: Option<i64>,
}

/// Where the time of a check went, microseconds each; 0 for a phase that there was none of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Resolving the name.
    pub resolve_us: i64,
    /// Opening the connection.
    pub connect_us: i64,
    /// Shaking hands for TLS.
    pub tls_us: i64,
    /// From the request to the head of the answer.
    pub processing_us: i64,
    /// Reading the rest of the answer.
    pub transfer_us: i64,
}

/// State of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Current state.
    pub state: State,
    /// Since when, UTC milliseconds.
    pub since: i64,
    /// The last check, if there was one.
    pub last_check: Option<LastCheck>,
}

/// An endpoint as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Number in this store.
    pub id: i64,
    /// Identity.
    pub uid: String,
    /// Who asked.
    pub origin: Origin,
    /// Owner.
    pub project: ProjectId,
    /// Namespace of its manifest, or "".
    pub namespace: String,
    /// Name of its manifest, or its URL.
    pub name: String,
    /// Generation of its manifest.
    pub generation: i64,
    /// What to watch.
    pub spec: EndpointSpec,
    /// Number that grows with every change of the specification.
    pub revision: i64,
    /// Number that grows with every transition.
    pub transition: i64,
    /// Its state.
    pub status: EndpointStatus,
    /// When it was made, UTC milliseconds.
    pub created_at: i64,
    /// When what is wanted of it last changed, UTC milliseconds.
    pub updated_at: i64,
    /// From when failures count for its breaker, UTC milliseconds.
    pub breaker_reset_at: i64,
}

/// What [`Store::add_endpoint`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddOutcome {
    /// It is there now.
    Added,
    /// Its project has one of that origin and name.
    Exists,
    /// Its project has as many of that origin as it may have.
    Full,
}

/// What [`Store::put_endpoint`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is new.
    Created,
    /// It differed.
    Updated,
    /// It was already so.
    Unchanged,
}

const COLUMNS: &str = "id, uid, origin, project_id, namespace, name, generation, spec, seq, transition_seq, \
                       state, since, last_check, created_at, updated_at, breaker_reset_at";

impl TryFrom<&AnyRow> for Endpoint {
    type Error = StoreError;

    fn try_from(row: &AnyRow) -> Result<Self> {
        let last_check: Option<String> = row.try_get(12)?;
        Ok(Self {
            id: row.try_get(0)?,
            uid: row.try_get(1)?,
            origin: Origin::parse(&row.try_get::<String, _>(2)?)?,
            project: ProjectId(row.try_get(3)?),
            namespace: row.try_get(4)?,
            name: row.try_get(5)?,
            generation: row.try_get(6)?,
            spec: serde_json::from_str(&row.try_get::<String, _>(7)?)?,
            revision: row.try_get(8)?,
            transition: row.try_get(9)?,
            status: EndpointStatus {
                state: State::parse(&row.try_get::<String, _>(10)?)?,
                since: row.try_get(11)?,
                last_check: last_check.as_deref().map(serde_json::from_str).transpose()?,
            },
            created_at: row.try_get(13)?,
            updated_at: row.try_get::<i64, _>(14)?.max(row.try_get(13)?),
            breaker_reset_at: row.try_get(15)?,
        })
    }
}

/// Moves a sequence on. Its row is locked until the transaction ends, so that
/// numbers become visible in their order.
pub(crate) async fn next(transaction: &mut Transaction<'static, Any>, name: &str) -> Result<i64> {
    Ok(sqlx::query_scalar("UPDATE sequences SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(name)
        .fetch_one(&mut **transaction)
        .await?)
}

impl Store {
    /// Stores an endpoint by its uid. A change of the specification keeps the
    /// state, except that suspending and resuming are transitions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_endpoint(&self, new: &NewEndpoint) -> Result<PutOutcome> {
        let mut transaction = self.begin_brief().await?;
        // First of all, so that two writers of one uid wait for each other.
        let seq = next(&mut transaction, "endpoints").await?;
        let outcome = put(&mut transaction, seq, new).await?;
        if outcome != PutOutcome::Unchanged {
            transaction.commit().await?;
        }
        Ok(outcome)
    }

    /// Adds an endpoint to its project unless it is there, or the project has
    /// `limit` of that origin already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_endpoint(&self, new: &NewEndpoint, limit: usize) -> Result<AddOutcome> {
        let mut transaction = self.begin_brief().await?;
        // First of all, so that two who add at the same time count each other.
        let seq = next(&mut transaction, "endpoints").await?;
        let mut own = select(&mut transaction, "project_id = $1", new.project.0).await?;
        own.retain(|endpoint| endpoint.origin == new.origin);
        if own.iter().any(|endpoint| endpoint.name == new.name) {
            return Ok(AddOutcome::Exists);
        }
        if own.len() >= limit {
            return Ok(AddOutcome::Full);
        }
        put(&mut transaction, seq, new).await?;
        transaction.commit().await?;
        Ok(AddOutcome::Added)
    }

    /// Deletes an endpoint, its checks and its notices; tells whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_endpoint(&self, uid: &str) -> Result<bool> {
        let mut transaction = self.begin_brief().await?;
        next(&mut transaction, "endpoints").await?;
        for endpoint in select(&mut transaction, "uid = $1", uid).await? {
            let seq = next(&mut transaction, "transitions").await?;
            crate::alerts::close(&mut transaction, &endpoint, seq, "It is not watched any more.").await?;
            for sql in [
                "DELETE FROM alerts WHERE endpoint_id = $1",
                // What is still to be told, such as the end of its trouble, goes once it is.
                "DELETE FROM notices WHERE endpoint_id = $1 AND state NOT IN ('waiting', 'sending')",
            ] {
                sqlx::query(sql).bind(endpoint.id).execute(&mut *transaction).await?;
            }
        }
        heartbeats::forget(&mut transaction, uid).await?;
        // Those that are not sealed yet go when they would be.
        for sql in [
            include_str!("../../sql/endpoints/delete_checks.sql"),
            include_str!("../../sql/endpoints/delete_segments.sql"),
            include_str!("../../sql/endpoints/delete_transitions.sql"),
        ] {
            sqlx::query(sql).bind(uid).execute(&mut *transaction).await?;
        }
        let deleted =
            sqlx::query("DELETE FROM endpoints WHERE uid = $1").bind(uid).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// All endpoints, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let mut transaction = self.db.snapshot().await?;
        select(&mut transaction, "$1 = $1", "").await
    }

    /// The endpoints of one project, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn endpoints_of(&self, project: ProjectId) -> Result<Vec<Endpoint>> {
        let mut transaction = self.db.snapshot().await?;
        select(&mut transaction, "project_id = $1", project.0).await
    }

    /// The endpoints whose state changed after transition `after`, in the order of the changes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transitions_after(&self, after: i64) -> Result<Vec<Endpoint>> {
        let mut transaction = self.db.snapshot().await?;
        let mut changed = select(&mut transaction, "transition_seq > $1", after).await?;
        changed.sort_by_key(|endpoint| endpoint.transition);
        Ok(changed)
    }

    /// Number of the last change of any endpoint's specification; it also grows
    /// when an endpoint goes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn endpoints_revision(&self) -> Result<i64> {
        self.sequence("endpoints").await
    }

    /// Number of the last transition.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_transition(&self) -> Result<i64> {
        self.sequence("transitions").await
    }

    pub(crate) async fn sequence(&self, name: &str) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT value FROM sequences WHERE name = $1")
            .bind(name)
            .fetch_one(self.db.read())
            .await?)
    }
}

/// [`Store::put_endpoint`] within a transaction that holds the sequence `endpoints` at `seq`.
pub(crate) async fn put(
    transaction: &mut Transaction<'static, Any>,
    seq: i64,
    new: &NewEndpoint,
) -> Result<PutOutcome> {
    let existing = find(transaction, &new.uid).await?;
    let outcome = match &existing {
        Some(old)
            if old.spec == new.spec
                && old.generation == new.generation
                && old.name == new.name
                && old.namespace == new.namespace
                && old.project == new.project
                && old.origin == new.origin =>
        {
            return Ok(PutOutcome::Unchanged);
        }
        Some(_) => PutOutcome::Updated,
        None => PutOutcome::Created,
    };
    match existing {
        Some(old) if old.spec.suspended == new.spec.suspended => change(transaction, seq, new).await?,
        _ => begin(transaction, seq, new).await?,
    }
    heartbeats::follow(transaction, new).await?;
    Ok(outcome)
}

async fn find(transaction: &mut Transaction<'static, Any>, uid: &str) -> Result<Option<Endpoint>> {
    Ok(select(transaction, "uid = $1", uid).await?.into_iter().next())
}

/// A statement whose first values, $1 to $8, are what is wanted of an endpoint.
fn wanted<'q>(sql: &'static str, seq: i64, new: &'q NewEndpoint) -> Result<Query<'q, Any, AnyArguments>> {
    Ok(sqlx::query(sql)
        .bind(&new.uid)
        .bind(new.origin.as_str())
        .bind(new.project.0)
        .bind(&new.namespace)
        .bind(&new.name)
        .bind(serde_json::to_string(&new.spec)?)
        .bind(new.generation)
        .bind(seq))
}

/// Changes what is wanted of an endpoint. Its state is left alone where it stands: a
/// recorder may be moving it.
async fn change(transaction: &mut Transaction<'static, Any>, seq: i64, new: &NewEndpoint) -> Result<()> {
    wanted(include_str!("../../sql/endpoints/change.sql"), seq, new)?
        .bind(now_ms())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Stores an endpoint that is new, or that is suspended or watched again: nothing is known of it any
/// more, and trouble that was told of it is over.
async fn begin(transaction: &mut Transaction<'static, Any>, seq: i64, new: &NewEndpoint) -> Result<()> {
    let transition = next(transaction, "transitions").await?;
    // Read now that no recorder can move it.
    let before = find(transaction, &new.uid).await?;
    let state = if new.spec.suspended { State::Suspended } else { State::Unknown };
    wanted(include_str!("../../sql/endpoints/put.sql"), seq, new)?
        .bind(transition)
        .bind(state.as_str())
        .bind(now_ms())
        .execute(&mut **transaction)
        .await?;
    if let Some(old) = before.filter(|old| old.status.state != state) {
        let reason = if new.spec.suspended { "Its checks are suspended." } else { "Its checks begin anew." };
        crate::alerts::close(transaction, &old, transition, reason).await?;
    }
    Ok(())
}

pub(crate) async fn select<'q, T>(
    transaction: &mut Transaction<'static, Any>,
    condition: &str,
    value: T,
) -> Result<Vec<Endpoint>>
where
    T: sqlx::Encode<'q, Any> + sqlx::Type<Any> + 'q,
{
    // Only constants of this file make up the statement.
    let sql = format!("SELECT {COLUMNS} FROM endpoints WHERE {condition} ORDER BY id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(value).fetch_all(&mut **transaction).await?;
    Ok(rows.iter().filter_map(readable).collect())
}

/// The endpoints of these numbers.
pub(crate) async fn among(
    transaction: &mut Transaction<'static, Any>,
    ids: &BTreeSet<i64>,
) -> Result<Vec<Endpoint>> {
    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    // Only numbers of this program make up the condition.
    select(transaction, &format!("id IN ({list}) AND $1 = $1"), "").await
}

/// The endpoints of this name in this namespace.
pub(crate) async fn called(
    transaction: &mut Transaction<'static, Any>,
    namespace: &str,
    name: &str,
) -> Result<Vec<Endpoint>> {
    let sql = format!("SELECT {COLUMNS} FROM endpoints WHERE namespace = $1 AND name = $2 ORDER BY id");
    // Only constants of this file make up the statement.
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(namespace)
        .bind(name)
        .fetch_all(&mut **transaction)
        .await?;
    Ok(rows.iter().filter_map(readable).collect())
}

/// One damaged row never hides the others; putting its endpoint again mends it.
fn readable(row: &AnyRow) -> Option<Endpoint> {
    Endpoint::try_from(row)
        .inspect_err(|error| {
            let uid: String = row.try_get(1).unwrap_or_default();
            tracing::error!(uid, %error, "a stored endpoint is damaged and left out");
        })
        .ok()
}
