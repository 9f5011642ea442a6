//! Changes under load: nothing that was acknowledged may be lost, and nobody may notice.

use std::time::Instant;

use serde_json::json;
use watchkeeper_e2e::load::{Account, Fate, Load};

use crate::harness::{World, report};

const POSTERS: usize = 8;
const ROWS: usize = 10;

/// Every refusal of every poster.
fn refusals(accounts: &[Account]) -> Vec<Fate> {
    let fates = accounts.iter().flat_map(|account| &account.fates).copied();
    fates.filter(|fate| matches!(fate, Fate::Refused(_))).collect()
}

fn count(accounts: &[Account], fate: Fate) -> usize {
    accounts.iter().map(|account| account.count(fate)).sum()
}

#[tokio::test]
async fn a_rolling_update_of_the_logger_under_load_loses_nothing_and_refuses_nothing() {
    let world = World::new("rollout").await.unwrap();
    let shop = world.instance("shop", json!({"logger": {"replicas": 2}})).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, POSTERS, ROWS).await.unwrap();
    world
        .until("posts are acknowledged", async || Ok((load.acknowledged() > 100).then_some(())))
        .await
        .unwrap();

    let started = Instant::now();
    // Any change of the template replaces every pod.
    shop.change(
        json!({"logger": {"podTemplate": {"metadata": {"annotations": {"example.com/round": "2"}}}}}),
    )
    .await
    .unwrap();
    shop.ready().await.unwrap();
    shop.rolled_out("deployment/shop-logger").unwrap();
    let before = load.acknowledged();
    world
        .until("posts go on", async || Ok((load.acknowledged() > before + 100).then_some(())))
        .await
        .unwrap();
    let took = started;
    let accounts = load.finish().await.unwrap();

    for account in &accounts {
        account.settle(&upstream, ROWS).await.unwrap();
    }
    let acknowledged = count(&accounts, Fate::Acknowledged);
    report("rolling update of the logger", acknowledged * ROWS, acknowledged * ROWS, took);
    assert_eq!(refusals(&accounts), []);
    assert_eq!(count(&accounts, Fate::Unreachable), 0, "connections were refused");
    // A server may close an idle connection while a post is on its way: the client knows nothing then.
    let unknown = count(&accounts, Fate::Unknown);
    println!("{unknown} of {acknowledged} posts without an answer");
    assert!(unknown <= POSTERS, "{unknown} posts without an answer");
}
