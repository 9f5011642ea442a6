//! Endpoints of annotated objects: made, followed, and gone with them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World, reason};

async fn world(name: &str) -> Result<(World, FakeApi)> {
    let api = FakeApi::start().await?;
    let mut world = World::new(name).await?;
    world.settings.api_url = Some(api.url.clone());
    Ok((world, api))
}

fn looking() -> Value {
    json!({"endpoints": {"discovery": {"enabled": true}}})
}

fn ingress(name: &str, annotations: Value) -> Result<Ingress> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"tls": [{"hosts": ["shop.example"], "secretName": "cert"}], "rules": [{"host": "shop.example",
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "shop",
                "port": {"number": 80}}}}]}}]},
    }))?)
}

async fn until_endpoint(
    api: &Api<MonitoredEndpoint>,
    name: &str,
    what: &str,
    holds: impl Fn(&MonitoredEndpoint) -> bool,
) -> Result<MonitoredEndpoint> {
    until_async(what, SOON, async || Ok(api.get_opt(name).await?.filter(&holds))).await
}

async fn until_gone(api: &Api<MonitoredEndpoint>, name: &str) -> Result<()> {
    until_async(&format!("{name} is gone"), SOON, async || {
        Ok(api.get_opt(name).await?.is_none().then_some(()))
    })
    .await
}

async fn until_event(world: &World, reason: &str) -> Result<String> {
    until_event_in(world, &world.namespace, reason).await
}

async fn until_event_in(world: &World, namespace: &str, reason: &str) -> Result<String> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), namespace);
    until_async(&format!("an Event {reason}"), SOON, async || {
        let found = events.list(&ListParams::default()).await?;
        let found = found.items.into_iter().find(|event| event.reason.as_deref() == Some(reason));
        Ok(found.map(|event| event.note.unwrap_or_default()))
    })
    .await
}

fn url(endpoint: &MonitoredEndpoint) -> Option<&str> {
    endpoint.spec.http.as_ref().map(|http| http.url.as_str())
}

#[tokio::test]
async fn an_annotated_ingress_has_an_endpoint_that_follows_it_and_goes_with_it() -> Result<()> {
    let (world, api) = world("found").await?;
    world.grant_discovery(&world.namespace).await?;
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    let annotations = json!({"watchkeeper.dev/monitor": "true", "watchkeeper.dev/path": "/healthz",
        "watchkeeper.dev/group": "web", "watchkeeper.dev/interval": "30s"});
    ingresses.create(&PostParams::default(), &ingress("shop", annotations)?).await?;
    ingresses.create(&PostParams::default(), &ingress("plain", json!({}))?).await?;
    let operator = world.operator().await?;
    world.instance("shop", looking()).await?;

    let endpoints = world.endpoints();
    let found = until_endpoint(&endpoints, "ingress-shop", "it is made", |_| true).await?;
    ensure!(url(&found) == Some("https://shop.example/healthz"), "{:?}", found.spec);
    ensure!(found.spec.group.as_deref() == Some("web") && found.spec.interval.as_str() == "30s");
    ensure!(found.owner_references()[0].name == "shop");
    let uid = found.uid().context("a uid")?;
    until_async("it is told", SOON, async || {
        Ok(api.with(|known| known.endpoints.contains_key(&uid)).then_some(()))
    })
    .await?;
    let instance = world.condition("shop", "DiscoveryReady", "True").await?;
    ensure!(reason(&instance, "DiscoveryReady")?.0 == "Looking");

    // It follows the object, and what is taken out goes.
    let change = json!({"metadata": {"annotations": {"watchkeeper.dev/path": "/up",
        "watchkeeper.dev/group": null}}, "spec": {"tls": null}});
    ingresses.patch("shop", &PatchParams::default(), &Patch::Merge(&change)).await?;
    let followed = until_endpoint(&endpoints, "ingress-shop", "it follows", |endpoint| {
        url(endpoint) == Some("http://shop.example/up") && endpoint.spec.group.is_none()
    })
    .await?;
    ensure!(followed.uid().as_deref() == Some(&uid), "it was made anew");
    // What somebody changes in it is put right.
    let change = json!({"spec": {"http": {"url": "http://elsewhere.example/"}}});
    endpoints.patch("ingress-shop", &PatchParams::default(), &Patch::Merge(&change)).await?;
    until_endpoint(&endpoints, "ingress-shop", "it is put right", |endpoint| {
        url(endpoint) == Some("http://shop.example/up")
    })
    .await?;
    // A mistake is told, and changes nothing.
    let annotate = |name: &str, value: Value| json!({"metadata": {"annotations": {name: value}}});
    let mistake = annotate("watchkeeper.dev/interval", json!("often"));
    ingresses.patch("shop", &PatchParams::default(), &Patch::Merge(&mistake)).await?;
    let note = until_event(&world, "InvalidAnnotation").await?;
    ensure!(note.contains("watchkeeper.dev/interval: write a duration"), "{note}");
    ensure!(endpoints.get("ingress-shop").await?.spec.interval.as_str() == "30s");

    // Without its annotation it goes, with it it comes back, and with the object it goes for good.
    let silent = json!({"metadata": {"annotations": {"watchkeeper.dev/monitor": null,
        "watchkeeper.dev/interval": null}}});
    ingresses.patch("shop", &PatchParams::default(), &Patch::Merge(&silent)).await?;
    until_gone(&endpoints, "ingress-shop").await?;
    ensure!(api.with(|known| known.deleted.contains(&uid)));
    let again = annotate("watchkeeper.dev/monitor", json!("true"));
    ingresses.patch("shop", &PatchParams::default(), &Patch::Merge(&again)).await?;
    until_endpoint(&endpoints, "ingress-shop", "it is back", |_| true).await?;
    ingresses.delete("shop", &DeleteParams::default()).await?;
    until_gone(&endpoints, "ingress-shop").await?;
    ensure!(endpoints.list(&ListParams::default()).await?.items.is_empty());
    operator.stop(&world).await
}

