//! The ServiceMonitor, against the definition that the Prometheus operator publishes.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::harness::{SOON, World};

/// A selector of a ServiceMonitor as the API server reads one.
fn selector(of: &Value) -> String {
    let labels = of["matchLabels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let among = of["matchExpressions"].as_array().into_iter().flatten().map(|rule| {
        let values: Vec<_> =
            rule["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        format!("{} in ({})", rule["key"].as_str().unwrap_or_default(), values.join(","))
    });
    labels.chain(among).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn a_service_monitor_selects_every_service_with_metrics_and_no_other() -> Result<()> {
    let world = World::new("monitor").await?;
    let operator = world.operator().await?;
    let monitor = |more: Value| json!({"observability": {"serviceMonitor": more}});
    let asked = json!({"enabled": true, "labels": {"release": "prometheus"}});
    world.instance("shop", monitor(asked)).await?;
    // Its Services are not to be found.
    world.instance("other", json!({})).await?;
    world.ready("shop").await?;
    world.ready("other").await?;
    let monitors = world.children(ChildKind::ServiceMonitor);
    let found = monitors.get("shop").await?;
    ensure!(found.labels().get("release").map(String::as_str) == Some("prometheus"));
    ensure!(found.data["spec"]["endpoints"][0]["interval"] == "30s");
    ensure!(monitors.get_opt("other").await?.is_none());

    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    let selected = ListParams::default().labels(&selector(&found.data["spec"]["selector"]));
    let mut names: Vec<String> = services.list(&selected).await?.iter().map(ResourceExt::name_any).collect();
    names.sort();
    ensure!(names == ["shop-api", "shop-checker", "shop-logger"], "{names:?}");

    world.change("shop", monitor(json!({"interval": "1m"}))).await?;
    until_async("the interval changes", SOON, async || {
        let now = monitors.get("shop").await?;
        Ok((now.data["spec"]["endpoints"][0]["interval"] == "1m").then_some(()))
    })
    .await?;
    world.change("shop", monitor(json!({"enabled": false}))).await?;
    until_async("the monitor is gone", SOON, async || {
        Ok(monitors.get_opt("shop").await?.is_none().then_some(()))
    })
    .await?;
    operator.stop(&world).await
}
