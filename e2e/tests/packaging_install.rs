//! The Helm chart and the kustomization on a real API server.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use watchkeeper_e2e::kinds;
use watchkeeper_testkit::cluster::ControlPlane;
use watchkeeper_testkit::helm::{chart, crds_chart, helm, succeed, template};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::{paths, wait};

/// Lets Helm, which asks no cluster when it only renders, know that this one has the kinds.
const KNOWN: &str = "--api-versions=watchkeeper.dev/v1alpha1/AnalyticsInstance";

/// What the server says to objects, none of which it keeps: everything short of running them.
fn dry_run(cluster: &ControlPlane, manifests: &str) -> Result<String> {
    let mut command = cluster.kubectl();
    command.args(["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Dropped after writing, so that kubectl sees the end.
    child.stdin.take().unwrap().write_all(manifests.as_bytes())?;
    let output = child.wait_with_output()?;
    let [said, warned] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    // A warning is a refusal here: of pod security, of deprecated fields.
    if !output.status.success() || !warned.is_empty() {
        bail!("{said}{warned}");
    }
    Ok(said)
}

/// A namespace in which pods that are not restricted cause a warning when they are still templates.
async fn warning_namespace(cluster: &ControlPlane) -> String {
    let namespace = cluster.namespace("packaging").await.unwrap();
    let label = "pod-security.kubernetes.io/warn=restricted";
    succeed(cluster.kubectl().args(["label", "namespace", &namespace, label])).unwrap();
    namespace
}

#[tokio::test]
async fn the_api_server_accepts_the_chart_in_every_scope() {
    let cluster = ControlPlane::shared().unwrap();
    kinds::install(cluster, "prometheus-operator").unwrap();
    let (namespace, other) = (warning_namespace(cluster).await, warning_namespace(cluster).await);
    let two = format!("rbac.namespaces={{{namespace},{other}}}");
    let scopes: [&[&str]; 3] = [
        &["--set", "rbac.scope=cluster"],
        &["--set", "rbac.scope=namespaces", "--set", &two],
        &["--set", "rbac.scope=namespace"],
    ];
    for scope in scopes {
        let everything = [
            "--set=replicaCount=3",
            "--set=instance.create=true",
            KNOWN,
            "--set=instance.spec.privacy.level=2",
            "--set=postgresImage=postgres:17",
            "--set=priorityClassName=system-cluster-critical",
            "--set=imagePullSecrets[0].name=registry",
            "--set=podAnnotations.a=b",
            "--set=nodeSelector.a=b",
            "--set=tolerations[0].operator=Exists",
            "--set=extraEnv[0].name=RUST_BACKTRACE",
            "--set-string=extraEnv[0].value=1",
            "--set=networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b",
            "--set=networkPolicy.defaultDeny=true",
            "--set=metrics.serviceMonitor.enabled=true",
            "--set=metrics.prometheusRule.enabled=true",
            "--set=metrics.dashboards.enabled=true",
        ];
        for more in [&[][..], &everything[..]] {
            let said = dry_run(cluster, &template(&namespace, &[scope, more].concat()).unwrap());
            let said = said.unwrap_or_else(|error| panic!("{scope:?} {more:?}: {error}"));
            assert!(said.contains("deployment.apps/watchkeeper-operator serverside-applied"), "{said}");
        }
    }
}

#[tokio::test]
async fn the_api_server_refuses_an_instance_that_its_schema_forbids() {
    let cluster = ControlPlane::shared().unwrap();
    let namespace = cluster.namespace("packaging").await.unwrap();
    let arguments = [KNOWN, "--set=instance.create=true", "--set=instance.spec.privacy.level=9"];
    let refusal = dry_run(cluster, &template(&namespace, &arguments).unwrap()).unwrap_err().to_string();
    assert!(refusal.contains("spec.privacy.level"), "{refusal}");
}

/// The way from `directory` to an absolute path, as kustomize wants it.
fn relative(directory: &Path, target: &Path) -> String {
    let up = "../".repeat(directory.canonicalize().unwrap().components().count() - 1);
    format!("{up}{}", target.canonicalize().unwrap().strip_prefix("/").unwrap().display())
}

#[tokio::test]
async fn the_api_server_accepts_the_kustomization_under_an_overlay() {
    let cluster = ControlPlane::shared().unwrap();
    let namespace = warning_namespace(cluster).await;
    let overlay = RunDir::new("overlay").unwrap();
    let base = relative(overlay.path(), &paths::workspace().join("kustomize/base"));
    // The replacements must work from an overlay too, as the base says.
    let text = fs::read_to_string(paths::workspace().join("kustomize/base/kustomization.yaml")).unwrap();
    let replacements = &text[text.find("replacements:").unwrap()..];
    let image = "images: [{name: watchkeeper, newName: mirror.example/wk, newTag: 9.9.9}]";
    let text = format!("namespace: {namespace}\nresources: [{base}]\n{image}\n{replacements}");
    fs::write(overlay.path().join("kustomization.yaml"), text).unwrap();

    let manifests = succeed(cluster.kubectl().arg("kustomize").arg(overlay.path())).unwrap();
    let said = dry_run(cluster, &manifests).unwrap();
    assert!(said.contains("deployment.apps/watchkeeper-operator serverside-applied"), "{said}");
    assert_eq!(manifests.matches("mirror.example/wk:9.9.9").count(), 2, "{manifests}");
    // The bindings must follow the service account into the overlay's namespace.
    assert!(!manifests.contains("namespace: watchkeeper-system"), "{manifests}");
}

#[tokio::test]
async fn the_api_server_accepts_every_overlay_as_it_is() {
    let cluster = ControlPlane::shared().unwrap();
    kinds::install(cluster, "prometheus-operator").unwrap();
    let root = paths::workspace().join("kustomize");
    // A dry run makes no namespace for the objects that go into it.
    let namespace = root.join("base/namespace.yaml");
    succeed(cluster.kubectl().args(["apply", "--server-side", "-f"]).arg(namespace)).unwrap();
    let label = "pod-security.kubernetes.io/warn=restricted";
    succeed(cluster.kubectl().args(["label", "--overwrite", "namespace", "watchkeeper-system", label]))
        .unwrap();
    let overlays = fs::read_dir(root.join("overlays")).unwrap().map(|entry| entry.unwrap().path());
    let mut seen = Vec::new();
    for overlay in overlays {
        let name = overlay.file_name().unwrap().to_str().unwrap().to_owned();
        let manifests = succeed(cluster.kubectl().arg("kustomize").arg(&overlay)).unwrap();
        let said = dry_run(cluster, &manifests).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(said.contains("deployment.apps/watchkeeper-operator serverside-applied"), "{name}: {said}");
        let everywhere = said.contains("clusterrole.rbac.authorization.k8s.io/");
        assert_eq!(everywhere, name != "namespaced", "{said}");
        assert_eq!(said.contains("prometheusrule.monitoring.coreos.com/"), name == "monitoring", "{said}");
        seen.push(name);
    }
    seen.sort();
    assert_eq!(seen, ["cluster", "local-dev", "monitoring", "namespaced"]);
}

const KINDS: [&str; 2] = ["analyticsinstances.watchkeeper.dev", "monitoredendpoints.watchkeeper.dev"];

struct Release<'a> {
    cluster: &'a ControlPlane,
    namespace: String,
}

impl Release<'_> {
    fn helm(&self, arguments: &[&str]) -> Command {
        let mut command = helm().unwrap();
        self.cluster.aim(&mut command);
        command.args(arguments).args(["-n", &self.namespace]);
        command
    }

    fn chart(&self, arguments: &[&str], chart: &Path, values: &[&str]) -> Result<String> {
        succeed(self.helm(arguments).arg(chart).args(values))
    }

    /// Installs it with an instance and gives Helm's notes.
    fn install(&self) -> String {
        let arguments = ["install", "watchkeeper", "--set=instance.create=true"];
        succeed(self.helm(&arguments).arg(chart())).unwrap()
    }

    fn wait_for_kinds(&self) {
        wait::until("the kinds are served", Duration::from_secs(30), || {
            let mut command = self.cluster.kubectl();
            let kinds =
                succeed(command.args(["api-resources", "--api-group=watchkeeper.dev", "-o", "name"]))?;
            Ok((kinds.lines().count() == KINDS.len()).then_some(()))
        })
        .unwrap();
    }

    fn get(&self, what: &str, path: &str) -> String {
        let output = format!("jsonpath={{{path}}}");
        succeed(self.cluster.kubectl().args(["get", "-n", &self.namespace, what, "-o", &output])).unwrap()
    }

    fn missing(&self, what: &str) -> bool {
        let found =
            self.cluster.kubectl().args(["get", "-n", &self.namespace, what, "--ignore-not-found"]).output();
        found.unwrap().stdout.is_empty()
    }
}

