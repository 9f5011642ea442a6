//! What the tests of several files need.
#![allow(dead_code)] // no file needs all of it

use tempfile::TempDir;
use uuid::Uuid;
use watchkeeper_store::{Options, ProjectId, Store};
use watchkeeper_testkit::postgres::Postgres;

/// A fresh database, and what must live as long as it.
pub struct Fresh {
    pub options: Options,
    _directory: Option<TempDir>,
}

pub fn sqlite() -> Fresh {
    let directory = TempDir::new().expect("temporary directory");
    let options = Options::sqlite(directory.path().join("a store?.db"));
    Fresh { options, _directory: Some(directory) }
}

pub fn postgres() -> Fresh {
    let url = Postgres::shared().and_then(Postgres::database).expect("a Postgres database");
    Fresh { options: Options::postgres(&url, None).expect("options"), _directory: None }
}

/// Runs each behaviour on each database as a test of its own.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name($crate::common::sqlite()).await; })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name($crate::common::postgres()).await; })*
        }
    };
}

pub async fn open(fresh: &Fresh) -> Store {
    Store::open(&fresh.options).await.expect("open")
}

/// A new project.
pub async fn project(store: &Store) -> ProjectId {
    store.register_key(Uuid::new_v4()).await.expect("register").id
}

/// Does to the database what no program of ours would.
pub async fn execute(fresh: &Fresh, statements: &[&'static str]) {
    let pool = sqlx::AnyPool::connect(fresh.options.url()).await.expect("connect");
    for statement in statements {
        sqlx::query(*statement).execute(&pool).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    pool.close().await;
}
