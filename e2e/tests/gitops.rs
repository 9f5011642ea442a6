//! The GitOps examples: health as Argo CD and Flux see it, and no drift after a sync.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use watchkeeper_e2e::{kinds, lua};
use watchkeeper_testkit::cluster::ControlPlane;
use watchkeeper_testkit::helm::{helm, objects, succeed};
use watchkeeper_testkit::operator::Operator;
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::{paths, wait};

const LIMIT: Duration = Duration::from_secs(60);

fn gitops(path: &str) -> PathBuf {
    paths::workspace().join("gitops").join(path)
}

/// All objects of a file or, below a directory, of those that are no kustomizations.
fn objects_in(path: &Path) -> Vec<Value> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return entries.flat_map(|entry| objects_in(&entry)).collect();
    }
    if path.extension().is_none_or(|extension| extension != "yaml") || path.ends_with("kustomization.yaml") {
        return Vec::new();
    }
    objects(&fs::read_to_string(path).unwrap()).unwrap()
}

fn conditions(all: &[(&str, &str)]) -> Value {
    let one = |(kind, status): &(&str, &str)| json!({"type": kind, "status": status, "reason": "Because", "message": format!("{kind} is {status}")});
    all.iter().map(one).collect()
}

fn object(kind: &str, spec: Value, status: Value) -> Value {
    json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "x", "namespace": "n", "generation": 3}, "spec": spec, "status": status})
}

/// An instance of generation 3 with these conditions, seen by the operator in generation `observed`.
fn instance(observed: u64, all: &[(&str, &str)]) -> Value {
    let status = json!({"observedGeneration": observed, "conditions": conditions(all)});
    object("AnalyticsInstance", json!({}), status)
}

fn endpoint(observed: u64, state: &str, all: &[(&str, &str)]) -> Value {
    let status = json!({"observedGeneration": observed, "state": state, "conditions": conditions(all)});
    object("MonitoredEndpoint", json!({"suspended": state == "Suspended"}), status)
}

/// The same, with this reason for every condition.
fn because(mut object: Value, reason: &str) -> Value {
    for condition in object["status"]["conditions"].as_array_mut().unwrap() {
        condition["reason"] = json!(reason);
    }
    object
}

