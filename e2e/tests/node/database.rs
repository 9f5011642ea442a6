//! The database goes away under load.

use serde_json::json;

use crate::harness::{Instance, Storm, World};

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
    let container = async || {
        let pods = world.pods("shop", "database").await?;
        let statuses = pods.into_iter().filter_map(|pod| pod.status?.container_statuses).flatten();
        anyhow::Ok(statuses.filter(|status| status.ready).find_map(|status| status.container_id))
    };
    let first = container().await.unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();

    lose(&shop).await;
    let another = async || Ok(container().await?.filter(|id| Some(id) != first.as_ref()));
    world.until("another database answers", another).await.unwrap();

    storm.settle(fault).await.unwrap();
    shop.ready().await.unwrap();
}
