//! Every Secret may change at any time: who uses it starts anew with the new one, and nobody else does.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World, named, reason};

const HASH: &str = "/spec/template/metadata/annotations/watchkeeper.dev~1config-hash";

/// What makes the pods of each workload start anew when it changes.
async fn hashes(world: &World) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (kind, object) in world.all_children("shop").await? {
        if matches!(kind, ChildKind::Deployment | ChildKind::StatefulSet) {
            let hash = object.data.pointer(HASH).and_then(Value::as_str).unwrap_or_default().to_owned();
            all.insert(object.metadata.name.unwrap_or_default(), hash);
        }
    }
    Ok(all)
}

/// Waits until the pods of some have a reason to start anew, and makes sure that no others have.
async fn roll(world: &World, before: &BTreeMap<String, String>, who: &[&str]) -> Result<()> {
    let what = format!("{who:?} start anew");
    until_async(&what, SOON, async || {
        let now = hashes(world).await?;
        Ok(who.iter().all(|name| now.get(*name) != before.get(*name)).then_some(()))
    })
    .await?;
    world.ready("shop").await?;
    let now = hashes(world).await?;
    let rolled: Vec<&str> =
        now.iter().filter(|(name, hash)| before.get(*name) != Some(hash)).map(|(name, _)| &**name).collect();
    ensure!(rolled == who, "{rolled:?} start anew instead of {who:?}");
    Ok(())
}

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

async fn write(world: &World, secret: &str, key: &str, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"stringData": {key: value}}));
    secrets(world).patch(secret, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn read(world: &World, secret: &str, key: &str) -> Result<String> {
    let data = secrets(world).get(secret).await?.data.unwrap_or_default();
    Ok(String::from_utf8(data.get(key).map(|value| value.0.clone()).unwrap_or_default())?)
}

#[tokio::test]
async fn a_password_that_somebody_writes_reaches_the_database_and_all_who_use_it() -> Result<()> {
    let world = World::new("rotate").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    let before = hashes(&world).await?;
    // A file that was made with an editor ends in a newline.
    write(&world, "shop-database", "password", "New-Password.1\n").await?;
    roll(&world, &before, &["shop-api", "shop-checker", "shop-database", "shop-logger"]).await?;
    ensure!(read(&world, "shop-database", "password").await? == "New-Password.1");
    let url = read(&world, "shop-database", "url").await?;
    ensure!(url.starts_with("postgres://watchkeeper:New-Password.1@shop-database."), "{url}");

    // What cannot stand in a URL is told, and everything stays as it is.
    let before = hashes(&world).await?;
    write(&world, "shop-database", "password", "it's@home").await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (why, message) = reason(&instance, "Degraded")?;
    ensure!(why == "InvalidSpec" && message.contains("Secret shop-database"), "{why} {message}");
    ensure!(!message.contains("it's"), "it shows the password: {message}");
    ensure!(hashes(&world).await? == before);
    write(&world, "shop-database", "password", "New-Password.1").await?;
    world.condition("shop", "Degraded", "False").await?;
    world.ready("shop").await?;
    ensure!(hashes(&world).await? == before);
    operator.stop(&world).await
}

#[tokio::test]
async fn another_token_concerns_the_api_alone_and_another_key_no_pod_at_all() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("token").await?;
    world.settings.api_url = Some(api.url.clone());
    let operator = world.operator().await?;
    let project = json!({"name": "web", "keySecretName": "web-key"});
    world.instance("shop", json!({"access": {"projects": [project]}})).await?;
    world.ready("shop").await?;
    let before = hashes(&world).await?;
    let token = "t".repeat(40);
    write(&world, "shop-admin", "token", &format!("{token}\n")).await?;
    roll(&world, &before, &["shop-api"]).await?;
    ensure!(read(&world, "shop-admin", "token").await? == token);

    let before = hashes(&world).await?;
    let key = "8f14e45f-ceea-467f-a8f4-d4b0ff0f7f4e";
    write(&world, "web-key", "api-key", key).await?;
    until_async("the API knows the new key, told with the new token", SOON, async || {
        let told = api
            .with(|known| known.projects.get("web").map(String::as_str) == Some(key) && known.token == token);
        Ok(told.then_some(()))
    })
    .await?;
    ensure!(hashes(&world).await? == before, "pods start anew for a key that none of them reads");
    operator.stop(&world).await
}

