//! The way in through a Gateway, against the definitions that the Gateway API publishes.

use anyhow::{Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::cluster::ControlPlane;
use watchkeeper_testkit::wait::until_async;

use crate::foreign;
use crate::harness::{SOON, World, reason};

fn gateway() -> Value {
    json!({"parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "https"}],
        "hostnames": ["stats.example.com"]})
}

/// What a Gateway's controller would say.
async fn say(world: &World, status: &str, why: &str) -> Result<()> {
    let routes = world.children(ChildKind::HttpRoute);
    let generation = routes.get("shop").await?.metadata.generation;
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "so it is",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let parent = json!({
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "namespace": "infra"},
        "controllerName": "gateway.example/controller",
        "conditions": [condition("Accepted", status, why), condition("ResolvedRefs", "True", "ResolvedRefs")]});
    let patch = Patch::Merge(json!({"status": {"parents": [parent]}}));
    routes.patch_status("shop", &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Waits until the route is told to want for its kind; while the kind goes, the route is pending.
async fn until_lacking(world: &World) -> Result<()> {
    let api = world.instances();
    until_async("the route's kind is told to be missing", SOON, async || {
        let told = reason(&api.get("shop").await?, "RouteReady");
        Ok(told.is_ok_and(|(why, _)| why == "KindMissing").then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_route_takes_the_place_of_an_ingress_and_says_how_it_is() -> Result<()> {
    let world = World::new("gateway").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({"ingress": {"host": "stats.example.com"}})).await?;
    world.ready("shop").await?;
    let both = world.change("shop", json!({"gateway": gateway()})).await;
    ensure!(both.is_err_and(|error| error.to_string().contains("set ingress or gateway, not both")));

    world.change("shop", json!({"ingress": null, "gateway": gateway()})).await?;
    let routes = world.children(ChildKind::HttpRoute);
    until_async("a route takes the place of the Ingress", SOON, async || {
        let gone = world.children(ChildKind::Ingress).get_opt("shop").await?.is_none();
        Ok(routes.get_opt("shop").await?.filter(|_| gone))
    })
    .await?;
    let instance = world.condition("shop", "RouteReady", "False").await?;
    ensure!(reason(&instance, "RouteReady")?.0 == "Pending");
    ensure!(instance.status.unwrap_or_default().url.as_deref() == Some("https://stats.example.com"));

    say(&world, "True", "Accepted").await?;
    world.condition("shop", "RouteReady", "True").await?;
    say(&world, "False", "NoMatchingListenerHostname").await?;
    let instance = world.condition("shop", "RouteReady", "False").await?;
    let (why, message) = reason(&instance, "RouteReady")?;
    ensure!(why == "NoMatchingListenerHostname" && message.contains("edge: so it is"), "{why} {message}");

    let drift = Patch::Merge(json!({"spec": {"hostnames": ["elsewhere.example.com"]}}));
    routes.patch("shop", &PatchParams::default(), &drift).await?;
    until_async("the host name is put right", SOON, async || {
        let route = routes.get("shop").await?;
        Ok((route.data["spec"]["hostnames"] == json!(["stats.example.com"])).then_some(()))
    })
    .await?;
    world.ready("shop").await?;
    let before = routes.get("shop").await?.metadata.generation;

    // A new operator finds nothing to do: what the API server has filled in is no difference.
    operator.stop(&world).await?;
    let written = world.written()?.len();
    let operator = world.operator().await?;
    until_async("everything was looked at", SOON, async || {
        Ok((operator.reconciles("analyticsinstance") > 0).then_some(()))
    })
    .await?;
    operator.stop(&world).await?;
    let new = world.written()?.split_off(written);
    ensure!(new.is_empty(), "{new:?}");
    ensure!(routes.get("shop").await?.metadata.generation == before);

    let operator = world.operator().await?;
    world.change("shop", json!({"gateway": null})).await?;
    until_async("the route is gone", SOON, async || {
        Ok(routes.get_opt("shop").await?.is_none().then_some(()))
    })
    .await?;
    let instance = until_async("its condition is gone", SOON, async || {
        let instance = world.instances().get("shop").await?;
        Ok(reason(&instance, "RouteReady").is_err().then_some(instance))
    })
    .await?;
    ensure!(instance.name_any() == "shop");
    operator.stop(&world).await
}

#[tokio::test]
async fn kinds_that_the_cluster_lacks_are_told_and_used_as_soon_as_they_come() -> Result<()> {
    // One that no other test installs anything in; it ends with this process.
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start()?));
    let world = World::on(plane, "lacking").await?;
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    // Where a cluster is given to the tests, it may have anything.
    if crds.get_opt("httproutes.gateway.networking.k8s.io").await?.is_some() {
        return Ok(());
    }
    let operator = world.operator().await?;
    operator.leading().await?;
    let monitored = json!({"serviceMonitor": {"enabled": true}});
    world.instance("shop", json!({"gateway": gateway(), "observability": monitored})).await?;
    world.ready("shop").await?;
    until_lacking(&world).await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (why, message) = reason(&instance, "Degraded")?;
    ensure!(why == "KindMissing", "{why} {message}");
    for word in ["HTTPRoute", "install the Gateway API", "ServiceMonitor", "the Prometheus operator"] {
        ensure!(message.contains(word), "{word} is missing from {message}");
    }
    // It is ready, and works on: what is lacking holds nothing else up.
    ensure!(operator.health.pending().is_empty(), "{:?}", operator.health.pending());
    let errors = operator.metrics.render()?;
    ensure!(!errors.contains("watch_errors_total{kind=\"HTTPRoute\"}"), "it watches what is not there");

    foreign::install(&world.client).await?;
    world.condition("shop", "Degraded", "False").await?;
    let monitor = world.children(ChildKind::ServiceMonitor).get("shop").await?;
    ensure!(monitor.data["spec"]["endpoints"][0]["port"] == "metrics");
    say(&world, "True", "Accepted").await?;
    world.condition("shop", "RouteReady", "True").await?;

    crds.delete("httproutes.gateway.networking.k8s.io", &DeleteParams::default()).await?;
    until_lacking(&world).await?;
    ensure!(operator.health.pending().is_empty(), "{:?}", operator.health.pending());
    operator.stop(&world).await
}
