//! What the operator tells Prometheus.

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use watchkeeper_e2e::promtool;
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World};

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics_of_a_busy_operator() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("metrics").await?;
    world.settings.api_url = Some(api.url.clone());
    let operator = world.operator().await?;
    world
        .instance("shop", json!({"access": {"projects": [{"name": "web", "keySecretName": "key"}]}}))
        .await?;
    world.endpoint("front", json!({})).await?;
    world.ready("shop").await?;
    let drift = Patch::Merge(json!({"spec": {"replicas": 7}}));
    let deployments = world.children(ChildKind::Deployment);
    deployments.patch("shop-logger", &PatchParams::default(), &drift).await?;

    let text = until_async("everything has been counted", SOON, async || {
        let text = operator.metrics.render()?;
        let counted = ["reconcile_total", "applies_total", "drift_corrections_total", "status_writes_total"]
            .iter()
            .all(|name| text.contains(&format!("watchkeeper_operator_{name}{{")));
        Ok((counted && text.contains("put_endpoint")).then_some(text))
    })
    .await?;
    assert_eq!(promtool::check_metrics(&text)?, (true, String::new()));
    operator.stop(&world).await
}
