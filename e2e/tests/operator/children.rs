//! Children: there, owned, restricted; updated, repaired, pruned.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World, named};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/samples");

#[tokio::test]
async fn both_samples_give_every_child_and_read_well_in_kubectl() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("samples").await?;
    world.settings.api_url = Some(api.url.clone());
    let operator = world.operator().await?;
    let kubectl = |args: &[&str]| -> Result<String> {
        let output = world.plane.kubectl().arg("-n").arg(&world.namespace).args(args).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    kubectl(&["apply", "-f", SAMPLES])?;
    let instance = world.ready("shop").await?;
    let uid = instance.uid().unwrap_or_default();

    let children = world.all_children("shop").await?;
    let found: BTreeSet<String> =
        children.iter().map(|(kind, object)| format!("{} {}", kind.name(), object.name_any())).collect();
    for wanted in [
        "ConfigMap shop-config",
        "Deployment shop-api",
        "Deployment shop-checker",
        "Deployment shop-logger",
        "NetworkPolicy shop-api",
        "NetworkPolicy shop-database",
        "PodDisruptionBudget shop-logger",
        "Secret shop-admin",
        "Secret shop-database",
        "Secret shop-web-key",
        "Service shop-api",
        "Service shop-checker",
        "Service shop-database",
        "Service shop-logger",
        "ServiceAccount shop-api",
        "ServiceAccount shop-database",
        "StatefulSet shop-database",
    ] {
        ensure!(found.contains(wanted), "{wanted} is missing from {found:#?}");
    }
    for (kind, object) in &children {
        let owners = object.owner_references();
        ensure!(
            owners.len() == 1 && owners[0].uid == uid && owners[0].controller == Some(true),
            "{} {}",
            kind.name(),
            object.name_any()
        );
    }
    // The namespace takes restricted pods only, so pods are the proof.
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    ensure!(pods.list(&ListParams::default()).await?.items.len() == 4, "not every pod was let in");

    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let key = secrets.get("shop-web-key").await?.data.and_then(|mut data| data.remove("api-key"));
    let key = String::from_utf8(key.map(|key| key.0).unwrap_or_default())?;
    until_async("the project is registered", SOON, async || {
        Ok(api.with(|known| known.projects.get("web").cloned()).filter(|told| *told == key))
    })
    .await?;

    let endpoint = until_async("the endpoint is told", SOON, async || {
        Ok(api.with(|known| known.endpoints.keys().next().cloned()))
    })
    .await?;
    api.transition(&endpoint, "Up", "2026-01-01T12:00:00.000Z");
    let table = until_async("kubectl shows the state", SOON, async || {
        let table = kubectl(&["get", "wki,wke"])?;
        Ok((table.contains("99.95") && table.contains(" 1 ")).then_some(table))
    })
    .await?;
    for word in [
        "READY",
        "URL",
        "ENDPOINTS",
        "UP",
        "DOWN",
        "VERSION",
        "AGE",
        "STATE",
        "UPTIME",
        "SINCE",
        "INSTANCE",
        "True",
        "1.0.0",
        "https://example.com/",
        "front-page",
    ] {
        ensure!(table.contains(word), "{word} is missing from\n{table}");
    }
    println!("{table}");
    operator.stop(&world).await
}

#[tokio::test]
async fn a_change_reaches_the_child_it_concerns_and_no_other() -> Result<()> {
    let world = World::new("update").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    let before = world.versions("shop").await?;
    world.change("shop", json!({"api": {"replicas": 2}})).await?;
    let instance = world.ready("shop").await?;
    let components = instance.status.unwrap_or_default().components;
    ensure!(components.iter().any(|component| component.name == "api" && component.ready == 2));
    let touched: Vec<_> = world
        .versions("shop")
        .await?
        .into_iter()
        .filter(|child| !before.contains(child))
        .map(|child| (child.0, child.1))
        .collect();
    ensure!(touched == [(ChildKind::Deployment, "shop-api".to_owned())], "{touched:?}");

    world.change("shop", json!({"privacy": {"level": 2}})).await?;
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    until_async("the configuration changes", SOON, async || {
        let data = configs.get("shop-config").await?.data.unwrap_or_default();
        Ok(data.get("WATCHKEEPER_PRIVACY_LEVEL").filter(|level| *level == "2").cloned())
    })
    .await?;
    world.ready("shop").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn drift_is_put_right() -> Result<()> {
    let world = World::new("drift").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;

    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    let meddling = Patch::Merge(json!({"spec": {"selector": {"app.kubernetes.io/component": "other"}}}));
    services.patch("shop-api", &PatchParams::default(), &meddling).await?;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let password = |secret: Secret| secret.data.and_then(|mut data| data.remove("password"));
    let before = password(secrets.get("shop-database").await?);
    let unlabelled = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}));
    secrets.patch("shop-database", &PatchParams::default(), &unlabelled).await?;
    world.children(ChildKind::ConfigMap).delete("shop-config", &DeleteParams::default()).await?;

    until_async("the Service selects the API again", SOON, async || {
        let selector =
            services.get("shop-api").await?.spec.and_then(|spec| spec.selector).unwrap_or_default();
        Ok(selector.get("app.kubernetes.io/component").filter(|component| *component == "api").cloned())
    })
    .await?;
    until_async("the ConfigMap is back", SOON, async || {
        Ok(world.children(ChildKind::ConfigMap).get_opt("shop-config").await?)
    })
    .await?;
    let secret = until_async("the Secret is labelled again", SOON, async || {
        let secret = secrets.get("shop-database").await?;
        Ok(secret.labels().contains_key("app.kubernetes.io/managed-by").then_some(secret))
    })
    .await?;
    ensure!(password(secret) == before, "a password was made anew");
    operator.stop(&world).await
}

