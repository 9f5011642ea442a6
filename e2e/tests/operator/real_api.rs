//! The operator and the services together: what the manifests say is really watched.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use watchkeeper_crds::MonitoredEndpoint;
use watchkeeper_crds::monitored_endpoint::EndpointState;
use watchkeeper_testkit::wait::until_async;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

use crate::harness::{SOON, World, named};

const TOKEN: &str = "a-token-that-only-this-test-knows";

async fn until_state(world: &World, name: &str, wanted: EndpointState) -> Result<MonitoredEndpoint> {
    let endpoints = world.endpoints();
    until_async(&format!("{name} is {}", wanted.as_str()), SOON, async || {
        let endpoint = endpoints.get(name).await?;
        let state = endpoint.status.as_ref().and_then(|status| status.state);
        Ok((state == Some(wanted)).then_some(endpoint))
    })
    .await
}

#[tokio::test]
async fn an_endpoint_of_a_manifest_is_watched_and_a_project_of_a_manifest_can_write() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, TOKEN)?;
    let services = tokio::task::spawn_blocking(move || {
        Watchkeeper::local().arg("--admin-token-file").arg(token_file).arg("--signup").arg("Closed").start()
    })
    .await??;
    let base = services.base_url();

    let mut world = World::new("real").await?;
    world.settings.api_url = Some(base.clone());
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let admin = Secret {
        metadata: named("admin"),
        string_data: Some([("token".to_owned(), TOKEN.to_owned())].into()),
        ..Secret::default()
    };
    secrets.create(&PostParams::default(), &admin).await?;
    let operator = world.operator().await?;
    let access = json!({
        "signup": "Closed",
        "adminSecretRef": {"name": "admin", "key": "token"},
        "projects": [{"name": "web", "keySecretName": "web-key"}],
    });
    world.instance("shop", json!({ "access": access })).await?;
    let http = |url: String| json!({"interval": "1s", "timeout": "1s", "http": {"url": url}});
    world.endpoint("itself", http(format!("{base}/api/health"))).await?;

    let up = until_state(&world, "itself", EndpointState::Up).await?;
    let status = up.status.context("a status")?;
    let check = status.last_check.context("a check")?;
    assert_eq!((check.ok, check.status), (true, Some(200)));
    assert_eq!(status.uptime.and_then(|uptime| uptime.day).as_deref(), Some("100.00"));

    let gone = Patch::Merge(json!({"spec": {"http": {"url": "http://127.0.0.1:1/"}}}));
    world.endpoints().patch("itself", &PatchParams::default(), &gone).await?;
    let down = until_state(&world, "itself", EndpointState::Down).await?;
    let check = down.status.and_then(|status| status.last_check).context("a check")?;
    assert_eq!((check.ok, check.message.as_deref()), (false, Some("connection refused")));

    let key = until_async("the project has a key", SOON, async || {
        let secret = secrets.get_opt("web-key").await?;
        let bytes = secret.and_then(|secret| secret.data?.remove("api-key"));
        Ok(bytes.map(|bytes| String::from_utf8(bytes.0)).transpose()?)
    })
    .await?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let hit = json!({"api_key": key.trim(), "framework": "Gin", "requests": [{"path": "/a", "status": 200}]});
    until_async("the key may write", SOON, async || {
        let sent = client.post(format!("{base}/api/log-request")).json(&hit).send().await?;
        Ok((sent.status() == 201).then_some(()))
    })
    .await?;
    let overview: Value =
        client.get(format!("{base}/api/v1/overview")).bearer_auth(TOKEN).send().await?.json().await?;
    assert_eq!((&overview["hits"], &overview["shown"][0]["name"]), (&json!(1), &json!("web")));

    operator.stop(&world).await
}
