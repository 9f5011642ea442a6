//! Twenty posts at a time, without a pause.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use watchkeeper_e2e::load::{Fate, Load};
use watchkeeper_e2e::stores::{self, Store};
use watchkeeper_e2e::upstream::Upstream;
use watchkeeper_testkit::wait;

const POSTERS: usize = 20;
const ROWS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_posts_at_a_time_are_all_stored_on_sqlite() {
    twenty_posts_at_a_time_are_all_stored(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_posts_at_a_time_are_all_stored_on_postgres() {
    twenty_posts_at_a_time_are_all_stored(Store::Postgres).await;
}

async fn twenty_posts_at_a_time_are_all_stored(store: Store) {
    let server = stores::start(store).unwrap();
    let upstream = Upstream::new(server.base_url()).unwrap();
    let begin = Instant::now();
    let load = Load::start(&server.base_url(), POSTERS, ROWS).await.unwrap();
    wait::until_async("the time is over", time() * 2, async || Ok((begin.elapsed() >= time()).then_some(())))
        .await
        .unwrap();
    let accounts = load.finish().await.unwrap();

    assert_eq!(server.with_process(|process| process.exited()).unwrap(), None, "it still runs");
    let mut acknowledged = 0;
    for account in &accounts {
        for fate in &account.fates {
            // A key may be told to slow down; that is neither an error of the server nor a promise.
            let fine = [Fate::Acknowledged, Fate::Refused(StatusCode::TOO_MANY_REQUESTS)];
            assert!(fine.contains(fate), "{fate:?} for a post of {}", account.key);
        }
        acknowledged += account.count(Fate::Acknowledged);
        account.settle(&upstream, ROWS).await.unwrap();
    }
    assert!(acknowledged >= POSTERS, "every poster got something through");
    eprintln!("{store:?}: {acknowledged} posts of {ROWS} rows in {:?}", begin.elapsed());
}

/// How long: a minute when `WATCHKEEPER_SOAK` is set.
fn time() -> Duration {
    let soak = std::env::var_os("WATCHKEEPER_SOAK").is_some_and(|value| !value.is_empty());
    Duration::from_secs(if soak { 60 } else { 6 })
}
