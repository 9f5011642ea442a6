//! Every verb that is granted is used, and none that is used is missing.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use watchkeeper_crds::MonitoredEndpoint;
use watchkeeper_crds::monitored_endpoint::EndpointState;
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_operator::rbac::{DISCOVERY_RULES, RULES};
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World, named};
use crate::storage::elastic;

/// Checked by an admission plugin while other requests are made, never asked for itself.
const NEVER_ASKED: &str = "update watchkeeper.dev/analyticsinstances/finalizers";

#[tokio::test]
async fn every_granted_verb_is_used_and_none_is_missing() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("verbs").await?;
    world.settings.api_url = Some(api.url.clone());
    world.grant_cluster().await?;
    world.grant_discovery(&world.namespace).await?;
    let guest = world.plane.namespace("guest").await?;
    let class = elastic(&world).await?;
    let operator = world.operator_for(&[&world.namespace, &guest]).await?;

    // Everything is made …
    let storage = |size: &str| {
        json!({"managed": {"storage": {"size": size, "className": class},
            "backup": {"schedule": "0 3 1 1 *"}}})
    };
    world
        .instance(
            "shop",
            json!({
            "database": storage("10Gi"),
            "access": {"projects": [{"name": "web", "keySecretName": "web-key"}]},
            "ingress": {"host": "stats.example.com", "tls": {"issuerRef": {"name": "ca"}}},
            "logger": {"autoscaling": {"maxReplicas": 2}},
            "observability": {"serviceMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}},
            "endpoints": {"namespaceSelector": {"matchLabels": {"watchkeeper.dev/test": "true"}},
                "discovery": {"enabled": true}}}),
        )
        .await?;
    world.ready("shop").await?;
    let endpoints: Api<MonitoredEndpoint> = Api::namespaced(world.client.clone(), &guest);
    let spec = json!({"instanceRef": {"name": "shop", "namespace": world.namespace}, "http": {"url": "http://a/"},
            "slo": {"target": "99.9"}});
    let endpoint = MonitoredEndpoint::new("front", serde_json::from_value(spec)?);
    let uid = endpoints.create(&PostParams::default(), &endpoint).await?.uid().unwrap_or_default();
    until_async("the endpoint is told", SOON, async || {
        Ok(api.with(|known| known.endpoints.contains_key(&uid)).then_some(()))
    })
    .await?;
    let annotated: Service = serde_json::from_value(json!({
        "metadata": {"name": "found", "annotations": {"watchkeeper.dev/monitor": "true"}},
        "spec": {"ports": [{"port": 80}]}}))?;
    Api::namespaced(world.client.clone(), &world.namespace)
        .create(&PostParams::default(), &annotated)
        .await?;
    until_async("a Service is found, and an objective has rules", SOON, async || {
        let found = world.endpoints().get_opt("service-found").await?;
        let rules = world.children(ChildKind::PrometheusRule).get_opt("shop-slo").await?;
        Ok((found.is_some() && rules.is_some()).then_some(()))
    })
    .await?;
    // … goes up, down and up again, and the second time makes a series of the Event …
    for (state, name, time) in [
        (EndpointState::Up, "Up", "2026-01-01T12:00:00.000Z"),
        (EndpointState::Down, "Down", "2026-01-01T12:01:00.000Z"),
        (EndpointState::Up, "Up", "2026-01-01T12:02:00.000Z"),
    ] {
        api.transition(&uid, name, time);
        until_async("the state comes back", SOON, async || {
            let status = endpoints.get("front").await?.status.unwrap_or_default();
            Ok((status.state == Some(state) && status.since.as_deref() == Some(time)).then_some(()))
        })
        .await?;
    }
    // … a Gateway is the way in instead …
    world.change("shop", json!({"ingress": null, "gateway": {"parentRefs": [{"name": "edge"}]}})).await?;
    until_async("a route takes the place of the Ingress", SOON, async || {
        Ok(world.children(ChildKind::HttpRoute).get_opt("shop").await?)
    })
    .await?;
    // … the database grows …
    let set = world.children(ChildKind::StatefulSet).get("shop-database").await?.uid();
    world.change("shop", json!({"database": storage("20Gi")})).await?;
    until_async("the set is replaced", SOON, async || {
        let now = world.children(ChildKind::StatefulSet).get_opt("shop-database").await?;
        Ok(now.filter(|now| now.uid() != set))
    })
    .await?;
    world.ready("shop").await?;
    // … and all that can be done without goes.
    let url = Secret {
        metadata: named("hits-db"),
        string_data: Some([("url".to_owned(), "postgres://db.example/hits".to_owned())].into()),
        ..Secret::default()
    };
    Api::namespaced(world.client.clone(), &world.namespace).create(&PostParams::default(), &url).await?;
    world
        .change(
            "shop",
            json!({
            "database": {"managed": null, "external": {"urlFrom": {"name": "hits-db", "key": "url"}}},
            "access": {"projects": []}, "gateway": null, "logger": {"autoscaling": null},
            "observability": {"serviceMonitor": {"enabled": false}, "prometheusRule": {"enabled": false}},
            "endpoints": {"discovery": {"enabled": false}},
            "networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false}}),
        )
        .await?;
    until_async("what is left over is gone", SOON, async || {
        let left = world.all_children("shop").await?;
        let gone = left.iter().all(|(kind, object)| {
            !matches!(
                kind,
                ChildKind::CronJob
                    | ChildKind::HorizontalPodAutoscaler
                    | ChildKind::HttpRoute
                    | ChildKind::Ingress
                    | ChildKind::NetworkPolicy
                    | ChildKind::PodDisruptionBudget
                    | ChildKind::PrometheusRule
                    | ChildKind::ServiceMonitor
                    | ChildKind::StatefulSet
            ) && !["shop-database", "web-key"].contains(&object.name_any().as_str())
        });
        let found = world.endpoints().get_opt("service-found").await?;
        Ok((gone && found.is_none()).then_some(()))
    })
    .await?;
    endpoints.delete("front", &DeleteParams::default()).await?;
    until_async("the endpoint is gone", SOON, async || {
        Ok(endpoints.get_opt("front").await?.is_none().then_some(()))
    })
    .await?;
    // Stopping gives the Lease back, ends the watches, which are recorded only then, and
    // fails if anything was refused.
    operator.stop(&world).await?;

    let granted: BTreeSet<String> = RULES
        .iter()
        .chain(&DISCOVERY_RULES)
        .flat_map(|rule| {
            rule.resources.iter().flat_map(move |resource| {
                rule.verbs.iter().map(move |verb| format!("{verb} {}/{resource}", rule.group))
            })
        })
        .filter(|permission| permission != NEVER_ASKED)
        .collect();
    let unused = until_async("every granted verb is used", SOON, async || {
        let used = used(&world)?;
        let unused: Vec<&String> = granted.difference(&used).collect();
        Ok(unused.is_empty().then_some(()))
    })
    .await;
    let used = used(&world)?;
    ensure!(unused.is_ok(), "granted and never used: {:#?}", granted.difference(&used).collect::<Vec<_>>());
    Ok(())
}

fn used(world: &World) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for request in world.asked()? {
        let created = request.verb == "patch" && request.code() == 201;
        let Some(object) = request.object_ref else {
            continue;
        };
        let mut resource = format!("{}/{}", object.api_group, object.resource);
        if !object.subresource.is_empty() {
            resource = format!("{resource}/{}", object.subresource);
        }
        // To apply what does not exist yet takes both permissions.
        if created {
            used.insert(format!("create {resource}"));
        }
        used.insert(format!("{} {resource}", request.verb));
    }
    Ok(used)
}
