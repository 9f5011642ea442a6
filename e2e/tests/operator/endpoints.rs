//! MonitoredEndpoints: told to the API, and their states come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_crds::MonitoredEndpoint;
use watchkeeper_crds::monitored_endpoint::EndpointState;
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World, named};

async fn world(name: &str) -> Result<(World, FakeApi)> {
    let api = FakeApi::start().await?;
    let mut world = World::new(name).await?;
    world.settings.api_url = Some(api.url.clone());
    Ok((world, api))
}

async fn until_status(
    api: &Api<MonitoredEndpoint>,
    name: &str,
    what: &str,
    holds: impl Fn(&MonitoredEndpoint) -> bool,
) -> Result<MonitoredEndpoint> {
    until_async(what, SOON, async || {
        let endpoint = api.get(name).await?;
        Ok(holds(&endpoint).then_some(endpoint))
    })
    .await
}

fn state(endpoint: &MonitoredEndpoint) -> Option<EndpointState> {
    endpoint.status.as_ref().and_then(|status| status.state)
}

fn reason_of(endpoint: &MonitoredEndpoint, kind: &str) -> Option<String> {
    let conditions = &endpoint.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.reason.clone())
}

/// Makes an instance `shop` and an endpoint `front` of it, which is watched and up; gives its uid.
async fn watched_and_up(world: &World, api: &FakeApi) -> Result<String> {
    world.instance("shop", json!({})).await?;
    let uid = world.endpoint("front", json!({})).await?.uid().unwrap_or_default();
    let endpoints = world.endpoints();
    until_status(&endpoints, "front", "it is watched", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("Watched")
    })
    .await?;
    api.transition(&uid, "Up", "2026-01-01T12:00:00.000Z");
    until_status(&endpoints, "front", "it is up", |endpoint| state(endpoint) == Some(EndpointState::Up))
        .await?;
    Ok(uid)
}