#[tokio::test]
async fn an_instance_outlives_upgrade_and_reinstallation_of_the_release_that_made_it() {
    // Its own, since it takes the kinds away from everybody.
    let cluster = ControlPlane::start().unwrap();
    succeed(cluster.kubectl().args(["delete", "crd"]).args(KINDS)).unwrap();
    let release = Release { cluster: &cluster, namespace: cluster.namespace("release").await.unwrap() };

    assert!(release.install().contains("The instance watchkeeper IS NOT THERE YET"));
    assert_eq!(release.get("deployment/watchkeeper-operator", ".spec.replicas"), "1");
    release.wait_for_kinds();
    succeed(release.helm(&["upgrade", "watchkeeper", "--reuse-values"]).arg(chart())).unwrap();
    let made = release.get("wki/watchkeeper", ".metadata.uid");

    for paused in ["true", "false"] {
        let value = format!("--set=instance.spec.paused={paused}");
        let arguments = ["upgrade", "watchkeeper", "--set=instance.create=true", &value];
        succeed(release.helm(&arguments).arg(chart())).unwrap();
        assert_eq!(release.get("wki/watchkeeper", ".spec.paused"), paused);
        assert_eq!(release.get("wki/watchkeeper", ".metadata.uid"), made);
    }

    succeed(&mut release.helm(&["uninstall", "watchkeeper"])).unwrap();
    assert!(release.missing("deployment/watchkeeper-operator"));
    assert_eq!(release.get("wki/watchkeeper", ".metadata.uid"), made);

    assert!(release.install().contains("The instance watchkeeper gets ready"));
    assert_eq!(release.get("wki/watchkeeper", ".metadata.uid"), made);
}

