//! The database goes away, grows, changes its password, or is somebody else's.

use std::time::Instant;

use serde_json::json;
use watchkeeper_e2e::load::{Fate, Load};

use crate::harness::{Instance, World, report};

const ROWS: usize = 10;

#[tokio::test]
async fn a_database_pod_deleted_under_load_loses_nothing_and_ingestion_recovers_by_itself() {
    lost("database pod deleted at once", async |shop| drop(shop.kill("database").await.unwrap())).await;
}

#[tokio::test]
async fn a_database_killed_under_load_loses_nothing_and_ingestion_recovers_by_itself() {
    lost("database killed (`kill -9`)", async |shop| {
        let pods = shop.world.pods("shop", "database").await.unwrap();
        shop.world.cluster.kill_pod(&pods[0]).unwrap();
    })
    .await;
}

/// Loses the database of an installation under load, and accounts for every hit.
async fn lost(fault: &str, lose: impl AsyncFnOnce(&Instance)) {
    let world = World::new("database").await.unwrap();
    let shop = world.instance("shop", json!({})).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, 4, ROWS).await.unwrap();
    world
        .until("posts are acknowledged", async || Ok((load.acknowledged() > 50).then_some(())))
        .await
        .unwrap();

    let container = async || {
        let pods = world.pods("shop", "database").await?;
        let statuses = pods.into_iter().filter_map(|pod| pod.status?.container_statuses).flatten();
        anyhow::Ok(statuses.filter(|status| status.ready).find_map(|status| status.container_id))
    };
    let first = container().await.unwrap();

    let killed = Instant::now();
    lose(&shop).await;
    world
        .until("another database answers", async || {
            Ok(container().await?.filter(|id| Some(id) != first.as_ref()))
        })
        .await
        .unwrap();
    let before = load.acknowledged();
    world
        .until("ingestion is back", async || Ok((load.acknowledged() > before + 50).then_some(())))
        .await
        .unwrap();
    let recovered = killed;
    let accounts = load.finish().await.unwrap();

    let mut acknowledged = 0;
    for account in &accounts {
        account.settle(&upstream, ROWS).await.unwrap();
        acknowledged += account.count(Fate::Acknowledged) * ROWS;
    }
    report(fault, acknowledged, acknowledged, recovered);
    shop.ready().await.unwrap();
}