#[tokio::test]
async fn an_endpoint_is_told_with_its_secrets_and_its_states_come_back() -> Result<()> {
    let (world, api) = world("states").await?;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    let header =
        json!([{"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}]);
    world.endpoint("front", json!({"http": {"url": "http://a.example/", "headers": header}})).await?;
    let endpoints = world.endpoints();
    until_status(&endpoints, "front", "the missing Secret is named", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("SecretMissing")
    })
    .await?;

    let secret = |value: &str| Secret {
        metadata: named("token"),
        string_data: Some([("value".to_owned(), value.to_owned())].into()),
        ..Secret::default()
    };
    secrets.create(&PostParams::default(), &secret("one")).await?;
    let endpoint = until_status(&endpoints, "front", "it is watched", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("Watched")
    })
    .await?;
    let uid = endpoint.uid().unwrap_or_default();
    let told = |value: &str| {
        let value = json!(value);
        api.with(|known| {
            known.endpoints.get(&uid).is_some_and(|body| body["spec"]["http"]["headers"][0]["value"] == value)
        })
    };
    ensure!(told("one"), "the header's value was not told");
    secrets.replace("token", &PostParams::default(), &secret("two")).await?;
    until_async("the new value is told", SOON, async || Ok(told("two").then_some(()))).await?;

    api.transition(&uid, "Up", "2026-01-01T12:00:00.000Z");
    let up =
        until_status(&endpoints, "front", "it is up", |endpoint| state(endpoint) == Some(EndpointState::Up))
            .await?;
    ensure!(
        up.status.and_then(|status| status.uptime).and_then(|uptime| uptime.day).as_deref() == Some("99.95")
    );
    api.transition(&uid, "Down", "2026-01-01T12:00:30.000Z");
    until_status(&endpoints, "front", "it is down", |endpoint| state(endpoint) == Some(EndpointState::Down))
        .await?;
    until_async("the instance counts it", SOON, async || {
        let counts = world.instances().get("shop").await?.status.and_then(|status| status.endpoints);
        Ok(counts.filter(|counts| counts.total == 1 && counts.down == 1))
    })
    .await?;

    endpoints.delete("front", &DeleteParams::default()).await?;
    until_async("it is gone here and there", SOON, async || {
        let gone =
            endpoints.get_opt("front").await?.is_none() && api.with(|known| known.deleted.contains(&uid));
        Ok(gone.then_some(()))
    })
    .await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn a_restart_removes_leftovers_tells_all_again_and_writes_nothing() -> Result<()> {
    let (world, api) = world("resync").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    let endpoints = world.endpoints();
    let mut uids = Vec::new();
    for name in ["a", "b", "c"] {
        uids.push(world.endpoint(name, json!({})).await?.uid().unwrap_or_default());
    }
    for (name, uid) in ["a", "b", "c"].iter().zip(&uids) {
        until_status(&endpoints, name, "it is watched", |endpoint| {
            reason_of(endpoint, "Ready").as_deref() == Some("Watched")
        })
        .await?;
        api.transition(uid, "Up", "2026-01-01T12:00:00.000Z");
        until_status(&endpoints, name, "it is up", |endpoint| state(endpoint) == Some(EndpointState::Up))
            .await?;
    }
    world.ready("shop").await?;
    until_async("all are counted", SOON, async || {
        Ok(world
            .instances()
            .get("shop")
            .await?
            .status
            .and_then(|status| status.endpoints)
            .filter(|counts| counts.up == 3))
    })
    .await?;
    operator.stop(&world).await?;

    api.transition("00000000-0000-0000-0000-000000000000", "Up", "2026-01-01T12:00:00.000Z");
    let (puts, written) = (api.with(|known| known.puts), world.written()?.len());
    let operator = world.operator().await?;
    until_async("the leftover is gone", SOON, async || {
        Ok(api.with(|known| known.deleted.iter().any(|uid| uid.starts_with("00000000"))).then_some(()))
    })
    .await?;
    until_async("all are told again", SOON, async || {
        Ok((api.with(|known| known.puts) >= puts + 3).then_some(()))
    })
    .await?;
    until_async("everything was looked at", SOON, async || {
        Ok((operator.reconciles("monitoredendpoint") >= 3 && operator.reconciles("analyticsinstance") >= 1)
            .then_some(()))
    })
    .await?;
    operator.stop(&world).await?;
    let new = world.written()?.split_off(written);
    ensure!(new.is_empty(), "{new:?}");
    Ok(())
}

/// Type, reason and note of each Event about an endpoint, oldest first, none of which was told twice.
async fn events_about(world: &World, uid: &str) -> Result<Vec<[String; 3]>> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut found = events.list(&ListParams::default()).await?.items;
    found.retain(|event| event.regarding.as_ref().and_then(|about| about.uid.as_deref()) == Some(uid));
    found.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
    found
        .into_iter()
        .map(|event| {
            ensure!(event.series.is_none(), "told again: {event:?}");
            Ok([event.type_, event.reason, event.note].map(Option::unwrap_or_default))
        })
        .collect()
}

#[tokio::test]
async fn each_transition_is_told_by_one_event_and_a_restart_tells_none_again() -> Result<()> {
    let (world, api) = world("events").await?;
    let operator = world.operator().await?;
    let uid = watched_and_up(&world, &api).await?;
    api.transition_saying(&uid, "Down", "2026-01-01T12:00:30.000Z", &json!("connection refused"));
    let told = until_async("the outage is told", SOON, async || {
        let told = events_about(&world, &uid).await?;
        Ok(told.iter().any(|[_, reason, _]| reason == "Down").then_some(told))
    })
    .await?;
    let watched = format!("AnalyticsInstance {}/shop watches this endpoint", world.namespace);
    for (reason, wanted) in [
        ("Watched", ["Normal", watched.as_str()]),
        ("Up", ["Normal", "the endpoint is up"]),
        ("Down", ["Warning", "connection refused"]),
    ] {
        let found: Vec<_> = told
            .iter()
            .filter(|[_, found, _]| found == reason)
            .map(|[kind, _, note]| [kind.as_str(), note.as_str()])
            .collect();
        ensure!(found == [wanted], "{reason}: {told:?}");
    }
    operator.stop(&world).await?;

    let puts = api.with(|known| known.puts);
    let operator = world.operator().await?;
    until_async("it is told to the API again", SOON, async || {
        Ok((api.with(|known| known.puts) > puts).then_some(()))
    })
    .await?;
    until_async("it was looked at", SOON, async || {
        Ok((operator.reconciles("monitoredendpoint") >= 1).then_some(()))
    })
    .await?;
    operator.stop(&world).await?;
    let after = events_about(&world, &uid).await?;
    ensure!(after == told, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_of_another_namespace_needs_leave() -> Result<()> {
    let (world, api) = world("guests").await?;
    world.grant_cluster().await?;
    let guest = world.plane.namespace("guest").await?;
    let operator = world.operator_for(&[&world.namespace, &guest]).await?;
    world.instance("shop", json!({})).await?;
    let endpoints: Api<MonitoredEndpoint> = Api::namespaced(world.client.clone(), &guest);
    let mut endpoint = MonitoredEndpoint::new(
        "front",
        serde_json::from_value(json!({
        "instanceRef": {"name": "shop", "namespace": world.namespace}, "http": {"url": "http://a.example/"}}))?,
    );
    endpoint.metadata.namespace = Some(guest.clone());
    endpoints.create(&PostParams::default(), &endpoint).await?;
    until_status(&endpoints, "front", "it is not let in", |endpoint| {
        reason_of(endpoint, "Accepted").as_deref() == Some("NotAllowed")
    })
    .await?;
    ensure!(api.with(|known| known.endpoints.is_empty()));

    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "guests"}}}));
    namespaces.patch(&guest, &PatchParams::default(), &label).await?;
    world
        .change("shop", json!({"endpoints": {"namespaceSelector": {"matchLabels": {"team": "guests"}}}}))
        .await?;
    until_status(&endpoints, "front", "it is let in", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("Watched")
    })
    .await?;
    ensure!(api.with(|known| known.endpoints.len()) == 1);

    world.change("shop", json!({"endpoints": {"namespaceSelector": null}})).await?;
    until_async("it is thrown out", SOON, async || {
        Ok(api.with(|known| known.endpoints.is_empty()).then_some(()))
    })
    .await?;
    operator.stop(&world).await
}