/// What a kind's objects are like, and what Argo CD and Flux should say: status, message, verdict.
fn cases() -> Vec<(Value, &'static str, &'static str, &'static str)> {
    let fresh = |kind| object(kind, json!({}), Value::Null);
    // As the API server may make it before the operator has seen the object.
    let unseen = |kind| object(kind, json!({}), json!({"observedGeneration": -1}));
    const STALE: &str = "the operator has not seen the newest spec yet";
    vec![
        (fresh("AnalyticsInstance"), "Progressing", "waiting for the operator", "nothing"),
        (unseen("AnalyticsInstance"), "Progressing", "waiting for the operator", "inProgress"),
        (
            instance(2, &[("Ready", "True"), ("Progressing", "False"), ("Degraded", "False")]),
            "Progressing",
            STALE,
            "inProgress",
        ),
        (instance(2, &[("Degraded", "True")]), "Progressing", STALE, "inProgress"),
        (
            instance(3, &[("Ready", "False"), ("Progressing", "True"), ("Degraded", "False")]),
            "Progressing",
            "Progressing is True",
            "inProgress",
        ),
        // An update of an instance that answers all the while.
        (
            instance(3, &[("Ready", "True"), ("Progressing", "True"), ("Degraded", "False")]),
            "Progressing",
            "Progressing is True",
            "inProgress",
        ),
        (
            instance(
                3,
                &[("Ready", "True"), ("Progressing", "False"), ("Degraded", "False"), ("Paused", "False")],
            ),
            "Healthy",
            "Ready is True",
            "current",
        ),
        (
            instance(3, &[("Ready", "True"), ("Progressing", "False"), ("CertificateReady", "False")]),
            "Progressing",
            "CertificateReady is False",
            "inProgress",
        ),
        (
            instance(3, &[("Ready", "True"), ("Progressing", "False"), ("RouteReady", "False")]),
            "Progressing",
            "RouteReady is False",
            "inProgress",
        ),
        // Trouble that may pass, as a copy that failed or a kind that is still to come.
        (
            instance(3, &[("Ready", "True"), ("Progressing", "True"), ("Degraded", "True")]),
            "Degraded",
            "Degraded is True",
            "inProgress",
        ),
        (
            instance(3, &[("Ready", "True"), ("Progressing", "False"), ("Degraded", "True")]),
            "Degraded",
            "Degraded is True",
            "inProgress",
        ),
        (
            instance(3, &[("Ready", "False"), ("Degraded", "True"), ("Reconciling", "True")]),
            "Degraded",
            "Degraded is True",
            "inProgress",
        ),
        (instance(2, &[("Degraded", "True"), ("Stalled", "True")]), "Progressing", STALE, "inProgress"),
        // Trouble that only another spec ends.
        (
            instance(
                3,
                &[("Ready", "False"), ("Progressing", "True"), ("Degraded", "True"), ("Stalled", "True")],
            ),
            "Degraded",
            "Degraded is True",
            "failed",
        ),
        (
            because(instance(3, &[("Ready", "False"), ("Degraded", "True")]), "InvalidSpec"),
            "Degraded",
            "Degraded is True",
            "failed",
        ),
        (
            instance(3, &[("Ready", "False"), ("Progressing", "False")]),
            "Degraded",
            "Ready is False",
            "inProgress",
        ),
        (
            instance(3, &[("Ready", "True"), ("Progressing", "False"), ("Paused", "True")]),
            "Suspended",
            "Paused is True",
            "current",
        ),
        (fresh("MonitoredEndpoint"), "Progressing", "waiting for the operator", "nothing"),
        (unseen("MonitoredEndpoint"), "Progressing", "waiting for the operator", "inProgress"),
        (endpoint(2, "Up", &[("Ready", "True"), ("Accepted", "True")]), "Progressing", STALE, "inProgress"),
        (
            endpoint(3, "Unknown", &[("Ready", "False"), ("Accepted", "True")]),
            "Progressing",
            "Ready is False",
            "inProgress",
        ),
        (
            endpoint(3, "Up", &[("Ready", "True"), ("Accepted", "True")]),
            "Healthy",
            "watched; it is Up",
            "current",
        ),
        // Somebody else's outage.
        (
            endpoint(3, "Down", &[("Ready", "True"), ("Accepted", "True")]),
            "Healthy",
            "watched; it is Down",
            "current",
        ),
        (
            endpoint(3, "Unknown", &[("Ready", "False"), ("Accepted", "False")]),
            "Degraded",
            "Accepted is False",
            "failed",
        ),
        // Its instance may be made a moment later.
        (
            because(endpoint(3, "Unknown", &[("Ready", "False"), ("Accepted", "False")]), "InstanceNotFound"),
            "Degraded",
            "Accepted is False",
            "inProgress",
        ),
        (
            endpoint(3, "Unknown", &[("Ready", "False"), ("Degraded", "True")]),
            "Degraded",
            "Degraded is True",
            "failed",
        ),
        (
            endpoint(3, "Suspended", &[("Ready", "True"), ("Accepted", "True")]),
            "Suspended",
            "spec.suspended is set",
            "current",
        ),
    ]
}

fn argo_health(object: &Value) -> (String, String) {
    let check = format!("argocd/health/{}.lua", object["kind"].as_str().unwrap());
    lua::health(&gitops(&check), object).unwrap()
}

#[test]
fn argo_cd_sees_the_health_that_the_conditions_tell() {
    for (object, status, message, _) in cases() {
        assert_eq!(argo_health(&object), (status.to_owned(), message.to_owned()), "{object}");
        let mut leaving = object;
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(argo_health(&leaving), ("Progressing".to_owned(), "being deleted".to_owned()));
    }
}

#[test]
fn a_wave_waits_for_the_applications_of_the_one_before() {
    let application = |status| json!({"kind": "Application", "metadata": {"name": "x"}, "status": status});
    let waiting = ("Progressing".to_owned(), "waiting for its first sync".to_owned());
    assert_eq!(argo_health(&application(Value::Null)), waiting);
    assert_eq!(argo_health(&application(json!({"health": {}}))), waiting);
    let degraded = application(json!({"health": {"status": "Degraded", "message": "a pod"}}));
    assert_eq!(argo_health(&degraded), ("Degraded".to_owned(), "a pod".to_owned()));
    let healthy = application(json!({"health": {"status": "Healthy"}}));
    assert_eq!(argo_health(&healthy), ("Healthy".to_owned(), String::new()));
}