#[tokio::test]
async fn with_the_kinds_in_a_release_of_their_own_the_first_installation_brings_the_instance() {
    let cluster = ControlPlane::start().unwrap();
    succeed(cluster.kubectl().args(["delete", "crd"]).args(KINDS)).unwrap();
    let release = Release { cluster: &cluster, namespace: cluster.namespace("release").await.unwrap() };
    let uid = |kind: &str| release.get(&format!("crd/{kind}"), ".metadata.uid");

    let notes = release.chart(&["install", "watchkeeper-crds"], &crds_chart(), &[]).unwrap();
    assert!(notes.contains("--set crds.install=false --set instance.create=true"), "{notes}");
    release.wait_for_kinds();
    let kinds = KINDS.map(uid);
    let values = ["--set=crds.install=false", "--set=instance.create=true"];
    let notes = release.chart(&["install", "watchkeeper"], &chart(), &values).unwrap();
    assert!(notes.contains("The instance watchkeeper gets ready"), "{notes}");
    let made = release.get("wki/watchkeeper", ".metadata.uid");
    release.chart(&["upgrade", "watchkeeper"], &chart(), &values).unwrap();

    for name in ["watchkeeper", "watchkeeper-crds"] {
        succeed(&mut release.helm(&["uninstall", name])).unwrap();
    }
    assert_eq!(release.get("wki/watchkeeper", ".metadata.uid"), made);
    assert_eq!(KINDS.map(uid), kinds);
}

#[tokio::test]
async fn a_release_of_their_own_takes_the_kinds_over_without_touching_an_object() {
    let cluster = ControlPlane::start().unwrap();
    succeed(cluster.kubectl().args(["delete", "crd"]).args(KINDS)).unwrap();
    let release = Release { cluster: &cluster, namespace: cluster.namespace("release").await.unwrap() };
    release.install();
    release.wait_for_kinds();
    release.chart(&["upgrade", "watchkeeper", "--reuse-values"], &chart(), &[]).unwrap();
    let uids = || [KINDS[0], KINDS[1]].map(|kind| release.get(&format!("crd/{kind}"), ".metadata.uid"));
    let (made, kinds) = (release.get("wki/watchkeeper", ".metadata.uid"), uids());

    let without = ["--set=crds.install=false"];
    // Two releases that bring the kinds would fight over them.
    let refusal =
        release.chart(&["install", "watchkeeper-crds"], &crds_chart(), &[]).unwrap_err().to_string();
    assert!(refusal.contains("invalid ownership metadata"), "{refusal}");
    release.chart(&["upgrade", "watchkeeper", "--reuse-values"], &chart(), &without).unwrap();
    release.chart(&["install", "watchkeeper-crds", "--take-ownership"], &crds_chart(), &[]).unwrap();
    release.chart(&["upgrade", "watchkeeper", "--reuse-values"], &chart(), &without).unwrap();
    assert_eq!((release.get("wki/watchkeeper", ".metadata.uid"), uids()), (made, kinds));

    // Asked to, it takes the kinds away with it.
    release.chart(&["upgrade", "watchkeeper-crds"], &crds_chart(), &["--set=keep=false"]).unwrap();
    succeed(&mut release.helm(&["uninstall", "watchkeeper-crds"])).unwrap();
    wait::until("the kinds are gone", Duration::from_secs(60), || {
        Ok(KINDS.iter().all(|kind| release.missing(&format!("crd/{kind}"))).then_some(()))
    })
    .unwrap();
}