#[tokio::test]
async fn services_and_routes_are_found_too_and_a_restart_writes_nothing() -> Result<()> {
    let (world, _api) = world("kinds").await?;
    world.grant_discovery(&world.namespace).await?;
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "db", "annotations": {"watchkeeper.dev/monitor": "true"}},
        "spec": {"ports": [{"port": 8080}]}}))?;
    services.create(&PostParams::default(), &service).await?;
    let route: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "annotations": {"watchkeeper.dev/monitor": "true"}},
        "spec": {"parentRefs": [{"name": "edge", "sectionName": "https"}], "hostnames": ["shop.example"]}}))?;
    world.children(ChildKind::HttpRoute).create(&PostParams::default(), &route).await?;
    let operator = world.operator().await?;
    world.instance("shop", looking()).await?;
    let endpoints = world.endpoints();
    let is_watched = |endpoint: &MonitoredEndpoint| {
        let conditions = endpoint.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.reason == "Watched")
    };
    let service = until_endpoint(&endpoints, "service-db", "the Service is found", is_watched).await?;
    ensure!(url(&service) == Some(&*format!("http://db.{}.svc:8080/", world.namespace)));
    let route = until_endpoint(&endpoints, "httproute-shop", "the route is found", is_watched).await?;
    ensure!(url(&route) == Some("https://shop.example/"));
    world.ready("shop").await?;
    until_async("all are counted", SOON, async || {
        let counts = world.instances().get("shop").await?.status.and_then(|status| status.endpoints);
        Ok(counts.filter(|counts| counts.total == 2))
    })
    .await?;
    operator.stop(&world).await?;

    let before = world.written()?.len();
    let operator = world.operator().await?;
    until_async("everything was looked at", SOON, async || {
        let looked = operator.reconciles("discovery") >= 2
            && operator.reconciles("monitoredendpoint") >= 2
            && operator.reconciles("analyticsinstance") >= 1;
        Ok(looked.then_some(()))
    })
    .await?;
    operator.stop(&world).await?;
    let new = world.written()?.split_off(before);
    ensure!(new.is_empty(), "{new:?}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_of_the_users_own_is_never_taken() -> Result<()> {
    let (world, _api) = world("taken").await?;
    world.grant_discovery(&world.namespace).await?;
    let operator = world.operator().await?;
    let mine = world.endpoint("ingress-shop", json!({"http": {"url": "http://mine.example/"}})).await?;
    world.instance("shop", looking()).await?;
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    let annotations = json!({"watchkeeper.dev/monitor": "true"});
    ingresses.create(&PostParams::default(), &ingress("shop", annotations)?).await?;
    let note = until_event(&world, "NameTaken").await?;
    ensure!(note.contains("there is a MonitoredEndpoint ingress-shop"), "{note}");
    ingresses.delete("shop", &DeleteParams::default()).await?;
    world.change("shop", json!({"endpoints": {"discovery": {"enabled": false}}})).await?;
    world.ready("shop").await?;
    let now = world.endpoints().get("ingress-shop").await?;
    ensure!(now.uid() == mine.uid() && url(&now) == Some("http://mine.example/"));
    ensure!(now.owner_references().is_empty() && now.metadata.deletion_timestamp.is_none());
    operator.stop(&world).await
}

