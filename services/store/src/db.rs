//! Connections. SQLite has one writer and many readers; Postgres one pool for both.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, Connection, Executor, Transaction, any::AnyPoolOptions,
    postgres::PgConnectOptions,
};

use crate::{Result, StoreError};

/// How to reach the store.
#[derive(Clone)]
pub struct Options {
    url: String,
    sqlite: Option<PathBuf>,
    /// Connections to Postgres at most.
    pub max_connections: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
    /// Where hits wait on disk while Postgres is away; SQLite needs none.
    pub spool: Option<SpoolOptions>,
}

/// Where hits wait on disk while the database is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Its directory, of one process at a time; made if need be.
    pub directory: PathBuf,
    /// Bytes that it may take.
    pub bytes: u64,
}

impl Options {
    /// The embedded store, in a file that is made if need be.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let mut url = String::from("sqlite://");
        // `?`, `#` and `%` would end or change the path of a URL.
        for character in path.to_string_lossy().chars() {
            match character {
                '%' => url.push_str("%25"),
                '?' => url.push_str("%3F"),
                '#' => url.push_str("%23"),
                other => url.push(other),
            }
        }
        url.push_str("?mode=rwc");
        Self::new(url, Some(path))
    }

    /// Postgres by URL (`postgres://user:password@host:5432/database`), with an
    /// optional PEM file of the authority that signed the server's certificate.
    ///
    /// # Errors
    /// When the URL is not one of Postgres.
    pub fn postgres(url: &str, ca: Option<&std::path::Path>) -> Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::Url("it must start with postgres://".into()));
        }
        let mut url = url.to_owned();
        if let Some(ca) = ca {
            let joint = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{joint}sslmode=verify-full&sslrootcert={}", ca.display()));
        }
        Ok(Self::new(url, None))
    }

    /// Whether this is the embedded store, whose failures do not mend by waiting.
    pub fn is_embedded(&self) -> bool {
        self.sqlite.is_some()
    }

    /// The database's URL, which may hold a password: never log it.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn new(url: String, sqlite: Option<PathBuf>) -> Self {
        Self { url, sqlite, max_connections: 10, acquire_timeout: Duration::from_secs(10), spool: None }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Options").field("sqlite", &self.sqlite).finish_non_exhaustive()
    }
}

/// What a session with Postgres begins with: the server notices within half a minute, and not after two
/// hours, that its client has vanished without a word, and ends a client that stays this long in a
/// transaction without a word, since it may be frozen. So what either holds others get. And what it writes
/// goes to the disk as it is written: by itself the kernel begins half a minute later, with all of it at once,
/// and commits wait meanwhile.
macro_rules! session {
    ($idle:literal) => {
        concat!(
            "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
             SET backend_flush_after = '512kB'; SET idle_in_transaction_session_timeout = '",
            $idle,
            "'"
        )
    };
}

/// Of whatever shares connections. A seal is the longest to do something else meanwhile.
const SESSION: &str = session!("5min");

/// Of the connections that hits are written on: one that waits for a row holds up a whole group of them.
pub(crate) const INGEST_SESSION: &str = session!("5s");

/// How a snapshot begins. It holds nothing that others wait for, and an export may keep one while its
/// client is waited for: ten minutes, and longer where what was read is more than is taken in them.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                        SET LOCAL idle_in_transaction_session_timeout = '30min'";

/// Which dialect the database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone)]
pub(crate) struct Db {
    pub dialect: Dialect,
    pub file: Option<PathBuf>,
    postgres: Option<PgConnectOptions>,
    read: AnyPool,
    write: AnyPool,
}

impl Db {
    pub async fn connect(options: &Options) -> Result<Self> {
        sqlx::any::install_default_drivers();
        // Two providers may be linked in; without a default rustls would panic at the first handshake.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pool = AnyPoolOptions::new().acquire_timeout(options.acquire_timeout);
        match &options.sqlite {
            None => {
                let pool = pool.max_connections(options.max_connections).after_connect(|connection, _| {
                    Box::pin(async move {
                        connection.execute(SESSION).await?;
                        Ok(())
                    })
                });
                let pool = pool.connect(&options.url).await?;
                let postgres = Some(options.url.parse()?);
                Ok(Self { dialect: Dialect::Postgres, file: None, postgres, read: pool.clone(), write: pool })
            }
            Some(file) => {
                let pool = pool.after_connect(|connection, _| {
                    Box::pin(async move {
                        // FULL: an acknowledged hit survives a power cut, not only a crash.
                        connection
                            .execute(
                                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                                 PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON;",
                            )
                            .await?;
                        Ok(())
                    })
                });
                let pool = pool.after_release(|connection, _| Box::pin(is_at_rest(connection)));
                let write = pool.clone().max_connections(1).connect(&options.url).await?;
                // More than the API's heavy reads, each of which holds one to its end.
                let read = pool.max_connections(12).connect(&options.url).await?;
                Ok(Self { dialect: Dialect::Sqlite, file: Some(file.clone()), postgres: None, read, write })
            }
        }
    }

