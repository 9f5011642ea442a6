//! Pause, deletion, restart, and bad objects beside good ones.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::harness::{SOON, World, reason};

#[tokio::test]
async fn a_paused_instance_is_left_alone_until_it_goes_on() -> Result<()> {
    let world = World::new("pause").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    world.change("shop", json!({"paused": true, "api": {"replicas": 3}})).await?;
    world.condition("shop", "Paused", "True").await?;
    world.children(ChildKind::ConfigMap).delete("shop-config", &DeleteParams::default()).await?;
    // What it makes of this change, it makes after the deletion.
    world.change("shop", json!({"api": {"replicas": 4}})).await?;
    world.condition("shop", "Paused", "True").await?;
    ensure!(world.children(ChildKind::ConfigMap).get_opt("shop-config").await?.is_none(), "it was made anew");
    let api = world.children(ChildKind::Deployment).get("shop-api").await?;
    ensure!(api.data["spec"]["replicas"] == 1, "it was scaled");
    world.change("shop", json!({"paused": false})).await?;
    let instance = world.ready("shop").await?;
    ensure!(reason(&instance, "Paused")?.0 == "Active");
    ensure!(world.children(ChildKind::Deployment).get("shop-api").await?.data["spec"]["replicas"] == 4);
    operator.stop(&world).await
}

#[tokio::test]
async fn deletion_leaves_only_the_volume_claim() -> Result<()> {
    let world = World::new("deletion").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({"ingress": {"host": "a.example"}})).await?;
    world.ready("shop").await?;
    world.instances().delete("shop", &DeleteParams::default()).await?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    until_async("children and pods are gone", SOON, async || {
        let gone = world.all_children("shop").await?.is_empty()
            && pods.list(&ListParams::default()).await?.items.is_empty();
        Ok(gone.then_some(()))
    })
    .await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    let left: Vec<String> =
        claims.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    ensure!(left == ["data-shop-database-0"], "{left:?}");

    // An instance of the same name finds its volume again.
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn the_volume_goes_with_the_instance_where_the_spec_says_so() -> Result<()> {
    let world = World::new("reclaim").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({"database": {"managed": {"storage": {"reclaim": "Delete"}}}})).await?;
    world.ready("shop").await?;
    world.instances().delete("shop", &DeleteParams::default()).await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    until_async("the claim is gone or going", SOON, async || {
        let left = claims.list(&ListParams::default()).await?;
        Ok(left.iter().all(|claim| claim.metadata.deletion_timestamp.is_some()).then_some(()))
    })
    .await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn a_restart_writes_nothing() -> Result<()> {
    let world = World::new("restart").await?;
    let operator = world.operator().await?;
    world
        .instance(
            "shop",
            json!({"logger": {"resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}},
        "database": {"managed": {"parameters": {"max_connections": "50"},
            "backup": {"schedule": "0 3 1 1 *", "timeZone": "Etc/UTC", "storage": {"size": "1024Mi"}}}},
        "ingress": {"host": "a.example", "annotations": {"a": "b"}}}),
        )
        .await?;
    world.ready("shop").await?;
    operator.stop(&world).await?;
    let (versions, written) = (world.versions("shop").await?, world.written()?.len());

    let operator = world.operator().await?;
    operator.leading().await?;
    until_async("everything was looked at", SOON, async || {
        Ok((operator.reconciles("analyticsinstance") > 0).then_some(()))
    })
    .await?;
    // Ending lets every reconcile that has begun come to its end first.
    let metrics = operator.metrics.clone();
    operator.stop(&world).await?;
    ensure!(metrics.writes() == 0, "{}", metrics.render()?);
    let new: Vec<_> = world.written()?.split_off(written);
    ensure!(new.is_empty(), "{new:?}");
    ensure!(world.versions("shop").await? == versions);
    Ok(())
}

#[tokio::test]
async fn a_bad_object_never_stops_the_others() -> Result<()> {
    let world = World::new("bad").await?;
    let operator = world.operator().await?;
    // The schema lets this pass; no program can count that many days.
    world.instance("unreadable", json!({})).await?;
    world.condition("unreadable", "Degraded", "False").await?;
    let endless = Patch::Merge(json!({"spec": {"retention": {"hits": "99999999999999999999d"}}}));
    let raw: Api<kube::api::DynamicObject> = Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &kube::api::ApiResource::erase::<watchkeeper_crds::AnalyticsInstance>(&()),
    );
    raw.patch("unreadable", &PatchParams::default(), &endless).await?;
    world
        .instance(
            "refused",
            json!({"api": {"podTemplate": {"spec": {"containers": [{"name": "api", "image": ""}]}}}}),
        )
        .await?;
    world.instance("good", json!({})).await?;
    world.ready("good").await?;

    let refused = world.condition("refused", "Degraded", "True").await?;
    let (why, message) = reason(&refused, "Degraded")?;
    ensure!(why == "ApplyFailed" && message.contains("image"), "{why} {message}");
    let unreadable = until_async("the unreadable one is reported", SOON, async || {
        let object = raw.get("unreadable").await?;
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.into_iter().find(|condition| condition["reason"] == "InvalidSpec"))
    })
    .await?;
    ensure!(
        unreadable["message"].as_str().unwrap_or_default().contains("too long a duration"),
        "{unreadable}"
    );

    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let reasons: Vec<String> = events
        .list(&ListParams::default())
        .await?
        .into_iter()
        .filter(|event| event.reporting_controller.as_deref() == Some("watchkeeper-operator"))
        .map(|event| {
            let about = event.regarding.and_then(|about| about.name).unwrap_or_default();
            format!("{about} {}", event.reason.unwrap_or_default())
        })
        .collect();
    for wanted in ["good AllPartsAnswer", "refused ApplyFailed", "unreadable InvalidSpec"] {
        ensure!(reasons.iter().any(|reason| reason == wanted), "no Event {wanted} in {reasons:?}");
    }

    // It works on as soon as it is corrected.
    let correction = Patch::Merge(json!({"spec": {"retention": {"hits": "90d"}}}));
    raw.patch("unreadable", &PatchParams::default(), &correction).await?;
    world.ready("unreadable").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn a_lost_password_is_replaced_and_everything_that_uses_it_rolls() -> Result<()> {
    let world = World::new("password").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    let hash = async |kind: ChildKind, name: &str| -> Result<String> {
        let object = world.children(kind).get(name).await?;
        let hash = &object.data["spec"]["template"]["metadata"]["annotations"]["watchkeeper.dev/config-hash"];
        Ok(hash.as_str().unwrap_or_default().to_owned())
    };
    let before = (
        hash(ChildKind::Deployment, "shop-api").await?,
        hash(ChildKind::StatefulSet, "shop-database").await?,
    );
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    secrets.delete("shop-database", &DeleteParams::default()).await?;
    until_async("API and database get the new one", SOON, async || {
        let now = (
            hash(ChildKind::Deployment, "shop-api").await?,
            hash(ChildKind::StatefulSet, "shop-database").await?,
        );
        Ok((now.0 != before.0 && now.1 != before.1).then_some(()))
    })
    .await?;
    world.ready("shop").await?;
    operator.stop(&world).await
}
