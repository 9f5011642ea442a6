//! Posts that cannot be taken: a 503 that says when to come back, and what was acknowledged is there.

mod common;

use std::{
    task::Poll,
    time::{Duration, Instant},
};

use common::{Client, batch, logger, row, stored};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};
use uuid::Uuid;
use watchkeeper_logger::{Bounds, Signup, router};
use watchkeeper_runtime::http::finish;
use watchkeeper_store::{Hit, Options, SpoolOptions, Store, StoreError};
use watchkeeper_testkit::{
    postgres::{self, Postgres},
    wait,
};

const LOG: &str = "/api/log-request";

const PATIENCE: Duration = Duration::from_secs(60);

/// A Postgres of one's own, a store on it and a client of a logger over that.
async fn start(spool: Option<SpoolOptions>) -> (Postgres, Store, Client) {
    let server = Postgres::start(postgres::Options::default()).expect("Postgres");
    let url = server.database().expect("a database");
    let mut options = Options::postgres(&url, None).expect("options");
    options.spool = spool;
    let store = Store::open(&options).await.expect("open");
    let logger = logger(&store, Signup::Open, 0, Bounds::default()).await;
    (server, store, Client(finish(router(logger))))
}

/// A post of one row; all are of one moment.
fn post(key: Uuid, path: &str) -> Value {
    batch(key, &json!([row(0, path)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_posts_until_the_database_is_back_and_keeps_those_that_it_took() {
    let directory = TempDir::new().expect("directory");
    let spool = SpoolOptions { directory: directory.path().to_owned(), bytes: 60_000 };
    let (server, store, client) = start(Some(spool)).await;
    let key = Uuid::new_v4();
    let mut taken = vec!["/first".to_owned()];
    assert_eq!(client.post(LOG, &post(key, "/first")).await.status, 201);
    server.stop().expect("stop");
    let refused = loop {
        assert!(taken.len() < 1_000, "it never gets full");
        let path = format!("/{}", taken.len());
        let answer = client.post(LOG, &post(key, &path)).await;
        if answer.status != 201 {
            break answer;
        }
        taken.push(path);
    };
    refused.says(503, "The database is away and the spool is full; send this again.");
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert!(taken.len() > 3, "{taken:?}");

    server.resume().expect("resume");
    wait::until_async("the spool is empty", PATIENCE, async || {
        Ok(store.spool().is_some_and(|spool| spool.oldest.is_none() && spool.bytes == 0).then_some(()))
    })
    .await
    .expect("replay");
    assert_eq!(client.post(LOG, &post(key, "/last")).await.status, 201);
    taken.push("/last".into());
    let paths: Vec<_> = stored(&store, key).await.into_iter().filter_map(|hit| hit.path).collect();
    assert_eq!(paths, taken, "all that were acknowledged, once, in their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_posts_at_once_until_there_is_room_in_it() {
    let (server, store, client) = start(None).await;
    let key = Uuid::new_v4();
    assert_eq!(client.post(LOG, &post(key, "/first")).await.status, 201);
    let project = store.project_by_key(key).await.expect("find").expect("project").id;
    server.freeze().expect("freeze");
    let (mut waiting, mut posts) = (Vec::new(), JoinSet::new());
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        assert!(Instant::now() < deadline, "no post is refused");
        // Those who write take two groups out of it; from then on it stays full.
        loop {
            let mut append = Box::pin(store.append(project, vec![Hit::default()]));
            match futures::poll!(append.as_mut()) {
                Poll::Pending => waiting.push(append),
                Poll::Ready(Err(StoreError::Overloaded)) => break,
                Poll::Ready(other) => panic!("the database is frozen: {other:?}"),
            }
        }
        let client = client.clone();
        posts.spawn(async move { client.post(LOG, &post(key, "/more")).await });
        if let Ok(Some(answer)) = timeout(Duration::from_millis(200), posts.join_next()).await {
            break answer.expect("join");
        }
    };
    refused.says(503, "Too many requests wait to be stored; send this again.");
    assert!(refused.header("retry-after").is_some());

    server.thaw().expect("thaw");
    let last = post(key, "/last");
    wait::until_async("posts are taken again", PATIENCE, async || {
        Ok((client.post(LOG, &last).await.status == 201).then_some(()))
    })
    .await
    .expect("room");
    assert!(stored(&store, key).await.iter().any(|hit| hit.path.as_deref() == Some("/last")));
}