#[test]
fn a_health_check_that_fails_is_noticed() {
    let directory = RunDir::new("lua").unwrap();
    let file = directory.path().join("check.lua");
    for wrong in ["return obj.status.conditions", "return {status = string.upper('x')}", "return {"] {
        fs::write(&file, wrong).unwrap();
        lua::health(&file, &json!({"metadata": {}})).unwrap_err();
    }
}

#[test]
fn argo_cds_settings_hold_the_health_checks_under_their_kinds() {
    let cluster = ControlPlane::shared().unwrap();
    let manifests = succeed(cluster.kubectl().arg("kustomize").arg(gitops("argocd/health"))).unwrap();
    let settings = &objects(&manifests).unwrap()[0];
    assert_eq!(
        (&settings["kind"], &settings["metadata"]["name"]),
        (&json!("ConfigMap"), &json!("argocd-cm"))
    );
    let mut expected = BTreeMap::new();
    for (group, kind) in [
        ("watchkeeper.dev", "AnalyticsInstance"),
        ("watchkeeper.dev", "MonitoredEndpoint"),
        ("argoproj.io", "Application"),
    ] {
        let source = fs::read_to_string(gitops(&format!("argocd/health/{kind}.lua"))).unwrap();
        expected.insert(format!("resource.customizations.health.{group}_{kind}"), json!(source));
    }
    assert_eq!(settings["data"], json!(expected));
}

/// Which of Flux's three expressions hold; nothing where there is no status to look at.
fn flux_verdict(checks: &[Value], object: &Value) -> String {
    let check = checks.iter().find(|check| check["kind"] == object["kind"]).unwrap();
    let mut verdicts = Vec::new();
    for verdict in ["inProgress", "failed", "current"] {
        let program = cel::Program::compile(check[verdict].as_str().unwrap()).unwrap();
        let mut context = cel::Context::default();
        for (name, value) in object.as_object().unwrap() {
            context.add_variable(name.as_str(), value).unwrap();
        }
        // Flux waits where a field is missing.
        if matches!(program.execute(&context), Ok(cel::Value::Bool(true))) {
            verdicts.push(verdict);
        }
    }
    if verdicts.is_empty() { "nothing".to_owned() } else { verdicts.join(" and ") }
}

#[test]
fn flux_comes_to_exactly_one_verdict() {
    let all = objects_in(&gitops("flux/kustomizations.yaml"));
    let checks = all.iter().find_map(|object| object["spec"]["healthCheckExprs"].as_array()).unwrap();
    for (mut object, _, _, verdict) in cases() {
        if object["status"].is_null() {
            object.as_object_mut().unwrap().remove("status");
        }
        assert_eq!(flux_verdict(checks, &object), verdict, "{object}");
    }
}

#[test]
fn every_path_that_the_examples_name_exists() {
    let mut seen = 0;
    for object in [objects_in(&gitops("argocd")), objects_in(&gitops("flux"))].concat() {
        let spec = &object["spec"];
        for path in [&spec["source"]["path"], &spec["path"], &spec["chart"]["spec"]["chart"]] {
            if let Some(path) = path.as_str() {
                assert!(paths::workspace().join(path).is_dir(), "{path} of {}", object["metadata"]["name"]);
                seen += 1;
            }
        }
        for check in spec["healthChecks"].as_array().into_iter().flatten() {
            let checked = objects_in(&gitops("installation"))
                .into_iter()
                .any(|object| object["kind"] == check["kind"] && object["metadata"]["name"] == check["name"]);
            assert!(checked, "{check}");
        }
    }
    assert_eq!(seen, 6);
}

fn copy(from: &Path, to: &Path) {
    succeed(Command::new("cp").arg("-R").arg(from).arg(to)).unwrap();
}