#[tokio::test]
async fn an_endpoint_of_an_instance_that_cannot_be_read_stays() -> Result<()> {
    let (world, api) = world("doubt").await?;
    world.grant_discovery(&world.namespace).await?;
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    let annotations = json!({"watchkeeper.dev/monitor": "true", "watchkeeper.dev/instance": "shop"});
    ingresses.create(&PostParams::default(), &ingress("shop", annotations)?).await?;
    let operator = world.operator().await?;
    world.instance("shop", looking()).await?;
    // By this one there is somebody who looks all the time.
    world.instance("other", looking()).await?;
    let found = until_endpoint(&world.endpoints(), "ingress-shop", "it is made", |_| true).await?;

    // The schema lets this pass; no program can count that many days.
    let raw: Api<DynamicObject> = Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::erase::<AnalyticsInstance>(&()),
    );
    let endless = Patch::Merge(json!({"spec": {"retention": {"hits": "99999999999999999999d"}}}));
    raw.patch("shop", &PatchParams::default(), &endless).await?;
    let note = until_event(&world, "Undecided").await?;
    ensure!(note.contains(&format!("AnalyticsInstance {}/shop", world.namespace)), "{note}");
    let now = world.endpoints().get("ingress-shop").await?;
    ensure!(now.uid() == found.uid() && now.metadata.deletion_timestamp.is_none());
    ensure!(api.with(|known| known.deleted.is_empty()));
    operator.stop(&world).await
}

#[tokio::test]
async fn an_endpoint_stays_where_nobody_can_tell_whether_its_namespace_is_let_in() -> Result<()> {
    let (world, _api) = world("blind-look").await?;
    world.grant_cluster().await?;
    let guest = world.plane.namespace("guest").await?;
    world.grant(&guest).await?;
    world.grant_discovery(&guest).await?;
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &guest);
    let annotations = json!({"watchkeeper.dev/monitor": "true"});
    ingresses.create(&PostParams::default(), &ingress("shop", annotations)?).await?;
    let operator = world.operator_for(&[&world.namespace, &guest]).await?;
    let selector = json!({"matchLabels": {"watchkeeper.dev/test": "true"}});
    let endpoints = json!({"namespaceSelector": selector, "discovery": {"enabled": true}});
    world.instance("shop", json!({ "endpoints": endpoints })).await?;
    let endpoints: Api<MonitoredEndpoint> = Api::namespaced(world.client.clone(), &guest);
    let found = until_endpoint(&endpoints, "ingress-shop", "it is made", |_| true).await?;

    world.revoke_cluster().await?;
    let change = Patch::Merge(json!({"metadata": {"annotations": {"watchkeeper.dev/path": "/up"}}}));
    ingresses.patch("shop", &PatchParams::default(), &change).await?;
    let note = until_event_in(&world, &guest, "Undecided").await?;
    ensure!(note.contains("let the operator read Namespaces"), "{note}");
    let now = endpoints.get("ingress-shop").await?;
    ensure!(now.uid() == found.uid() && now.metadata.deletion_timestamp.is_none());
    // It was refused, as it had to be.
    operator.kill().await;
    Ok(())
}

