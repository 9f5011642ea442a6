//! The machine under the pods loses its power.

use std::time::Instant;

use serde_json::json;
use watchkeeper_e2e::load::{Fate, Load};

use crate::harness::{World, helm_install, report};
use watchkeeper_testkit::helm::succeed;

const ROWS: usize = 10;

#[tokio::test]
async fn a_node_that_restarts_brings_everything_back_with_every_acknowledged_hit() {
    let world = World::alone("reboot").await.unwrap();
    succeed(&mut helm_install(&world.cluster, &world.namespace, &["--set=rbac.scope=namespace"]).unwrap())
        .unwrap();
    let shop = world.instance("shop", json!({})).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, 4, ROWS).await.unwrap();
    world
        .until("posts are acknowledged", async || Ok((load.acknowledged() > 50).then_some(())))
        .await
        .unwrap();

    let lost = Instant::now();
    world.cluster.reboot_node().unwrap();
    let before = load.acknowledged();
    world
        .until("ingestion is back", async || Ok((load.acknowledged() > before + 50).then_some(())))
        .await
        .unwrap();
    let back = lost;
    let accounts = load.finish().await.unwrap();
    world
        .until("the dashboard answers", async || {
            Ok(upstream.dashboard(&accounts[0].key).await.is_ok().then_some(()))
        })
        .await
        .unwrap();

    let mut acknowledged = 0;
    for account in &accounts {
        account.settle(&upstream, ROWS).await.unwrap();
        acknowledged += account.count(Fate::Acknowledged) * ROWS;
    }
    report("node restarted, all containers killed", acknowledged, acknowledged, back);
    shop.ready().await.unwrap();
}
