//! The only crate that knows where data lives: SQLite for one process, Postgres
//! for many, the same tables and the same answers on both.
//!
//! Hits go to an `inbox` (a batch a row, as Parquet) and are sealed in the
//! background into `segments` (a project and day each, sorted by time, zstd).
//! Everything else is ordinary relational tables.

mod checks;
mod codec;
mod db;
mod endpoints;
mod error;
mod hit;
mod hits;
mod lease;
mod migrate;
mod projects;
mod retention;
mod settings;

use std::time::{SystemTime, UNIX_EPOCH};

pub use checks::{Check, Uptime};
pub use db::Options;
pub use endpoints::{
    Endpoint, EndpointSpec, EndpointStatus, HttpProbe, LastCheck, NewEndpoint, Origin, Probe, PutOutcome,
    State,
};
pub use error::StoreError;
pub use hit::{DAY_MS, Hit, day_of};
pub use hits::{Day, Snapshot, Stored};
pub use lease::Lease;
pub use projects::{Project, ProjectId};
pub use retention::Retention;

use db::Db;
use hits::ingest::Ingest;

/// Result of every operation of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A handle to the store; clones share connections and the group commit.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    ingest: Ingest,
}

impl Store {
    /// Connects, migrates, and starts the group commit.
    ///
    /// # Errors
    /// When the database cannot be reached or its schema is newer than this binary.
    pub async fn open(options: &Options) -> Result<Self> {
        let db = Db::connect(options).await?;
        migrate::run(&db).await?;
        let ingest = Ingest::start(db.clone());
        Ok(Self { db, ingest })
    }

    /// Asks the database for an answer; what `/api/health` and `/readyz` tell.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(self.db.read()).await?;
        Ok(())
    }

    /// Waits for hits under way, then closes all connections.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

/// The present, in UTC milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
