//! A number of pods that the real autoscaler decides on. Where nobody measures CPU, what moves it are
//! the bounds alone.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use watchkeeper_e2e::load::Load;
use watchkeeper_testkit::paths;
use watchkeeper_testkit::ports::free_port;
use watchkeeper_testkit::process::{Daemon, Spec};

use crate::harness::{OPERATOR_NAMESPACE, World, apply, install};

const ROWS: usize = 10;

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until there are so many pods of the logger and all of them are ready.
async fn ready_pods(world: &World, number: usize) -> Result<BTreeSet<String>> {
    world
        .until(&format!("the logger has {number} ready pods"), async || {
            let pods = world.pods("shop", "logger").await?;
            let all = pods.len() == number && pods.iter().all(is_ready);
            Ok(all.then(|| pods.iter().map(ResourceExt::name_any).collect()))
        })
        .await
}

/// Kubernetes' own measuring of CPU, as a process beside the cluster that the API server passes
/// questions to.
fn metrics_server(world: &World) -> Result<Daemon> {
    let (host, port) = (world.cluster.host(), free_port()?);
    let name = "metrics-server";
    let directory = world.cluster.directory().join(name);
    let mut spec =
        Spec::new(name, paths::built(name)?.join(name), world.cluster.directory().join("metrics.log"));
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        spec = spec.arg(format!("--{flag}")).arg(world.cluster.kubeconfig());
    }
    let daemon = spec
        .args([format!("--bind-address={host}"), format!("--secure-port={port}")])
        .arg("--cert-dir")
        .arg(directory)
        // The kubelet has signed its certificate itself.
        .args(["--kubelet-insecure-tls", "--kubelet-preferred-address-types=InternalIP"])
        .args(["--metric-resolution=10s", "--kubelet-request-timeout=5s"])
        .spawn()?;
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
         "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
         "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
         "addressType": "IPv4", "ports": [{"name": "https", "port": port}],
         "endpoints": [{"addresses": [host]}]},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
         "metadata": {"name": "v1beta1.metrics.k8s.io"},
         "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
                  "groupPriorityMinimum": 100, "versionPriority": 100,
                  "service": {"name": name, "namespace": "kube-system"}}},
    ]});
    apply(&world.cluster, "kube-system", &objects)?;
    let service = "apiservice/v1beta1.metrics.k8s.io";
    let waited = world.kubectl(&["wait", service, "--for=condition=Available", "--timeout=60s"]);
    waited.with_context(|| daemon.log_tail())?;
    Ok(daemon)
}

#[tokio::test]
async fn a_logger_under_load_gets_another_pod_and_loses_it_when_there_is_less_to_do() {
    // Of its own, since a part of the API that is away disturbs whoever asks for all parts.
    let world = World::alone("cpu").await.unwrap();
    let _metrics = metrics_server(&world).unwrap();
    install(&world.cluster, OPERATOR_NAMESPACE, &[]).unwrap();
    let logger = json!({"resources": {"requests": {"cpu": "20m"}},
        "autoscaling": {"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilizationPercentage": 100}});
    let shop = world.instance("shop", json!({"logger": logger})).await.unwrap();
    let one = ready_pods(&world, 1).await.unwrap();

    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, 4, ROWS).await.unwrap();
    let two = ready_pods(&world, 2).await.unwrap();
    assert!(two.is_superset(&one), "{two:?} instead of {one:?} and one more");
    shop.ready().await.unwrap();
    let accounts = load.finish().await.unwrap();

    ready_pods(&world, 1).await.unwrap();
    shop.ready().await.unwrap();
    for account in &accounts {
        account.settle(&upstream, ROWS).await.unwrap();
    }
}

#[tokio::test]
async fn an_autoscaled_logger_has_as_many_pods_as_its_bounds_ask_for() {
    let world = World::new("autoscale").await.unwrap();
    let between = |least: u32, most: u32| json!({"minReplicas": least, "maxReplicas": most});
    let shop = world.instance("shop", json!({"logger": {"autoscaling": between(2, 3)}})).await.unwrap();
    let two = ready_pods(&world, 2).await.unwrap();

    shop.change(json!({"logger": {"autoscaling": between(3, 3)}})).await.unwrap();
    let three = ready_pods(&world, 3).await.unwrap();
    assert!(three.is_superset(&two), "{three:?} instead of {two:?} and one more");
    shop.ready().await.unwrap();

    shop.change(json!({"logger": {"autoscaling": between(1, 1)}})).await.unwrap();
    let one = ready_pods(&world, 1).await.unwrap();
    assert!(one.is_subset(&three), "{one:?} is none of {three:?}");
    shop.ready().await.unwrap();

    // And back to a number that is always the same.
    shop.change(json!({"logger": {"autoscaling": null, "replicas": 2}})).await.unwrap();
    let fixed = ready_pods(&world, 2).await.unwrap();
    assert!(fixed.is_superset(&one), "{fixed:?} instead of {one:?} and one more");
}
