//! The only crate that knows where data lives: SQLite for one process, Postgres
//! for many, the same tables and the same answers on both.
//!
//! Hits go to an `inbox` (a batch a row, as Parquet) and are sealed in the
//! background into `segments` (a project and day each, sorted by time, zstd).
//! Everything else is ordinary relational tables.

mod addresses;
pub mod alerts;
mod annotations;
mod background;
mod checkers;
mod checks;
mod codec;
mod dashboards;
mod db;
mod endpoints;
mod errands;
mod error;
pub mod exchange;
mod hit;
mod hits;
mod lease;
pub mod maintenance;
mod managed;
mod migrate;
mod patience;
mod portions;
mod projects;
mod retention;
mod salts;
mod sessions;
mod settings;
mod shares;
mod site;
mod spools;
pub mod standing;
mod status_incidents;
mod status_pages;
#[cfg(test)]
mod testing;
mod words;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub use addresses::{AddressFacts, AddressState, AddressUpdate};
pub use annotations::{Annotation, MOST_ANNOTATIONS, NewAnnotation};
pub use checkers::{Replica, SHARDS, View, shard_of};
pub use checks::{
    Availability, Bucket, Check, DaySpent, Latency, Outage, PastTransition, PlannedCheck, Recording, Uptime,
};
pub use dashboards::DashboardSettings;
pub use db::{Options, SpoolOptions};
pub use endpoints::{
    AddOutcome, AddressPolicy, AlertSpec, Assertion, ConnectOptions, DnsProbe, DnsTransport, Endpoint,
    EndpointSpec, EndpointStatus, Escalation, Exchange, FlappingSpec, GrpcProbe, Heartbeat, HeartbeatProbe,
    HttpAuth, HttpProbe, HttpVersion, IcmpProbe, IpFamily, LastCheck, MaintenanceWindow, NewEndpoint, Origin,
    Phases, Probe, PutOutcome, Retry, Severity, Slo, StartTls, State, TcpProbe, TlsOptions, TlsProbe,
    WebSocketProbe,
};
pub use errands::{CertificateAnswer, Errand, Taken};
pub use error::StoreError;
pub use hit::{DAY_MS, Hit, day_of};
pub use hits::{
    Appended, Arrivals, Batch, BatchId, Batches, ColumnValues, Day, Erased, HitColumns, HitFile, Identity,
    Person, Sealed, Snapshot, SpoolStatus, Stored, Texts,
};
pub use lease::Lease;
pub use managed::Change;
pub use patience::within;
pub use projects::{ListedProject, Project, ProjectId, ProjectSettings};
pub use retention::Retention;
pub use salts::Salt;
pub use shares::{NewShare, Reach, Share};
pub use site::{DEFAULT_SITE_PROJECT, DEFAULT_VISIT_IDLE, SiteAccess};
pub use standing::{Flapping, Standing, Transition};
pub use status_incidents::{
    Impact, IncidentFacts, IncidentKind, IncidentStatus, StatusIncident, StatusUpdate,
};
pub use status_pages::{StatusGroup, StatusPage, StatusPageSpec};

use db::{Db, Dialect};
use hits::{ingest::Ingest, spool::Spool};

/// Result of every operation of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A handle to the store; clones share connections and the group commit.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    ingest: Ingest,
    spool: Option<Arc<Spool>>,
    uptimes: Arc<tokio::sync::Mutex<Option<checks::KnownUptimes>>>,
}

impl Store {
    /// Connects, migrates, and starts the group commit and the replay of the spool.
    ///
    /// # Errors
    /// When the database cannot be reached or its schema is newer than this binary,
    /// and when the spool's directory cannot be used.
    pub async fn open(options: &Options) -> Result<Self> {
        let db = Db::connect(options).await?;
        migrate::run(&db).await?;
        // SQLite is a file as the spool would be, and is never away.
        let spool = match &options.spool {
            Some(options) if db.dialect == Dialect::Postgres => Some(Arc::new(Spool::open(options).await?)),
            _ => None,
        };
        let ingest = Ingest::start(db.clone(), spool.clone());
        let store = Self { db, ingest, spool, uptimes: Arc::default() };
        store.note_spool(now_ms()).await?;
        Ok(store)
    }

    /// Asks the database for an answer; what `/api/health` and `/readyz` tell.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(self.db.read()).await?;
        Ok(())
    }

    /// What waits in the spool; `None` without one.
    pub fn spool(&self) -> Option<SpoolStatus> {
        self.spool.as_ref().map(|spool| spool.status())
    }

    /// Waits for hits under way, then closes all connections.
    pub async fn close(&self) {
        self.ingest.close().await;
        self.forget_empty_spool().await;
        self.db.close().await;
    }
}

/// The present, in UTC milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
