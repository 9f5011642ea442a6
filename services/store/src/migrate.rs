//! Forward-only migrations, safe with several replicas starting at once.

use std::{borrow::Cow, fs::File};

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::{
    Result, StoreError,
    db::{Db, Dialect},
};

/// A migration: version, name, SQL for Postgres, SQL for SQLite.
macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        (
            $version,
            $name,
            include_str!(concat!("../migrations/postgres/", $file)),
            include_str!(concat!("../migrations/sqlite/", $file)),
        )
    };
}

/// Every migration, oldest first.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    migration!(1, "initial", "0001_initial.sql"),
    migration!(2, "addresses", "0002_addresses.sql"),
    migration!(3, "ingest", "0003_ingest.sql"),
    migration!(4, "dashboard", "0004_dashboard.sql"),
    migration!(5, "privacy", "0005_privacy.sql"),
    migration!(6, "sites", "0006_sites.sql"),
    migration!(8, "alerts", "0008_alerts.sql"),
    migration!(9, "status pages", "0009_status_pages.sql"),
    migration!(10, "monitoring", "0010_monitoring.sql"),
    migration!(11, "heartbeats", "0011_heartbeats.sql"),
    migration!(12, "watch", "0012_watch.sql"),
    migration!(13, "lasting", "0013_lasting.sql"),
    migration!(14, "attempts", "0014_attempts.sql"),
    migration!(15, "lookups", "0015_lookups.sql"),
    migration!(16, "check days", "0016_check_days.sql"),
    migration!(17, "damaged", "0017_damaged.sql"),
    migration!(18, "spools", "0018_spools.sql"),
];

/// Brings the schema up to date. Postgres serialises replicas by an advisory
/// lock, SQLite processes by a lock on a file beside the database.
pub(crate) async fn run(db: &Db) -> Result<()> {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, postgres, sqlite)| {
            let sql = match db.dialect {
                Dialect::Postgres => *postgres,
                Dialect::Sqlite => *sqlite,
            };
            let sql = sql.into_sql_str();
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
        })
        .collect();
    let migrator = Migrator::with_migrations(migrations);
    let _lock = match &db.file {
        Some(file) => Some(lock(file.with_extension("migrating")).await?),
        None => None,
    };
    let known = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    match migrator.run(db.write()).await {
        Err(MigrateError::VersionMissing(found)) => Err(StoreError::NewerSchema { found, known }),
        other => Ok(other?),
    }
}

async fn lock(path: std::path::PathBuf) -> Result<File> {
    let fault = |source| StoreError::File { path: path.display().to_string(), source };
    let file = File::create(&path).map_err(fault)?;
    let file = tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await
        .map_err(|e| fault(std::io::Error::other(e)))?
        .map_err(fault)?;
    Ok(file)
}
