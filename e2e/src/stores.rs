//! `watchkeeper local` on each of the two databases.

use anyhow::Result;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

/// Where the data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Files in the data directory.
    Sqlite,
    /// A database of its own on the PostgreSQL server that this process's tests share.
    Postgres,
}

/// Starts a fresh `watchkeeper local` on `store`.
///
/// # Errors
/// When it, or the PostgreSQL server, does not get ready.
pub fn start(store: Store) -> Result<Watchkeeper> {
    match store {
        Store::Sqlite => Watchkeeper::local().start(),
        Store::Postgres => Watchkeeper::local().database(&Postgres::shared()?.database()?).start(),
    }
}
