//! Growing the database's volume.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::harness::{SOON, World, reason};

const SIZE: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";

fn asked(claim: &PersistentVolumeClaim) -> Option<String> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.clone())
}

/// A storage class that lets volumes grow, and one volume of it.
pub async fn elastic(world: &World) -> Result<String> {
    let class = format!("elastic-{}", world.namespace);
    let elastic: StorageClass = serde_json::from_value(json!({"metadata": {"name": class},
        "provisioner": "kubernetes.io/no-provisioner", "allowVolumeExpansion": true}))?;
    let volume: PersistentVolume = serde_json::from_value(json!({"metadata": {"name": class}, "spec": {
        "capacity": {"storage": "100Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/nowhere"}}}))?;
    Api::all(world.client.clone()).create(&PostParams::default(), &elastic).await?;
    Api::all(world.client.clone()).create(&PostParams::default(), &volume).await?;
    Ok(class)
}

#[tokio::test]
async fn a_volume_grows_around_its_running_pod() -> Result<()> {
    let world = World::new("grow").await?;
    let class = elastic(&world).await?;
    let operator = world.operator().await?;
    let size = |size: &str| json!({"database": {"managed": {"storage": {"size": size, "className": class}}}});
    world.instance("shop", size("10Gi")).await?;
    world.ready("shop").await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    until_async("the claim is bound", SOON, async || {
        let claim = claims.get("data-shop-database-0").await?;
        Ok(claim.status.and_then(|status| status.phase).filter(|phase| phase == "Bound"))
    })
    .await?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = pods.get("shop-database-0").await?.uid();
    let set = world.children(ChildKind::StatefulSet).get("shop-database").await?.uid();

    world.change("shop", size("20Gi")).await?;
    until_async("claim and set ask for more", SOON, async || {
        let claim = asked(&claims.get("data-shop-database-0").await?);
        let Some(now) = world.children(ChildKind::StatefulSet).get_opt("shop-database").await? else {
            return Ok(None);
        };
        let template = now.data.pointer(SIZE);
        let done = claim.as_deref() == Some("20Gi") && template == Some(&json!("20Gi")) && now.uid() != set;
        Ok(done.then_some(()))
    })
    .await?;
    world.ready("shop").await?;
    ensure!(pods.get("shop-database-0").await?.uid() == pod, "the database was restarted");

    let shrink = world.change("shop", size("5Gi")).await;
    ensure!(shrink.is_err_and(|error| error.to_string().contains("size can only grow")));
    operator.stop(&world).await
}

#[tokio::test]
async fn a_volume_that_cannot_grow_is_reported_and_left_alone_and_all_else_changes() -> Result<()> {
    let world = World::new("rigid").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    let set = world.children(ChildKind::StatefulSet).get("shop-database").await?.uid();
    world.change("shop", json!({"database": {"managed": {"storage": {"size": "20Gi"}}}})).await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (why, message) = reason(&instance, "Degraded")?;
    ensure!(why == "StorageNotExpandable" && message.contains("data-shop-database-0"), "{why} {message}");
    ensure!(world.children(ChildKind::StatefulSet).get("shop-database").await?.uid() == set);
    world.condition("shop", "Ready", "True").await?;

    let template = async || -> Result<(Value, Value)> {
        let set = world.children(ChildKind::StatefulSet).get("shop-database").await?;
        let of_pods = |pointer: &str| set.data["spec"]["template"].pointer(pointer).cloned();
        let hash = of_pods("/metadata/annotations/watchkeeper.dev~1config-hash").unwrap_or_default();
        Ok((hash, of_pods("/spec/containers/0/args").unwrap_or_default()))
    };
    let (before, _) = template().await?;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let password = Patch::Merge(json!({"stringData": {"password": "New-Password.1"}}));
    secrets.patch("shop-database", &PatchParams::default(), &password).await?;
    world.change("shop", json!({"database": {"managed": {"parameters": {"work_mem": "8MB"}}}})).await?;
    until_async("the database has the new password and parameter", SOON, async || {
        let (hash, arguments) = template().await?;
        let parameter = arguments.as_array().is_some_and(|all| all.contains(&json!("work_mem=8MB")));
        Ok((hash != before && parameter).then_some(()))
    })
    .await?;
    // It is the same set about the same volume, and the size is still told.
    let now = world.children(ChildKind::StatefulSet).get("shop-database").await?;
    ensure!(now.uid() == set && now.data.pointer(SIZE) == Some(&json!("10Gi")), "{}", now.data["spec"]);
    let instance = world.condition("shop", "Degraded", "True").await?;
    ensure!(reason(&instance, "Degraded")?.0 == "StorageNotExpandable");
    // Being refused for its own sake is not a lack of permission.
    drop(operator);
    Ok(())
}
