//! Rules for endpoints that have an objective, against the definition that the Prometheus operator
//! publishes.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::cluster::Request;
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World};

#[tokio::test]
async fn the_rules_of_an_instance_follow_the_objectives_of_its_endpoints() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("slo").await?;
    world.settings.api_url = Some(api.url.clone());
    let operator = world.operator().await?;
    let asked = json!({"enabled": true, "labels": {"release": "prometheus"}});
    world.instance("shop", json!({"observability": {"prometheusRule": asked}})).await?;
    world.endpoint("plain", json!({})).await?;
    world.endpoint("front", json!({"slo": {"target": "99.9"}})).await?;
    let rules = world.children(ChildKind::PrometheusRule);
    let text =
        async || Ok::<_, anyhow::Error>(rules.get_opt("shop-slo").await?.map(|rule| rule.data.to_string()));
    until_async("there are rules", SOON, async || {
        Ok(text().await?.filter(|text| text.contains("vector(0.999)")))
    })
    .await?;
    let made = rules.get("shop-slo").await?;
    ensure!(made.labels().get("release").map(String::as_str) == Some("prometheus"));
    ensure!(!made.data.to_string().contains("plain"));

    // They may be many and large: while nobody touches them, only their metadata is looked at, page by page.
    let asked = |verb: &str| -> Result<Vec<String>> {
        let of_rules = |request: &Request| {
            let about = request.object_ref.as_ref();
            request.verb == verb && about.is_some_and(|object| object.resource == "prometheusrules")
        };
        Ok(world.asked()?.into_iter().filter(of_rules).map(|request| request.uri).collect())
    };
    world.ready("shop").await?;
    let read = asked("get")?;
    world.change("shop", json!({"api": {"replicas": 2}})).await?;
    world.ready("shop").await?;
    ensure!(asked("get")? == read, "{:?}", asked("get")?);
    let lists = asked("list")?;
    ensure!(!lists.is_empty() && lists.iter().all(|uri| uri.contains("limit=")), "{lists:?}");
    let meddling = Patch::Merge(json!({"spec": {"groups": []}}));
    rules.patch("shop-slo", &PatchParams::default(), &meddling).await?;
    until_async("they are put right", SOON, async || {
        Ok(text().await?.filter(|text| text.contains("vector(0.999)")))
    })
    .await?;

    let stricter = Patch::Merge(json!({"spec": {"slo": {"target": "99.95"}}}));
    world.endpoints().patch("front", &PatchParams::default(), &stricter).await?;
    until_async("they follow", SOON, async || {
        Ok(text().await?.filter(|text| text.contains("vector(0.9995)")))
    })
    .await?;
    world.endpoints().delete("front", &DeleteParams::default()).await?;
    until_async("they go with the last objective", SOON, async || Ok(text().await?.is_none().then_some(())))
        .await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn what_a_project_wants_is_told_and_what_a_site_needs_reaches_its_pods() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("settings").await?;
    world.settings.api_url = Some(api.url.clone());
    let operator = world.operator().await?;
    let project = |settings: Value| {
        json!({"access": {"projects": [{"name": "web", "keySecretName": "web-key", "settings": settings}]},
            "spool": {"size": "64Mi", "ephemeral": true}})
    };
    world.instance("shop", project(json!({"privacyLevel": 1, "retentionHits": "30d"}))).await?;
    let told = async |wanted: Value| {
        until_async("the settings are told", SOON, async || {
            Ok(api.with(|known| known.settings.get("web") == Some(&wanted)).then_some(()))
        })
        .await
    };
    told(json!({"privacyLevel": 1, "honorGpc": false, "retentionHits": "30d"})).await?;
    world
        .change("shop", project(json!({"privacyLevel": null, "retentionHits": null, "honorGpc": true})))
        .await?;
    told(json!({"honorGpc": true})).await?;
    let logger = world.children(ChildKind::Deployment).get("shop-logger").await?;
    ensure!(logger.data.to_string().contains("WATCHKEEPER_SPOOL_BYTES"));
    operator.stop(&world).await
}
