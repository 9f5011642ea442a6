//! Copies of the database, and a database made from one: the objects, not what runs in their pods.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::api::FakeApi;
use crate::harness::{SOON, World, reason};
use crate::storage::elastic;

/// Never due while a test runs: the tests start what they want to see.
const NEW_YEAR: &str = "0 3 1 1 *";

fn claims(world: &World) -> Api<PersistentVolumeClaim> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

fn asked(claim: &PersistentVolumeClaim) -> Option<String> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.clone())
}

/// Starts the CronJob's work by hand, as `kubectl create job --from` does, and lets its pod end.
async fn run(world: &World, name: &str, phase: &str) -> Result<()> {
    let crons: Api<CronJob> = Api::namespaced(world.client.clone(), &world.namespace);
    let cron = crons.get("shop-backup").await?;
    let template = cron.spec.as_ref().context("no spec")?.job_template.clone();
    let mut spec = template.spec.context("no spec of the Job")?;
    // The pauses between attempts would only take time.
    spec.backoff_limit = Some(0);
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": template.metadata.unwrap_or_default().labels,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "shop-backup",
                "uid": cron.uid(), "controller": true}]},
        "spec": spec}))?;
    Api::namespaced(world.client.clone(), &world.namespace).create(&PostParams::default(), &job).await?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = until_async("the Job's pod was let in and runs", SOON, async || {
        let own = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
        let running =
            |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        Ok(pods.list(&own).await?.items.into_iter().find(running))
    })
    .await?;
    let end = Patch::Merge(json!({"status": {"phase": phase}}));
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &end).await?;
    Ok(())
}

#[tokio::test]
async fn the_status_follows_the_copies_and_their_claim_outlives_everything() -> Result<()> {
    let world = World::new("copies").await?;
    let operator = world.operator().await?;
    let backup = json!({"schedule": NEW_YEAR, "timeZone": "Etc/UTC", "storage": {"size": "2Gi"}});
    world.instance("shop", json!({"database": {"managed": {"backup": backup}}})).await?;
    let instance = world.ready("shop").await?;
    ensure!(reason(&instance, "BackupReady")?.0 == "NoneYet");
    let claim = claims(&world).get("shop-backup").await?;
    ensure!(asked(&claim).as_deref() == Some("2Gi"), "{claim:?}");
    ensure!(claim.owner_references().is_empty(), "somebody owns it: {:?}", claim.owner_references());

    run(&world, "first", "Succeeded").await?;
    let instance = world.condition("shop", "BackupReady", "True").await?;
    let status = instance.status.unwrap_or_default().backup.context("no status.backup")?;
    ensure!(status.claim_name == "shop-backup" && status.last_successful_time.is_some(), "{status:?}");

    run(&world, "second", "Failed").await?;
    let instance = world.condition("shop", "BackupReady", "False").await?;
    let (why, message) = reason(&instance, "BackupReady")?;
    ensure!(why == "BackupFailed" && message.contains("job/second"), "{why} {message}");
    ensure!(reason(&world.condition("shop", "Degraded", "True").await?, "Degraded")?.0 == "BackupFailed");
    world.condition("shop", "Ready", "True").await?;
    let kept = instance.status.unwrap_or_default().backup.context("no status.backup")?;
    ensure!(kept == status, "the good copy is forgotten: {kept:?}");

    run(&world, "third", "Succeeded").await?;
    world.condition("shop", "BackupReady", "True").await?;
    world.condition("shop", "Degraded", "False").await?;

    world.change("shop", json!({"database": {"managed": {"backup": null}}})).await?;
    until_async("the CronJob is gone", SOON, async || {
        Ok(world.children(ChildKind::CronJob).get_opt("shop-backup").await?.is_none().then_some(()))
    })
    .await?;
    until_async("the status says no more about copies", SOON, async || {
        let status = world.instances().get("shop").await?.status.unwrap_or_default();
        let silent = status.backup.is_none()
            && status.conditions.iter().all(|condition| condition.type_ != "BackupReady");
        Ok(silent.then_some(()))
    })
    .await?;
    world.instances().delete("shop", &DeleteParams::default()).await?;
    until_async("the children are gone", SOON, async || {
        Ok(world.all_children("shop").await?.is_empty().then_some(()))
    })
    .await?;
    let left = claims(&world).get("shop-backup").await?;
    ensure!(left.uid() == claim.uid() && left.metadata.deletion_timestamp.is_none(), "the copies are going");
    operator.stop(&world).await
}