#[tokio::test]
async fn an_object_is_found_when_its_namespace_gets_the_label_and_not_when_it_has_lost_it() -> Result<()> {
    let (mut world, _api) = world("labels").await?;
    world.settings.namespace_refresh = Duration::from_millis(200);
    world.grant_cluster().await?;
    let guest = world.plane.namespace("guest").await?;
    world.grant_discovery(&guest).await?;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let label = async |value: Value| {
        let labels = Patch::Merge(json!({"metadata": {"labels": {"team": value}}}));
        namespaces.patch(&guest, &PatchParams::default(), &labels).await
    };
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &guest);
    let annotations = json!({"watchkeeper.dev/monitor": "true"});
    ingresses.create(&PostParams::default(), &ingress("shop", annotations)?).await?;
    let operator = world.operator_for(&[&world.namespace, &guest]).await?;
    let selector = json!({"matchLabels": {"team": "web"}});
    let looking = json!({"namespaceSelector": selector, "discovery": {"enabled": true}});
    world.instance("shop", json!({ "endpoints": looking })).await?;
    until_async("it was looked at", SOON, async || Ok((operator.reconciles("discovery") > 0).then_some(())))
        .await?;
    let endpoints: Api<MonitoredEndpoint> = Api::namespaced(world.client.clone(), &guest);
    ensure!(endpoints.list(&ListParams::default()).await?.items.is_empty());

    label(json!("web")).await?;
    until_endpoint(&endpoints, "ingress-shop", "it is made", |_| true).await?;
    label(Value::Null).await?;
    until_gone(&endpoints, "ingress-shop").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn objects_are_found_in_the_namespaces_that_an_instance_names_and_in_no_other() -> Result<()> {
    let (world, _api) = world("limits").await?;
    let (near, far) = (world.plane.namespace("near").await?, world.plane.namespace("far").await?);
    let chosen = format!("{}/shop", world.namespace);
    let annotations = json!({"watchkeeper.dev/monitor": "true", "watchkeeper.dev/instance": chosen});
    for namespace in [&near, &far] {
        world.grant(namespace).await?;
        world.grant_discovery(namespace).await?;
        let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), namespace);
        ingresses.create(&PostParams::default(), &ingress("shop", annotations.clone())?).await?;
    }
    let only = |namespace: &str| {
        json!({"endpoints": {"namespaceSelector": {},
            "discovery": {"enabled": true, "namespaces": [namespace]}}})
    };
    let operator = world.operator_for(&[&world.namespace, &near, &far]).await?;
    world.instance("shop", only(&near)).await?;
    let [of_near, of_far]: [Api<MonitoredEndpoint>; 2] =
        [&near, &far].map(|namespace| Api::namespaced(world.client.clone(), namespace));
    until_endpoint(&of_near, "ingress-shop", "it is made where it is looked for", |_| true).await?;
    let note = until_event_in(&world, &far, "NotLooking").await?;
    ensure!(note.contains("spec.endpoints.discovery"), "{note}");
    ensure!(of_far.list(&ListParams::default()).await?.items.is_empty());

    world.change("shop", only(&far)).await?;
    until_endpoint(&of_far, "ingress-shop", "it is made in the other", |_| true).await?;
    until_gone(&of_near, "ingress-shop").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn discovery_is_off_by_default_and_takes_its_endpoints_away_when_it_is_turned_off() -> Result<()> {
    let (world, _api) = world("off").await?;
    world.grant_discovery(&world.namespace).await?;
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    let annotations = json!({"watchkeeper.dev/monitor": "true"});
    ingresses.create(&PostParams::default(), &ingress("shop", annotations)?).await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    ensure!(operator.reconciles("discovery") == 0);
    ensure!(world.endpoints().list(&ListParams::default()).await?.items.is_empty());

    world.change("shop", looking()).await?;
    until_endpoint(&world.endpoints(), "ingress-shop", "it is made", |_| true).await?;
    // Not of this kind any more.
    let services = json!({"endpoints": {"discovery": {"enabled": true, "kinds": ["Service"]}}});
    world.change("shop", services).await?;
    until_gone(&world.endpoints(), "ingress-shop").await?;
    world.change("shop", json!({"endpoints": {"discovery": {"kinds": ["Ingress"]}}})).await?;
    until_endpoint(&world.endpoints(), "ingress-shop", "it is back", |_| true).await?;
    // Another process finds what is left over, though it looks for nothing.
    operator.stop(&world).await?;
    world.change("shop", json!({"endpoints": {"discovery": {"enabled": false}}})).await?;
    let operator = world.operator().await?;
    until_gone(&world.endpoints(), "ingress-shop").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn without_its_permission_discovery_says_what_is_missing_and_everything_else_goes_on() -> Result<()> {
    let (world, _api) = world("unpermitted").await?;
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    let annotations = json!({"watchkeeper.dev/monitor": "true"});
    ingresses.create(&PostParams::default(), &ingress("shop", annotations)?).await?;
    let operator = world.operator().await?;
    world.instance("shop", looking()).await?;
    let instance = world.condition("shop", "DiscoveryReady", "False").await?;
    let (reason, message) = reason(&instance, "DiscoveryReady")?;
    ensure!(reason == "Forbidden" && message.contains("rbac.discovery=true"), "{reason}: {message}");
    world.ready("shop").await?;

    world.grant_discovery(&world.namespace).await?;
    until_endpoint(&world.endpoints(), "ingress-shop", "it is made at the next attempt", |_| true).await?;
    world.condition("shop", "DiscoveryReady", "True").await?;
    operator.kill().await;
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_told_no_more_when_no_object_is_left_that_needs_it() -> Result<()> {
    let (world, _api) = world("unneeded").await?;
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    let annotate = async |name: &str| {
        let object = ingress(name, json!({"watchkeeper.dev/monitor": "true"}))?;
        ingresses.create(&PostParams::default(), &object).await?;
        world.condition("shop", "DiscoveryReady", "False").await
    };
    let operator = world.operator().await?;
    world.instance("shop", looking()).await?;

    annotate("shop").await?;
    ingresses.delete("shop", &DeleteParams::default()).await?;
    world.condition("shop", "DiscoveryReady", "True").await?;

    annotate("blog").await?;
    let plain = Patch::Merge(json!({"metadata": {"annotations": {"watchkeeper.dev/monitor": null}}}));
    ingresses.patch("blog", &PatchParams::default(), &plain).await?;
    world.condition("shop", "DiscoveryReady", "True").await?;
    // It was refused, as it had to be.
    operator.kill().await;
    Ok(())
}
