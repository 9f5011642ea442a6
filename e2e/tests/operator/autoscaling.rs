//! Numbers of pods that an autoscaler decides on: the real one of the controller manager, which
//! keeps to its bounds even where nobody measures CPU.

use anyhow::{Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use watchkeeper_operator::analytics_instance::apply::FIELD_MANAGER;
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_testkit::wait::until_async;

use crate::harness::{SOON, World};

/// Every number of pods that a Deployment has had.
struct History {
    numbers: watch::Receiver<Vec<i32>>,
    _task: AbortOnDropHandle<()>,
}

impl History {
    fn of(world: &World, name: &str) -> Self {
        let (written, numbers) = watch::channel(Vec::new());
        let api: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            let mut changes = watcher(api, config).default_backoff().applied_objects().boxed();
            while let Some(change) = changes.next().await {
                let number = change.ok().and_then(|object| object.spec?.replicas);
                written.send_modify(|numbers: &mut Vec<i32>| {
                    numbers.extend(number.filter(|number| numbers.last() != Some(number)));
                });
            }
        });
        Self { numbers, _task: AbortOnDropHandle::new(task) }
    }

    fn numbers(&self) -> Vec<i32> {
        self.numbers.borrow().clone()
    }

    /// Waits until the watch has seen so many pods as the last.
    async fn ends_with(&self, number: i32) -> Result<()> {
        until_async(&format!("the watch has seen {number} pods"), SOON, async || {
            Ok((self.numbers().last() == Some(&number)).then_some(()))
        })
        .await
    }
}

async fn replicas(world: &World, name: &str) -> Result<Value> {
    Ok(world.children(ChildKind::Deployment).get(name).await?.data["spec"]["replicas"].clone())
}

/// Who owns the number of pods.
fn owners(deployment: &DynamicObject) -> Vec<String> {
    let owns = |fields: &Value| fields.pointer("/f:spec/f:replicas").is_some();
    deployment
        .managed_fields()
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0)))
        .filter_map(|entry| entry.manager.clone())
        .collect()
}

/// Changes the pods, so that the Deployment must be applied, and waits until it has been.
async fn roll(world: &World, mark: &str) -> Result<DynamicObject> {
    let template = json!({"metadata": {"annotations": {"mark": mark}}});
    world.change("shop", json!({"logger": {"podTemplate": template}})).await?;
    let deployment = until_async("the pods are changed", SOON, async || {
        let deployment = world.children(ChildKind::Deployment).get("shop-logger").await?;
        let found = deployment.data.pointer("/spec/template/metadata/annotations/mark") == Some(&json!(mark));
        Ok(found.then_some(deployment))
    })
    .await?;
    world.ready("shop").await?;
    Ok(deployment)
}