#[test]
fn the_two_directories_that_the_readme_names_are_all_that_the_examples_need() {
    let repository = RunDir::new("repository").unwrap();
    let (kubectl, root) = (paths::built("kubernetes").unwrap().join("kubectl"), repository.path());
    fs::create_dir(root.join("charts")).unwrap();
    for directory in ["charts/watchkeeper", "gitops"] {
        copy(&paths::workspace().join(directory), &root.join(directory));
    }
    for directory in ["argocd/health", "flux", "flux/operator", "installation"] {
        succeed(Command::new(&kubectl).arg("kustomize").arg(root.join("gitops").join(directory))).unwrap();
    }
    let application = &objects_in(&root.join("gitops/argocd/applications/operator.yaml"))[0];
    assert!(rendered_by_argo_cd(root, application).contains("registry.example/watchkeeper:"));
}

#[test]
fn what_must_not_go_by_a_slip_is_marked_against_pruning() {
    let application = &objects_in(&gitops("argocd/applications/operator.yaml"))[0];
    let chart = objects(&rendered_by_argo_cd(&paths::workspace(), application)).unwrap();
    let all = [objects_in(&gitops("installation")), chart].concat();
    let marked = |name: &str, value: &str| -> Vec<String> {
        let marked = all.iter().filter(|object| object["metadata"]["annotations"][name] == value);
        let mut marked: Vec<String> = marked
            .map(|object| format!("{}/{}", object["kind"], object["metadata"]["name"]).replace('"', ""))
            .collect();
        marked.sort();
        marked
    };
    let installation = ["AnalyticsInstance/shop", "Namespace/shop"];
    let kinds = ["analyticsinstances", "monitoredendpoints"]
        .map(|kind| format!("CustomResourceDefinition/{kind}.watchkeeper.dev"));
    let argo = [&[installation[0].to_owned()], &kinds[..], &[installation[1].to_owned()]].concat();
    assert_eq!(marked("argocd.argoproj.io/sync-options", "Prune=false"), argo);
    // The Helm controller goes by Helm's word.
    assert_eq!(marked("kustomize.toolkit.fluxcd.io/prune", "disabled"), installation);
    assert_eq!(marked("helm.sh/resource-policy", "keep"), kinds);
}

#[tokio::test]
async fn argo_cd_and_flux_know_every_field_of_the_examples() {
    let cluster = ControlPlane::shared().unwrap();
    for project in ["argo-cd", "flux-kustomize", "flux-source"] {
        kinds::install_from(cluster, "gitops-crds", project).unwrap();
    }
    for namespace in ["argocd", "flux-system"] {
        let made = cluster.kubectl().args(["create", "namespace", namespace]).output().unwrap();
        assert!(made.status.success() || String::from_utf8_lossy(&made.stderr).contains("AlreadyExists"));
    }
    let mut all = [objects_in(&gitops("argocd")), objects_in(&gitops("flux"))].concat();
    // Its definition is in no module.
    all.retain(|object| object["kind"] != "HelmRelease");
    assert_eq!(all.len(), 7);
    for mut object in all {
        let name = object["metadata"]["name"].clone();
        let (good, said) = accepted(cluster, &object);
        assert!(good, "{name}: {said}");
        object["spec"]["destinations"] = json!({});
        let (good, said) = accepted(cluster, &object);
        assert!(!good && said.contains("destinations"), "{name}: {said}");
    }
}