    /// How to make a connection of one's own, to Postgres.
    pub fn postgres(&self) -> Option<&PgConnectOptions> {
        self.postgres.as_ref()
    }

    pub fn read(&self) -> &AnyPool {
        &self.read
    }

    pub fn write(&self) -> &AnyPool {
        &self.write
    }

    /// A transaction that sees one state of the database from its first to its last statement.
    pub async fn snapshot(&self) -> Result<sqlx::Transaction<'static, sqlx::Any>> {
        Ok(match self.dialect {
            Dialect::Sqlite => self.read.begin_with("BEGIN DEFERRED").await?,
            Dialect::Postgres => self.read.begin_with(SNAPSHOT).await?,
        })
    }

    /// A writing transaction.
    pub async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Any>> {
        Ok(match self.dialect {
            Dialect::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Dialect::Postgres => self.write.begin().await?,
        })
    }

    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Whether a connection to SQLite may be used again. SQLite ends a transaction by itself when the disk is
/// full or fails; the driver then finds none to roll back, takes it for open ever after, and begins no
/// other.
async fn is_at_rest(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    if connection.is_in_transaction() {
        // Answered after what was asked of it before, such as to roll back.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// The database's time, UTC milliseconds: the one clock that all replicas share.
pub(crate) async fn now(transaction: &mut Transaction<'static, Any>) -> Result<i64> {
    Ok(sqlx::query_scalar(match transaction.backend_name() {
        "SQLite" => include_str!("../sql/sqlite/now.sql"),
        _ => include_str!("../sql/postgres/now.sql"),
    })
    .fetch_one(&mut **transaction)
    .await?)
}

#[cfg(test)]
mod tests {
    use sqlx::PgConnection;
    use tempfile::TempDir;
    use watchkeeper_testkit::postgres::Postgres;

    use super::*;

    const TIMES: &str = "SELECT current_setting('tcp_keepalives_idle') || ' ' || \
                         current_setting('tcp_keepalives_interval') || ' ' || \
                         current_setting('tcp_keepalives_count') || ' ' || \
                         current_setting('idle_in_transaction_session_timeout')";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_does_not_wait_for_ever_for_a_client_that_vanished_or_is_frozen() {
        let url = Postgres::shared().and_then(Postgres::database).expect("a Postgres database");
        let db = Db::connect(&Options::postgres(&url, None).expect("options")).await.expect("connect");
        let shared: String = sqlx::query_scalar(TIMES).fetch_one(db.write()).await.expect("settings");
        assert_eq!(shared, "10 5 3 5min");

        let mut snapshot = db.snapshot().await.expect("snapshot");
        let reading: String = sqlx::query_scalar(TIMES).fetch_one(&mut *snapshot).await.expect("settings");
        assert_eq!(reading, "10 5 3 30min");
        let refused = sqlx::query("CREATE TABLE t (a BIGINT)").execute(&mut *snapshot).await;
        assert!(refused.is_err(), "a snapshot is read only");
        drop(snapshot);

        let options = db.postgres().expect("options of Postgres");
        let mut connection = PgConnection::connect_with(options).await.expect("connect");
        connection.execute(INGEST_SESSION).await.expect("begin the session");
        let writing: String = sqlx::query_scalar(TIMES).fetch_one(&mut connection).await.expect("settings");
        assert_eq!(writing, "10 5 3 5s");
        connection.close().await.expect("close");
        db.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_embedded_store_whose_disk_was_full_takes_writes_again() {
        const LARGE: &str = "INSERT INTO t VALUES (zeroblob(1000000))";
        let directory = TempDir::new().expect("temporary directory");
        let db = Db::connect(&Options::sqlite(directory.path().join("s.db"))).await.expect("connect");
        // What a full disk does, of one connection alone.
        for sql in ["CREATE TABLE t (a BLOB)", "PRAGMA max_page_count = 10"] {
            sqlx::query(sql).execute(db.write()).await.expect("prepare");
        }
        let mut transaction = db.begin().await.expect("begin");
        let full = sqlx::query(LARGE).execute(&mut *transaction).await;
        assert!(full.is_err_and(|error| error.to_string().contains("full")));
        drop(transaction);

        let mut transaction = db.begin().await.expect("begin another");
        sqlx::query(LARGE).execute(&mut *transaction).await.expect("there is room again");
        transaction.commit().await.expect("commit");
        db.close().await;
    }
}
