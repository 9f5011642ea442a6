//! The machine under the pods loses its power.

use serde_json::json;
use watchkeeper_testkit::helm::succeed;

use crate::harness::{Storm, World, helm_install};

#[tokio::test]
async fn a_node_that_restarts_brings_everything_back_with_every_acknowledged_hit() {
    let world = World::alone("reboot").await.unwrap();
    let own = ["--set=rbac.scope=namespace"];
    succeed(&mut helm_install(&world.cluster, &world.namespace, &own).unwrap()).unwrap();
    let shop = world.instance("shop", json!({})).await.unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();

    world.cluster.reboot_node().unwrap();

    storm.settle("node restarted, all containers killed").await.unwrap();
    shop.ready().await.unwrap();
}