#[tokio::test]
async fn the_volume_of_the_copies_grows() -> Result<()> {
    let world = World::new("copies-grow").await?;
    let class = elastic(&world).await?;
    let operator = world.operator().await?;
    let backup = |size: &str| {
        let backup = json!({"schedule": NEW_YEAR, "storage": {"size": size, "className": class}});
        json!({"database": {"managed": { "backup": backup }}})
    };
    world.instance("shop", backup("1Gi")).await?;
    world.ready("shop").await?;
    until_async("the claim is bound", SOON, async || {
        let claim = claims(&world).get("shop-backup").await?;
        Ok(claim.status.and_then(|status| status.phase).filter(|phase| phase == "Bound"))
    })
    .await?;
    world.change("shop", backup("3Gi")).await?;
    until_async("the claim asks for more", SOON, async || {
        Ok(asked(&claims(&world).get("shop-backup").await?).filter(|size| size == "3Gi"))
    })
    .await?;
    world.condition("shop", "Degraded", "False").await?;
    operator.stop(&world).await
}

#[tokio::test]
async fn a_claim_of_the_same_name_that_is_not_ours_is_never_written_to() -> Result<()> {
    let world = World::new("copies-taken").await?;
    let theirs: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": "shop-backup"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))?;
    claims(&world).create(&PostParams::default(), &theirs).await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({"database": {"managed": {"backup": {"schedule": NEW_YEAR}}}})).await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (why, message) = reason(&instance, "Degraded")?;
    ensure!(why == "NameTaken" && message.contains("PersistentVolumeClaim shop-backup"), "{why} {message}");
    let cron = world.children(ChildKind::CronJob).get_opt("shop-backup").await?;
    ensure!(cron.is_none(), "it would write to somebody's volume");
    claims(&world).delete("shop-backup", &DeleteParams::default()).await?;
    world.ready("shop").await?;
    let claim = claims(&world).get("shop-backup").await?;
    ensure!(claim.labels().get("app.kubernetes.io/component").map(String::as_str) == Some("backup"));
    operator.stop(&world).await
}

#[tokio::test]
async fn a_database_is_restored_once_and_then_needs_its_copy_no_more() -> Result<()> {
    let world = World::new("restore").await?;
    let operator = world.operator().await?;
    let spec = json!({"database": {"managed": {"restore": {"claimName": "old-backup"}}}});
    world.instance("shop", spec.clone()).await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (why, message) = reason(&instance, "Degraded")?;
    ensure!(why == "ClaimMissing" && message.contains("no volume claim old-backup"), "{why} {message}");
    ensure!(reason(&instance, "Stalled").is_err(), "a claim may still come");
    let sets = world.children(ChildKind::StatefulSet);
    ensure!(sets.get_opt("shop-database").await?.is_none(), "an empty database was started");

    let copies: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": "old-backup"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))?;
    claims(&world).create(&PostParams::default(), &copies).await?;
    // The first pod restores …
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let first = until_async("a pod restores", SOON, async || {
        let pod = pods.get_opt("shop-database-0").await?;
        Ok(pod.filter(|pod| containers(pod).contains(&"restore".to_owned())))
    })
    .await?;
    // … and the second needs the copy no more.
    until_async("the database goes on without its copy", SOON, async || {
        let second = pods.get_opt("shop-database-0").await?.filter(|pod| pod.uid() != first.uid());
        Ok(second.filter(|pod| containers(pod) == ["adopt"]))
    })
    .await?;
    world.ready("shop").await?;
    let data = claims(&world).get("data-shop-database-0").await?;
    let from = data.annotations().get("watchkeeper.dev/restored-from");
    ensure!(from.map(String::as_str) == Some("old-backup"), "{from:?}");

    // The same manifest again, when the copy has gone, finds the data that there is.
    claims(&world).delete("old-backup", &DeleteParams::default()).await?;
    world.instances().delete("shop", &DeleteParams::default()).await?;
    until_async("the children are gone", SOON, async || {
        let gone = world.all_children("shop").await?.is_empty()
            && pods.list(&ListParams::default()).await?.items.is_empty();
        Ok(gone.then_some(()))
    })
    .await?;
    world.instance("shop", spec).await?;
    world.ready("shop").await?;
    ensure!(containers(&pods.get("shop-database-0").await?) == ["adopt"]);
    operator.stop(&world).await
}