/// An endpoint of the instance `shop` of another namespace, which chooses that one by its label.
async fn guest(world: &World) -> Result<Api<MonitoredEndpoint>> {
    let guest = world.plane.namespace("guest").await?;
    world.grant(&guest).await?;
    let selector = json!({"matchLabels": {"watchkeeper.dev/test": "true"}});
    world.instance("shop", json!({"endpoints": {"namespaceSelector": selector}})).await?;
    let mut endpoint = MonitoredEndpoint::new(
        "front",
        serde_json::from_value(json!({
        "instanceRef": {"name": "shop", "namespace": world.namespace}, "http": {"url": "http://a.example/"}}))?,
    );
    endpoint.metadata.namespace = Some(guest.clone());
    let endpoints: Api<MonitoredEndpoint> = Api::namespaced(world.client.clone(), &guest);
    endpoints.create(&PostParams::default(), &endpoint).await?;
    Ok(endpoints)
}

#[tokio::test]
async fn what_was_measured_outlives_a_permission_without_which_nobody_can_tell() -> Result<()> {
    let (world, api) = world("blind").await?;
    world.grant_cluster().await?;
    let endpoints = guest(&world).await?;
    let front = endpoints.get("front").await?;
    let namespace = front.namespace().unwrap_or_default();
    let operator = world.operator_for(&[&world.namespace, &namespace]).await?;
    until_status(&endpoints, "front", "it is let in", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("Watched")
    })
    .await?;

    world.revoke_cluster().await?;
    let change = Patch::Merge(json!({"spec": {"interval": "30s"}}));
    endpoints.patch("front", &PatchParams::default(), &change).await?;
    until_status(&endpoints, "front", "nobody can tell", |endpoint| {
        reason_of(endpoint, "Accepted").as_deref() == Some("NamespaceUnreadable")
    })
    .await?;
    let uid = front.uid().unwrap_or_default();
    ensure!(api.with(|known| known.endpoints.contains_key(&uid) && known.deleted.is_empty()));
    // It was refused, as it had to be.
    operator.kill().await;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_comes_and_goes_with_the_label_of_its_namespace() -> Result<()> {
    let (mut world, api) = world("labels").await?;
    world.settings.namespace_refresh = Duration::from_millis(200);
    world.grant_cluster().await?;
    let endpoints = guest(&world).await?;
    let front = endpoints.get("front").await?;
    let (uid, namespace) = (front.uid().unwrap_or_default(), front.namespace().unwrap_or_default());
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let label = async |value: Value| {
        let labels = Patch::Merge(json!({"metadata": {"labels": {"watchkeeper.dev/test": value}}}));
        namespaces.patch(&namespace, &PatchParams::default(), &labels).await
    };
    label(Value::Null).await?;
    let operator = world.operator_for(&[&world.namespace, &namespace]).await?;
    until_status(&endpoints, "front", "it is not let in", |endpoint| {
        reason_of(endpoint, "Accepted").as_deref() == Some("NotAllowed")
    })
    .await?;

    label(json!("true")).await?;
    until_status(&endpoints, "front", "it is let in", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("Watched")
    })
    .await?;
    label(Value::Null).await?;
    until_async("it is thrown out", SOON, async || {
        Ok(api.with(|known| known.deleted.contains(&uid)).then_some(()))
    })
    .await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn a_namespace_that_cannot_be_read_holds_up_no_other() -> Result<()> {
    let (mut world, api) = world("patience").await?;
    world.settings.patience = Duration::from_secs(1);
    let closed = world.plane.namespace("closed").await?;
    // Of an endpoint over there, for all that anybody knows.
    let unknown = "00000000-0000-0000-0000-000000000000";
    api.transition(unknown, "Up", "2026-01-01T12:00:00.000Z");
    let operator = world.operator_for(&[&world.namespace, &closed]).await?;
    watched_and_up(&world, &api).await?;
    ensure!(api.with(|known| known.deleted.is_empty()), "what may exist was forgotten");
    operator.kill().await;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_read_says_so_until_it_is_corrected() -> Result<()> {
    let (world, api) = world("unreadable").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.endpoint("front", json!({})).await?;
    let endpoints = world.endpoints();
    let watched = |endpoint: &MonitoredEndpoint| reason_of(endpoint, "Ready").as_deref() == Some("Watched");
    until_status(&endpoints, "front", "it is watched", watched).await?;

    // The schema lets this pass; no program can count that many hours.
    let raw: Api<DynamicObject> = Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::erase::<MonitoredEndpoint>(&()),
    );
    let cooldown = |span: Value| Patch::Merge(json!({"spec": {"alerts": {"cooldown": span}}}));
    raw.patch("front", &PatchParams::default(), &cooldown(json!("99999999999999999999h"))).await?;
    until_async("it says so", SOON, async || {
        let conditions = raw.get("front").await?.data["status"]["conditions"].clone();
        let degraded = |condition: &Value| condition["type"] == "Degraded" && condition["status"] == "True";
        Ok(conditions.as_array().is_some_and(|all| all.iter().any(degraded)).then_some(()))
    })
    .await?;
    raw.patch("front", &PatchParams::default(), &cooldown(Value::Null)).await?;
    let corrected = until_status(&endpoints, "front", "it is watched again", watched).await?;
    ensure!(reason_of(&corrected, "Degraded").is_none(), "{:?}", corrected.status);
    ensure!(api.with(|known| known.deleted.is_empty()));
    operator.stop(&world).await
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_read_can_be_deleted() -> Result<()> {
    let (world, api) = world("unreadable-gone").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    let uid = world.endpoint("front", json!({})).await?.uid().unwrap_or_default();
    until_status(&world.endpoints(), "front", "it is watched", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("Watched")
    })
    .await?;
    let raw: Api<DynamicObject> = Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::erase::<MonitoredEndpoint>(&()),
    );
    // The schema lets this pass; no program can count that many hours.
    let endless = Patch::Merge(json!({"spec": {"alerts": {"cooldown": "99999999999999999999h"}}}));
    raw.patch("front", &PatchParams::default(), &endless).await?;
    raw.delete("front", &DeleteParams::default()).await?;
    until_async("it is gone here and there", SOON, async || {
        let gone = raw.get_opt("front").await?.is_none() && api.with(|known| known.deleted.contains(&uid));
        Ok(gone.then_some(()))
    })
    .await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn what_others_have_left_in_a_status_goes_whoever_owns_it() -> Result<()> {
    let (world, api) = world("left-over").await?;
    world.instance("shop", json!({})).await?;
    let endpoints = world.endpoints();
    let status = |name: &str| {
        json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "MonitoredEndpoint",
            "metadata": {"name": name},
            "status": {"state": "Degraded", "conditions": [{"type": "Degraded", "status": "True",
                "reason": "InvalidSpec", "message": "of before",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
    };
    let mut uids = Vec::new();
    for name in ["applied", "updated"] {
        uids.push(world.endpoint(name, json!({})).await?.uid().unwrap_or_default());
    }
    let older = PatchParams::apply("older-operator").force();
    endpoints.patch_status("applied", &older, &Patch::Apply(status("applied"))).await?;
    endpoints.patch_status("updated", &PatchParams::default(), &Patch::Merge(status("updated"))).await?;

    let operator = world.operator().await?;
    for (name, uid) in ["applied", "updated"].into_iter().zip(&uids) {
        api.transition(uid, "Up", "2026-01-01T12:00:00.000Z");
        until_status(&endpoints, name, "it says what is, and nothing else", |endpoint| {
            reason_of(endpoint, "Ready").as_deref() == Some("Watched")
                && reason_of(endpoint, "Degraded").is_none()
                && state(endpoint) == Some(EndpointState::Up)
        })
        .await?;
    }
    operator.stop(&world).await
}

#[tokio::test]
async fn what_the_api_refuses_and_a_missing_instance_are_said_in_conditions() -> Result<()> {
    let (world, _api) = world("refused").await?;
    let operator = world.operator().await?;
    world.endpoint("early", json!({})).await?;
    let endpoints = world.endpoints();
    let early = until_status(&endpoints, "early", "no instance", |endpoint| {
        reason_of(endpoint, "Accepted").as_deref() == Some("InstanceNotFound")
    })
    .await?;
    ensure!(early.finalizers().is_empty(), "nothing needs a finalizer before anything is told");
    world.endpoint("refused", json!({"http": {"url": "http://refused.example/"}})).await?;
    world.instance("shop", json!({})).await?;
    until_status(&endpoints, "early", "it is watched", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("Watched")
    })
    .await?;
    let refused = until_status(&endpoints, "refused", "it is refused", |endpoint| {
        reason_of(endpoint, "Ready").as_deref() == Some("InstanceApiError")
    })
    .await?;
    let message = refused.status.map(|status| status.conditions[0].message.clone()).unwrap_or_default();
    ensure!(message.contains("spec.http.url: this host is not allowed"), "{message}");
    operator.stop(&world).await
}

#[tokio::test]
async fn neither_a_dead_api_nor_a_missing_instance_holds_up_a_deletion() -> Result<()> {
    let (mut world, _api) = world("stuck").await?;
    world.settings.deletion_grace = Duration::from_secs(2);
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    for name in ["a", "b"] {
        world.endpoint(name, json!({})).await?;
        until_status(&world.endpoints(), name, "it is watched", |endpoint| !endpoint.finalizers().is_empty())
            .await?;
    }
    operator.stop(&world).await?;
    // A port on which nobody listens.
    world.settings.api_url = Some("http://127.0.0.1:9".to_owned());
    let operator = world.operator().await?;
    world.endpoints().delete("a", &DeleteParams::default()).await?;
    until_async("it goes without the API", SOON, async || {
        Ok(world.endpoints().get_opt("a").await?.is_none().then_some(()))
    })
    .await?;
    world.instances().delete("shop", &DeleteParams::default()).await?;
    until_async("the instance is gone", SOON, async || {
        Ok(world.instances().get_opt("shop").await?.is_none().then_some(()))
    })
    .await?;
    world.endpoints().delete("b", &DeleteParams::default()).await?;
    until_async("it goes without an instance", SOON, async || {
        Ok(world.endpoints().get_opt("b").await?.is_none().then_some(()))
    })
    .await?;
    operator.stop(&world).await
}