#[tokio::test]
async fn a_number_of_pods_is_handed_to_the_autoscaler_and_back_and_never_goes_through_one() -> Result<()> {
    let world = World::new("handover").await?;
    let operator = world.operator().await?;
    world.instance("shop", json!({"logger": {"replicas": 3}})).await?;
    world.ready("shop").await?;
    let history = History::of(&world, "shop-logger");
    history.ends_with(3).await?;

    let bounds = json!({"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 60});
    world.change("shop", json!({"logger": {"replicas": null, "autoscaling": bounds}})).await?;
    let autoscaler = until_async("there is an autoscaler", SOON, async || {
        Ok(world.children(ChildKind::HorizontalPodAutoscaler).get_opt("shop-logger").await?)
    })
    .await?;
    ensure!(autoscaler.data["spec"]["scaleTargetRef"]["name"] == "shop-logger");
    ensure!(autoscaler.data["spec"]["maxReplicas"] == 5);
    let deployment = world.children(ChildKind::Deployment).get("shop-logger").await?;
    let owned = owners(&deployment);
    ensure!(!owned.is_empty() && !owned.iter().any(|owner| owner == FIELD_MANAGER), "owned by {owned:?}");
    ensure!(deployment.data["spec"]["replicas"] == 3, "{}", deployment.data["spec"]["replicas"]);

    // What the autoscaler does under load.
    let api: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let scale = Patch::Merge(json!({"spec": {"replicas": 5}}));
    api.patch_scale("shop-logger", &PatchParams::default(), &scale).await?;
    let deployment = roll(&world, "one").await?;
    ensure!(deployment.data["spec"]["replicas"] == 5, "a change of pods undid the scaling");
    let instance = until_async("the status counts them", SOON, async || {
        let instance = world.instances().get("shop").await?;
        let components = instance.status.clone().unwrap_or_default().components;
        let counted = components.iter().any(|part| part.name == "logger" && part.ready == 5);
        Ok(counted.then_some(instance))
    })
    .await?;
    ensure!(crate::harness::reason(&instance, "Ready")?.0 == "AllPartsAnswer");

    world.change("shop", json!({"logger": {"replicas": 2, "autoscaling": null}})).await?;
    until_async("the number is the spec's again", SOON, async || {
        let gone = world.children(ChildKind::HorizontalPodAutoscaler).get_opt("shop-logger").await?.is_none();
        Ok((gone && replicas(&world, "shop-logger").await? == json!(2)).then_some(()))
    })
    .await?;
    world.ready("shop").await?;
    history.ends_with(2).await?;
    ensure!(history.numbers() == [3, 5, 2], "{:?}", history.numbers());
    operator.stop(&world).await
}

#[tokio::test]
async fn a_new_installation_begins_with_the_least_and_the_autoscaler_takes_over() -> Result<()> {
    let world = World::new("least").await?;
    let operator = world.operator().await?;
    let history = History::of(&world, "shop-logger");
    let bounds = |least: i32| json!({"logger": {"autoscaling": {"minReplicas": least, "maxReplicas": 6}}});
    world.instance("shop", bounds(3)).await?;
    world.ready("shop").await?;
    // The first change of the pods takes the number along, though it was ours until now.
    let deployment = roll(&world, "one").await?;
    ensure!(deployment.data["spec"]["replicas"] == 3);
    ensure!(!owners(&deployment).iter().any(|owner| owner == FIELD_MANAGER), "{:?}", owners(&deployment));

    world.change("shop", bounds(4)).await?;
    until_async("the autoscaler adds a pod", SOON, async || {
        Ok((replicas(&world, "shop-logger").await? == json!(4)).then_some(()))
    })
    .await?;
    let deployment = roll(&world, "two").await?;
    ensure!(deployment.data["spec"]["replicas"] == 4, "a change of pods undid the scaling");

    // Somebody else's bounds do not stay.
    let autoscalers = world.children(ChildKind::HorizontalPodAutoscaler);
    let drift = Patch::Merge(json!({"spec": {"maxReplicas": 50}}));
    autoscalers.patch("shop-logger", &PatchParams::default(), &drift).await?;
    until_async("the bounds are put right", SOON, async || {
        let now = autoscalers.get("shop-logger").await?;
        Ok((now.data["spec"]["maxReplicas"] == 6).then_some(()))
    })
    .await?;
    history.ends_with(4).await?;
    ensure!(history.numbers() == [3, 4], "{:?}", history.numbers());
    operator.stop(&world).await
}

#[tokio::test]
async fn the_api_server_refuses_two_masters_and_an_autoscaled_checker() -> Result<()> {
    let world = World::new("masters").await?;
    for (spec, wanted) in [
        (json!({"api": {"replicas": 1, "autoscaling": {"maxReplicas": 3}}}), "set replicas or autoscaling"),
        (json!({"checker": {"autoscaling": {"maxReplicas": 3}}}), "its load is the number of endpoints"),
        (json!({"api": {"autoscaling": {"minReplicas": 4, "maxReplicas": 3}}}), "must not be more than"),
        (
            json!({"api": {"autoscaling": {"maxReplicas": 3}, "resources": {"requests": {"memory": "1Gi"}}}}),
            "needs a request for cpu",
        ),
    ] {
        let refused = world.instance("shop", spec).await.err().map(|error| error.to_string());
        ensure!(refused.as_ref().is_some_and(|text| text.contains(wanted)), "{wanted}: {refused:?}");
    }
    Ok(())
}