#[tokio::test]
async fn a_restore_never_passes_over_data_that_was_kept() -> Result<()> {
    let world = World::new("restore-kept").await?;
    for name in ["data-shop-database-0", "old-backup"] {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))?;
        claims(&world).create(&PostParams::default(), &claim).await?;
    }
    let operator = world.operator().await?;
    world
        .instance("shop", json!({"database": {"managed": {"restore": {"claimName": "old-backup"}}}}))
        .await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (why, message) = reason(&instance, "Degraded")?;
    ensure!(why == "InvalidSpec" && message.contains("data-shop-database-0"), "{why} {message}");
    ensure!(world.children(ChildKind::StatefulSet).get_opt("shop-database").await?.is_none());
    let shown = operator.metrics.render()?;
    let series = r#"instance_condition{condition="Degraded",name="shop""#;
    ensure!(shown.lines().any(|line| line.contains(series) && line.ends_with(" 1")), "{shown}");
    world.instances().delete("shop", &DeleteParams::default()).await?;
    until_async("the metrics know it no more", SOON, async || {
        Ok((!operator.metrics.render()?.contains(series)).then_some(()))
    })
    .await?;
    operator.stop(&world).await
}

fn containers(pod: &Pod) -> Vec<String> {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    init.map(|container| container.name.clone()).collect()
}

#[tokio::test]
async fn a_schedule_that_the_api_server_refuses_is_told_and_holds_nothing_up() -> Result<()> {
    let api = FakeApi::start().await?;
    let mut world = World::new("copies-refused").await?;
    world.settings.api_url = Some(api.url.clone());
    let operator = world.operator().await?;
    // Five fields, as the schema wants them; there is no such minute.
    let bad = json!({"database": {"managed": {"backup": {"schedule": "61 3 * * *"}}},
        "ingress": {"host": "stats.example.com"},
        "access": {"projects": [{"name": "web", "keySecretName": "web-key"}]}});
    world.instance("shop", bad).await?;
    let instance = world.condition("shop", "Degraded", "True").await?;
    let (why, message) = reason(&instance, "Degraded")?;
    ensure!(why == "ApplyFailed" && message.contains("CronJob shop-backup"), "{why} {message}");
    until_async("everything else runs", SOON, async || {
        let status = world.instances().get("shop").await?.status.unwrap_or_default();
        let ready = status.components.len() == 4 && status.components.iter().all(|part| part.ready == 1);
        Ok(ready.then_some(()))
    })
    .await?;
    ensure!(reason(&world.condition("shop", "Stalled", "True").await?, "Stalled")?.0 == "ApplyFailed");
    until_async("the project is told", SOON, async || {
        Ok(api.with(|known| known.projects.contains_key("web")).then_some(()))
    })
    .await?;
    world.change("shop", json!({"ingress": null})).await?;
    until_async("what is left over is gone", SOON, async || {
        Ok(world.children(ChildKind::Ingress).get_opt("shop").await?.is_none().then_some(()))
    })
    .await?;
    let good: Value = json!({"database": {"managed": {"backup": {"schedule": NEW_YEAR}}}});
    world.change("shop", good).await?;
    world.ready("shop").await?;
    operator.stop(&world).await
}
