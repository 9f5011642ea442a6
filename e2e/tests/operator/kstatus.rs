//! What tools that wait by kstatus make of an installation: Helm, whose `--wait` is kstatus itself,
//! and `kubectl wait`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::helm::{helm, succeed};

use crate::harness::{World, reason};

/// Runs a blocking command beside the operator, which lives on this thread.
async fn run(mut command: Command) -> Result<String> {
    tokio::task::spawn_blocking(move || succeed(&mut command)).await?
}

/// A chart that holds one installation and nothing else.
fn chart(folder: &Path, spec: &Value) -> Result<()> {
    let object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance",
        "metadata": {"name": "shop"}, "spec": spec});
    fs::create_dir_all(folder.join("templates"))?;
    fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 1.0.0\n")?;
    fs::write(folder.join("templates/shop.yaml"), serde_yaml::to_string(&object)?)?;
    Ok(())
}

#[tokio::test]
async fn helm_waits_for_an_installation_and_for_its_rollouts() -> Result<()> {
    let world = World::new("kstatus").await?;
    let operator = world.operator().await?;
    let folder = tempfile::tempdir()?;
    let upgrade = |timeout: &str| -> Result<Command> {
        let mut command = helm()?;
        world.plane.aim(&mut command);
        command.args(["upgrade", "--install", "shop"]).arg(folder.path());
        command.args(["-n", &world.namespace, "--wait=watcher", "--timeout", timeout]);
        Ok(command)
    };
    chart(folder.path(), &json!({"api": {"replicas": 3}}))?;
    run(upgrade("60s")?).await?;
    let instance = world.instances().get("shop").await?;
    ensure!(reason(&instance, "Ready")?.0 == "AllPartsAnswer");
    let mut wait = world.plane.kubectl();
    wait.args(["-n", &world.namespace, "wait", "wki/shop", "--for=condition=Ready", "--timeout=10s"]);
    run(wait).await?;

    chart(folder.path(), &json!({"api": {"replicas": 3}, "privacy": {"level": 1}}))?;
    run(upgrade("60s")?).await?;
    let deployment = world.children(ChildKind::Deployment).get("shop-api").await?;
    let status = &deployment.data["status"];
    ensure!(status["observedGeneration"].as_i64() == deployment.metadata.generation, "{status}");
    for number in ["replicas", "updatedReplicas", "availableReplicas"] {
        ensure!(status[number] == 3, "Helm went on while the pods were rolling: {status}");
    }

    // What answers is what an older spec has made: this one cannot be.
    chart(folder.path(), &json!({"access": {"projects": [{"name": "web", "keySecretName": "shop-admin"}]}}))?;
    let refused = run(upgrade("5s")?).await;
    ensure!(refused.is_err(), "Helm takes it for done");
    let instance = world.condition("shop", "Stalled", "True").await?;
    ensure!(reason(&instance, "Stalled")?.0 == "InvalidSpec");
    operator.stop(&world).await
}
