//! The operator dies, and another one goes on where it was.

use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;

use crate::harness::{OPERATOR_NAMESPACE, World, install, report};

#[tokio::test]
async fn a_killed_operators_lease_is_taken_over_and_its_work_goes_on() {
    let world = World::alone("leadership").await.unwrap();
    install(&world.cluster, OPERATOR_NAMESPACE, &["--set=replicaCount=2"]).unwrap();
    // Without pods of its own: what matters is who writes.
    let stopped = json!({"replicas": 0});
    let spec = |checkers: u32| json!({"logger": stopped, "api": stopped, "checker": {"replicas": checkers}});
    let shop = world.declare("shop", spec(0)).unwrap();
    shop.condition("Ready", "False").await.unwrap();

    let leases: Api<Lease> = Api::namespaced(world.client.clone(), OPERATOR_NAMESPACE);
    let holder = async || -> anyhow::Result<_> {
        let held = leases.list(&kube::api::ListParams::default()).await?.items;
        Ok(held.into_iter().find_map(|lease| lease.spec?.holder_identity))
    };
    let first = world.until("an operator leads", holder).await.unwrap();
    let pod = first.split_once('_').map_or(first.as_str(), |(pod, _)| pod);
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), OPERATOR_NAMESPACE);
    let killed = Instant::now();
    world.cluster.kill_pod(&pods.get(pod).await.unwrap()).unwrap();
    world
        .until("another operator leads", async || {
            Ok(holder().await?.filter(|holder| *holder != first).map(drop))
        })
        .await
        .unwrap();
    report("leading operator killed (`kill -9`)", 0, 0, killed.elapsed());

    shop.change(spec(1)).await.unwrap();
    world
        .until("the change is made", async || {
            let replicas = ["get", "deployment/shop-checker", "-o", "jsonpath={.spec.replicas}"];
            Ok((world.kubectl(&replicas)? == "1").then_some(()))
        })
        .await
        .unwrap();
}
