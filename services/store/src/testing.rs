//! A store of either kind, for the tests inside this crate.

use tempfile::TempDir;
use watchkeeper_testkit::postgres::Postgres;

use crate::{Options, Store};

/// An empty store, and what must live as long as it.
pub(crate) struct Fresh {
    pub store: Store,
    _directory: Option<TempDir>,
}

pub(crate) async fn sqlite() -> Fresh {
    let directory = TempDir::new().expect("temporary directory");
    let options = Options::sqlite(directory.path().join("store.db"));
    Fresh { store: Store::open(&options).await.expect("open"), _directory: Some(directory) }
}

pub(crate) async fn postgres() -> Fresh {
    let url = Postgres::shared().and_then(Postgres::database).expect("a Postgres database");
    let options = Options::postgres(&url, None).expect("options");
    Fresh { store: Store::open(&options).await.expect("open"), _directory: None }
}
