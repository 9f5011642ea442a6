//! What has been acknowledged is there after `kill -9`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use watchkeeper_e2e::load::{Account, Fate, Load};
use watchkeeper_e2e::stores::{self, Store};
use watchkeeper_e2e::upstream::Upstream;
use watchkeeper_testkit::wait;

const POSTERS: usize = 8;
const ROWS: usize = 5;
/// Each round kills the server after this many acknowledged posts, in the middle of others.
const ROUNDS: [usize; 5] = [1, 13, 60, 150, 300];

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_acknowledged_hit_on_sqlite() {
    kill_9_loses_no_acknowledged_hit(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_acknowledged_hit_on_postgres() {
    kill_9_loses_no_acknowledged_hit(Store::Postgres).await;
}

async fn kill_9_loses_no_acknowledged_hit(store: Store) {
    let server = stores::start(store).unwrap();
    let upstream = Upstream::new(server.base_url()).unwrap();
    let mut accounts: Vec<Account> = Vec::new();
    for enough in ROUNDS {
        let load = Load::start(&server.base_url(), POSTERS, ROWS).await.unwrap();
        wait::until_async("posts are acknowledged", Duration::from_secs(30), async || {
            Ok((load.acknowledged() >= enough).then_some(()))
        })
        .await
        .unwrap();
        server.kill9().unwrap();
        accounts.extend(load.wait().await.unwrap());

        server.restart().unwrap();

        // Those of earlier rounds too: a later crash must not harm what had survived.
        for account in &accounts {
            account.settle(&upstream, ROWS).await.unwrap();
        }
    }
    let cut_off: usize = accounts.iter().map(|account| account.count(Fate::Unknown)).sum();
    assert!(cut_off > 0, "the server was killed in the middle of posting");
}
