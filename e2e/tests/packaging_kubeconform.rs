//! What charts and kustomizations render to, checked field by field without a cluster to apply it to.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use watchkeeper_e2e::kinds;
use watchkeeper_e2e::kubeconform::Schemas;
use watchkeeper_testkit::cluster::{ControlPlane, crd_files};
use watchkeeper_testkit::helm::{crds_chart, succeed, template, template_of};
use watchkeeper_testkit::paths;

fn schemas() -> Schemas {
    let cluster = ControlPlane::shared().unwrap();
    let crds = [crd_files().unwrap(), kinds::files("prometheus-operator").unwrap()].concat();
    Schemas::new(cluster, crds).unwrap()
}

const MONITORED: [&str; 3] = [
    "--set=metrics.serviceMonitor.enabled=true",
    "--set=metrics.prometheusRule.enabled=true",
    "--set=metrics.dashboards.enabled=true",
];
const INSTANCE: [&str; 2] =
    ["--set=instance.create=true", "--api-versions=watchkeeper.dev/v1alpha1/AnalyticsInstance"];

#[tokio::test]
async fn kubeconform_finds_nothing_to_say_about_the_charts() {
    let schemas = schemas();
    let pod = [
        "--set=replicaCount=3",
        "--set=postgresImage=postgres:17",
        "--set=imagePullSecrets[0].name=registry",
        "--set=tolerations[0].operator=Exists",
        "--set=topologySpreadConstraints[0].maxSkew=1",
        "--set=topologySpreadConstraints[0].topologyKey=zone",
        "--set=topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
        "--set=extraEnv[0].name=RUST_BACKTRACE",
        "--set=networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b",
        "--set=networkPolicy.defaultDeny=true",
        "--set=podDisruptionBudget.maxUnavailable=50%",
    ];
    let sets: [&[&str]; 8] = [
        &[],
        &["--set=rbac.discovery=true"],
        &["--set=rbac.discovery=true", "--set=rbac.scope=namespace"],
        &["--set=rbac.scope=namespaces", "--set=rbac.namespaces={shop,blog}"],
        &["--set=rbac.scope=namespace", "--set=crds.install=false"],
        &MONITORED,
        &[INSTANCE[0], INSTANCE[1], "--set=instance.spec.ingress.host=stats.example.com"],
        &pod,
    ];
    for set in sets {
        let (good, said) = schemas.check(&template("wk", set).unwrap()).unwrap();
        assert!(good && said.contains("Skipped: 0"), "{set:?}: {said}");
    }
    for set in [&[][..], &["--set=keep=false"]] {
        let (good, said) = schemas.check(&template_of(&crds_chart(), "wk", set).unwrap()).unwrap();
        assert!(good && said.contains("2 resources found"), "{said}");
    }
}

fn overlays() -> Vec<PathBuf> {
    let entries = fs::read_dir(paths::workspace().join("kustomize/overlays")).unwrap();
    let overlays: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(overlays.len() >= 4, "{overlays:?}");
    overlays
}

#[tokio::test]
async fn kubeconform_finds_nothing_to_say_about_the_overlays() {
    let (cluster, schemas) = (ControlPlane::shared().unwrap(), schemas());
    for overlay in overlays() {
        let manifests = succeed(cluster.kubectl().arg("kustomize").arg(&overlay)).unwrap();
        let (good, said) = schemas.check(&manifests).unwrap();
        assert!(good && said.contains("Skipped: 0"), "{}: {said}", overlay.display());
    }
}

#[tokio::test]
async fn a_field_that_does_not_exist_or_has_the_wrong_type_is_refused_with_its_place() {
    let schemas = schemas();
    let manifests = template("wk", &[&MONITORED[..], &INSTANCE].concat()).unwrap();
    for (right, wrong, place) in [
        ("imagePullPolicy:", "imagePullpolicy:", "/spec/template/spec/containers/0"),
        ("replicas: 1", "replicas: one", "/spec/replicas"),
        ("  honorLabels:", "  honourLabels:", "/spec/endpoints/0"),
        ("runbook: docs/", "runbook: [1] #", "annotations/runbook"),
        ("name: watchkeeper\n  namespace: wk\n", "name: watchkeeper\n  namespaces: wk\n", "/metadata"),
        ("kind: AnalyticsInstance\nmetadata", "kind: AnalyticInstance\nmetadata", "could not find schema"),
    ] {
        assert!(manifests.contains(right), "{right}");
        let (good, said) = schemas.check(&manifests.replace(right, wrong)).unwrap();
        assert!(!good && said.contains(place), "{wrong}: {said}");
    }
    let arguments = [INSTANCE[0], INSTANCE[1], "--set=instance.spec.privcy.level=1"];
    let (good, said) = schemas.check(&template("wk", &arguments).unwrap()).unwrap();
    assert!(!good && said.contains("privcy"), "{said}");
}