fn accepted(cluster: &ControlPlane, object: &Value) -> (bool, String) {
    let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    let output = kubectl(cluster, &arguments, &object.to_string());
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn kubectl(cluster: &ControlPlane, arguments: &[&str], input: &str) -> Output {
    let mut command = cluster.kubectl();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Dropped after writing, so that kubectl sees the end.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A cluster that Argo CD keeps.
struct Synced {
    cluster: ControlPlane,
    manifests: Vec<String>,
}

const MANAGER: &str = "--field-manager=argocd-controller";

impl Synced {
    /// Applies as Argo CD does with ServerSideApply=true.
    fn apply(&mut self, manifests: String) {
        let apply = ["apply", "--server-side", "--force-conflicts", MANAGER, "-f", "-"];
        let output = kubectl(&self.cluster, &apply, &manifests);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.manifests.push(manifests);
    }

    /// What another sync would change.
    fn drift(&self) -> String {
        let diff = ["diff", "--server-side", "--force-conflicts", MANAGER, "-f", "-"];
        let mut all = String::new();
        for manifests in &self.manifests {
            let output = kubectl(&self.cluster, &diff, manifests);
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some_and(|code| code <= 1), "{complaint}");
            all += &String::from_utf8(output.stdout).unwrap();
        }
        all
    }

    fn get(&self, what: &str) -> Value {
        let text = succeed(self.cluster.kubectl().args(["get", "-n", "shop", what, "-o", "json"])).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// The chart as the Application `watchkeeper-operator` has it, from a repository.
fn rendered_by_argo_cd(repository: &Path, application: &Value) -> String {
    let (spec, values) = (&application["spec"], RunDir::new("values").unwrap());
    let file = values.path().join("values.yaml");
    fs::write(&file, spec["source"]["helm"]["valuesObject"].to_string()).unwrap();
    let chart = repository.join(spec["source"]["path"].as_str().unwrap());
    let release = spec["source"]["helm"]["releaseName"].as_str().unwrap();
    let namespace = spec["destination"]["namespace"].as_str().unwrap();
    let mut command = helm().unwrap();
    command.args(["template", release]).arg(chart).args(["--namespace", namespace, "-f"]).arg(file);
    succeed(&mut command).unwrap()
}

#[tokio::test]
async fn nothing_drifts_after_a_sync_and_health_follows_what_the_operator_writes() {
    let cluster = ControlPlane::start().unwrap();
    let crds = ["crd/analyticsinstances.watchkeeper.dev", "crd/monitoredendpoints.watchkeeper.dev"];
    succeed(cluster.kubectl().arg("delete").args(crds)).unwrap();
    let application = &objects_in(&gitops("argocd/applications/operator.yaml"))[0];
    let namespace = application["spec"]["destination"]["namespace"].as_str().unwrap();
    succeed(cluster.kubectl().args(["create", "namespace", namespace])).unwrap();
    let mut synced = Synced { cluster, manifests: Vec::new() };
    synced.apply(rendered_by_argo_cd(&paths::workspace(), application));
    kinds::await_established(&synced.cluster, &crds).unwrap();
    let installation =
        succeed(synced.cluster.kubectl().arg("kustomize").arg(gitops("installation"))).unwrap();
    synced.apply(installation);
    assert_eq!(argo_health(&synced.get("wki/shop")).0, "Progressing");

    let operator = Operator::of(&synced.cluster, namespace, Some("watchkeeper-operator")).unwrap();
    let operator = operator.serving("all").start().unwrap();
    for (name, spec) in [
        ("held", json!({"paused": true})),
        ("lost", json!({"database": {"external": {"urlFrom": {"name": "nowhere", "key": "url"}}}})),
    ] {
        let object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance",
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        assert!(kubectl(&synced.cluster, &["create", "-f", "-"], &object.to_string()).status.success());
    }
    for (what, health) in [
        ("wki/shop", ("Progressing", "rolling out")),
        ("wki/held", ("Suspended", "set spec.paused to false")),
        ("wki/lost", ("Degraded", "Secret nowhere has no key url")),
        ("wke/front-page", ("Progressing", "")),
    ] {
        let told = format!("{what} is {health:?}");
        let seen = wait::until(&told, LIMIT, || {
            let object = synced.get(what);
            let (status, message) = argo_health(&object);
            let said = object["status"]["conditions"].is_array();
            Ok((said && status == health.0 && message.contains(health.1)).then_some(()))
        });
        seen.unwrap_or_else(|error| panic!("{error}: {:?}", argo_health(&synced.get(what))));
    }
    let deployments = synced.get("deployments")["items"].as_array().unwrap().len();
    assert!(deployments >= 3, "{deployments}");
    // A status that is written between the two looks of a diff is in it; what would be fought over stays.
    wait::until("nothing drifts", LIMIT, || Ok(synced.drift().is_empty().then_some(())))
        .unwrap_or_else(|error| panic!("{error}: {}", synced.drift()));

    // Another hand is drift.
    let change = ["patch", "wki", "shop", "-n", "shop", "--type=merge"];
    let patch = r#"--patch={"spec":{"retention":{"hits":"7d"}}}"#;
    succeed(synced.cluster.kubectl().args(change).arg(patch)).unwrap();
    assert!(synced.drift().contains("90d"), "{}", synced.drift());
    assert!(operator.stop().unwrap());
}
