//! What tests inside this crate begin with: a store of either kind, an endpoint.

use tempfile::TempDir;
use watchkeeper_testkit::postgres::Postgres;

use crate::{
    Endpoint, EndpointSpec, EndpointStatus, HttpProbe, LastCheck, Options, Origin, Probe, ProjectId, State,
    Store,
};

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

/// Runs each behaviour on each database as a test of its own.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(&crate::testing::sqlite().await.store).await; })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(&crate::testing::postgres().await.store).await; })*
        }
    };
}
pub(crate) use on_both;

/// Up since the beginning, checked every minute with a timeout of ten seconds, `at` the last time.
pub(crate) fn watched(id: i64, at: i64, ok: bool) -> Endpoint {
    let last_check = Some(LastCheck { at, ok, ..LastCheck::default() });
    Endpoint {
        id,
        uid: id.to_string(),
        origin: Origin::Kubernetes,
        project: ProjectId::INSTALLATION,
        namespace: String::new(),
        name: id.to_string(),
        generation: 1,
        spec: EndpointSpec::new("web", Probe::Http(HttpProbe::new("https://a.example/"))),
        revision: 1,
        transition: 1,
        status: EndpointStatus { state: State::Up, since: 0, last_check },
        created_at: 0,
        updated_at: 0,
        breaker_reset_at: 0,
    }
}