#[tokio::test]
async fn what_is_no_longer_wanted_is_pruned_and_the_volume_stays() -> Result<()> {
    let world = World::new("prune").await?;
    let operator = world.operator().await?;
    let host = json!({"host": "stats.example.com", "tls": {"secretName": "shop-tls"}});
    // What the end of the instance means for the volume says nothing of the end of the database.
    let storage = json!({"managed": {"storage": {"reclaim": "Delete"}}});
    world.instance("shop", json!({"ingress": host, "database": storage})).await?;
    let instance = world.ready("shop").await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    until_async("the claim would go with the database", SOON, async || {
        let claim = claims.get("data-shop-database-0").await?;
        Ok((!claim.owner_references().is_empty()).then_some(()))
    })
    .await?;
    ensure!(instance.status.clone().unwrap_or_default().url.as_deref() == Some("https://stats.example.com"));
    ensure!(crate::harness::reason(&instance, "CertificateReady")?.0 == "CertificateMissing");

    let certificate: Secret = serde_json::from_value(
        json!({"metadata": {"name": "shop-tls"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": "-----BEGIN CERTIFICATE-----", "tls.key": "-----BEGIN PRIVATE KEY-----"}}),
    )?;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    secrets.create(&PostParams::default(), &certificate).await?;
    world.condition("shop", "CertificateReady", "True").await?;

    let url = Secret {
        metadata: named("hits-db"),
        string_data: Some([("url".to_owned(), "postgres://u:p@db.example:6432/hits".to_owned())].into()),
        ..Secret::default()
    };
    world
        .change("shop", json!({"ingress": null, "database": {"managed": null, "external": {"urlFrom": {"name": "hits-db", "key": "url"}}}}))
        .await?;
    let missing = world.condition("shop", "Degraded", "True").await?;
    ensure!(crate::harness::reason(&missing, "Degraded")?.0 == "SecretMissing");
    secrets.create(&PostParams::default(), &url).await?;
    let instance = world.ready("shop").await?;
    world.condition("shop", "Degraded", "False").await?;
    ensure!(crate::harness::reason(&instance, "DatabaseReady")?.1.contains("external"));
    until_async("database and Ingress are gone", SOON, async || {
        let left = world.all_children("shop").await?;
        let gone = left.iter().all(|(kind, object)| {
            !matches!(kind, ChildKind::StatefulSet | ChildKind::Ingress)
                && object.name_any() != "shop-database"
        });
        Ok(gone.then_some(()))
    })
    .await?;
    let claim = claims.get("data-shop-database-0").await?;
    let stays = claim.metadata.deletion_timestamp.is_none() && claim.owner_references().is_empty();
    ensure!(stays, "the volume is going: {:?}", claim.metadata);
    operator.stop(&world).await
}

#[tokio::test]
async fn an_object_of_the_same_name_that_is_not_ours_is_never_taken() -> Result<()> {
    let world = World::new("taken").await?;
    let theirs = ConfigMap {
        metadata: named("shop-config"),
        data: Some([("precious".to_owned(), "data".to_owned())].into()),
        ..ConfigMap::default()
    };
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    configs.create(&PostParams::default(), &theirs).await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (reason, message) = crate::harness::reason(&instance, "Degraded")?;
    ensure!(reason == "NameTaken" && message.contains("ConfigMap shop-config"), "{reason} {message}");
    ensure!(configs.get("shop-config").await?.data == theirs.data);
    configs.delete("shop-config", &DeleteParams::default()).await?;
    world.ready("shop").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn what_an_instance_of_the_same_name_has_left_behind_is_waited_for() -> Result<()> {
    let world = World::new("remade").await?;
    // The garbage collector finds no such owner, and the finalizer keeps the object for a while.
    let left: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "shop-config",
        "finalizers": ["test.example/held"], "ownerReferences": [{"apiVersion": "watchkeeper.dev/v1alpha1",
            "kind": "AnalyticsInstance", "name": "shop", "uid": "00000000-0000-0000-0000-000000000001"}]}}))?;
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    configs.create(&PostParams::default(), &left).await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (reason, message) = crate::harness::reason(&instance, "Degraded")?;
    ensure!(reason == "NameLeaving" && message.contains("ConfigMap shop-config"), "{reason} {message}");
    let conditions = instance.status.unwrap_or_default().conditions;
    ensure!(conditions.iter().all(|condition| condition.type_ != "Stalled"), "{conditions:?}");
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    configs.patch("shop-config", &PatchParams::default(), &free).await?;
    world.ready("shop").await?;
    operator.stop(&world).await
}
