//! The database's volume grows while it is in use.

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use watchkeeper_e2e::upstream::row;

use crate::harness::World;

#[tokio::test]
async fn a_grown_volume_is_there_without_a_restart_of_the_database() {
    let world = World::new("storage").await.unwrap();
    let sized = |size: &str| json!({"database": {"managed": {"storage": {"size": size}}}});
    let shop = world.instance("shop", sized("1Gi")).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let key = upstream.generate().await.unwrap();
    upstream.post(&key, "Axum", &[row("/", &Timestamp::now().to_string())]).await.unwrap();
    let pods = async || {
        let pods = world.pods("shop", "database").await?;
        anyhow::Ok(pods.iter().filter_map(ResourceExt::uid).collect::<Vec<_>>())
    };
    let before = pods().await.unwrap();

    shop.change(sized("2Gi")).await.unwrap();
    world
        .until("the claim has grown", async || {
            let claim = ["get", "pvc/data-shop-database-0", "-o", "jsonpath={.status.capacity.storage}"];
            Ok((world.kubectl(&claim)? == "2Gi").then_some(()))
        })
        .await
        .unwrap();
    world
        .until("the set asks for as much", async || {
            let path = "jsonpath={.spec.volumeClaimTemplates[0].spec.resources.requests.storage}";
            // For a moment between two sets of the same pods there is none.
            let size =
                world.kubectl(&["get", "statefulset/shop-database", "--ignore-not-found", "-o", path])?;
            Ok((size == "2Gi").then_some(()))
        })
        .await
        .unwrap();
    shop.ready().await.unwrap();
    assert_eq!(pods().await.unwrap(), before, "the database was restarted");
    shop.holds(&key, 1).await.unwrap();
}