#[tokio::test]
async fn secrets_of_the_users_own_are_followed_as_well() -> Result<()> {
    let world = World::new("own-secrets").await?;
    let operator = world.operator().await?;
    for (name, key, value) in [
        ("hits-db", "url", "postgres://u:old@db.example/hits"),
        ("hits-ca", "ca.crt", "PEM"),
        ("boss", "token", "token-of-the-boss"),
    ] {
        let data = Some([(key.to_owned(), value.to_owned())].into());
        let secret = Secret { metadata: named(name), string_data: data, ..Secret::default() };
        secrets(&world).create(&PostParams::default(), &secret).await?;
    }
    let external =
        json!({"urlFrom": {"name": "hits-db", "key": "url"}, "ca": {"name": "hits-ca", "key": "ca.crt"}});
    let access = json!({"adminSecretRef": {"name": "boss", "key": "token"}});
    world.instance("shop", json!({"database": {"external": external}, "access": access})).await?;
    world.ready("shop").await?;
    let all = ["shop-api", "shop-checker", "shop-logger"];
    for (secret, key, value, who) in [
        ("hits-db", "url", "postgres://u:new@db.example/hits", &all[..]),
        ("hits-ca", "ca.crt", "ANOTHER", &all[..]),
        ("boss", "token", "another-token", &["shop-api"]),
    ] {
        let before = hashes(&world).await?;
        write(&world, secret, key, value).await?;
        roll(&world, &before, who).await?;
    }
    operator.stop(&world).await
}

#[tokio::test]
async fn another_database_is_told_of_the_projects_again() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("moved").await?;
    world.settings.api_url = Some(api.url.clone());
    let operator = world.operator().await?;
    let url = Secret {
        metadata: named("hits-db"),
        string_data: Some([("url".to_owned(), "postgres://db.example/one".to_owned())].into()),
        ..Secret::default()
    };
    secrets(&world).create(&PostParams::default(), &url).await?;
    let external = json!({"urlFrom": {"name": "hits-db", "key": "url"}});
    let project = json!({"name": "web", "keySecretName": "web-key"});
    world
        .instance("shop", json!({"database": {"external": external}, "access": {"projects": [project]}}))
        .await?;
    world.ready("shop").await?;
    let told = async || {
        until_async("the API knows the project", SOON, async || {
            Ok(api.with(|known| known.projects.contains_key("web")).then_some(()))
        })
        .await
    };
    told().await?;
    // As an empty database makes it.
    api.with(|known| known.projects.clear());
    write(&world, "hits-db", "url", "postgres://db.example/two").await?;
    told().await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn an_image_reaches_every_service_and_leaves_the_database_alone() -> Result<()> {
    let world = World::new("upgrade").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({"logger": {"replicas": 2}, "api": {"replicas": 2}})).await?;
    world.ready("shop").await?;
    let before = world.versions("shop").await?;
    world.change("shop", json!({"image": {"tag": "2.0.0"}})).await?;
    let instance = world.ready("shop").await?;
    ensure!(instance.status.unwrap_or_default().version.as_deref() == Some("2.0.0"));
    let touched: Vec<String> = world
        .versions("shop")
        .await?
        .into_iter()
        .filter(|child| !before.contains(child))
        .map(|(kind, name, _)| format!("{} {name}", kind.name()))
        .collect();
    let services = ["api", "checker", "logger"].map(|name| format!("Deployment shop-{name}"));
    let mut deployments = touched.clone();
    deployments.retain(|child| child.starts_with("Deployment"));
    deployments.sort();
    ensure!(deployments == services, "{touched:?}");
    ensure!(touched.len() == deployments.len(), "more than the services was touched: {touched:?}");
    operator.stop(&world).await
}
