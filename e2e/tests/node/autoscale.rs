//! A number of pods that an autoscaler decides on. Nobody measures CPU in the cluster, so what moves
//! it are the bounds, which the real autoscaler keeps to all the same.

use std::collections::BTreeSet;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::harness::World;

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until there are so many pods of the logger and all of them are ready.
async fn ready_pods(world: &World, number: usize) -> Result<BTreeSet<String>> {
    world
        .until(&format!("the logger has {number} ready pods"), async || {
            let pods = world.pods("shop", "logger").await?;
            let all = pods.len() == number && pods.iter().all(is_ready);
            Ok(all.then(|| pods.iter().map(ResourceExt::name_any).collect()))
        })
        .await
}

#[tokio::test]
async fn an_autoscaled_logger_has_as_many_pods_as_its_bounds_ask_for() {
    let world = World::new("autoscale").await.unwrap();
    let between = |least: u32, most: u32| json!({"minReplicas": least, "maxReplicas": most});
    let shop = world.instance("shop", json!({"logger": {"autoscaling": between(2, 3)}})).await.unwrap();
    let two = ready_pods(&world, 2).await.unwrap();

    shop.change(json!({"logger": {"autoscaling": between(3, 3)}})).await.unwrap();
    let three = ready_pods(&world, 3).await.unwrap();
    assert!(three.is_superset(&two), "{three:?} instead of {two:?} and one more");
    shop.ready().await.unwrap();

    shop.change(json!({"logger": {"autoscaling": between(1, 1)}})).await.unwrap();
    let one = ready_pods(&world, 1).await.unwrap();
    assert!(one.is_subset(&three), "{one:?} is none of {three:?}");
    shop.ready().await.unwrap();

    // And back to a number that is always the same.
    shop.change(json!({"logger": {"autoscaling": null, "replicas": 2}})).await.unwrap();
    let fixed = ready_pods(&world, 2).await.unwrap();
    assert!(fixed.is_superset(&one), "{fixed:?} instead of {one:?} and one more");
}
