//! What the Helm chart renders to.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use watchkeeper_testkit::cluster::crd_files;
use watchkeeper_testkit::helm::{chart, helm, objects, succeed, template};
use watchkeeper_testkit::paths;

const SCOPES: [&[&str]; 3] = [
    &["--set", "rbac.scope=cluster"],
    &["--set", "rbac.scope=namespaces", "--set", "rbac.namespaces={shop,blog}"],
    &["--set", "rbac.scope=namespace"],
];

fn render(arguments: &[&str]) -> Vec<Value> {
    objects(&template("wk", arguments).unwrap()).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn environment(objects: &[Value], name: &str) -> Value {
    let container = &of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap()["value"].clone()
}

#[test]
fn it_passes_helms_own_checks_in_every_scope() {
    for scope in SCOPES {
        succeed(helm().unwrap().args(["lint", "--strict"]).arg(chart()).args(scope)).unwrap();
    }
}

#[test]
fn values_that_mean_nothing_are_refused_with_their_place() {
    let wrong: [(&[&str], &str); 9] = [
        (&["replicaCounts=2"], "replicaCounts"),
        (&["replicaCount=-1"], "/replicaCount"),
        (&["rbac.scope=everything"], "/rbac/scope"),
        (&["rbac.scope=namespaces"], "/rbac/namespaces"),
        (&["rbac.namespaces={shop}"], "/rbac/namespaces"),
        (&["rbac.scope=namespaces", "rbac.namespaces={Shop}"], "/rbac/namespaces/0"),
        (&["image.pullPolicy=Sometimes"], "/image/pullPolicy"),
        (&["instance.name=9lives"], "/instance/name"),
        (&["networkPolicy.apiServerPorts={0}"], "/networkPolicy/apiServerPorts/0"),
    ];
    for (values, place) in wrong {
        let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        let refusal = template("wk", &arguments).unwrap_err().to_string();
        assert!(refusal.contains("schema") && refusal.contains(place), "{values:?}: {refusal}");
    }
}

#[test]
fn no_scope_grants_everything_of_anything() {
    for scope in SCOPES {
        let objects = render(scope);
        let roles = [of_kind(&objects, "ClusterRole"), of_kind(&objects, "Role")].concat();
        assert!(roles.len() >= 2, "{scope:?}");
        for rule in roles.iter().flat_map(|role| role["rules"].as_array().unwrap()) {
            for list in ["apiGroups", "resources", "verbs"] {
                let words = rule[list].as_array().unwrap();
                assert!(!words.is_empty() && !words.contains(&json!("*")), "{scope:?}: {rule}");
            }
        }
    }
}

#[test]
fn the_scope_decides_what_is_granted_and_what_is_served() {
    let namespaces = |objects: &[Value], kind: &str| -> BTreeSet<String> {
        let roles = of_kind(objects, kind).into_iter();
        // The Lease is its own matter: always in the release's namespace.
        let roles = roles.filter(|role| !role["metadata"]["name"].as_str().unwrap().ends_with("-lease"));
        roles.map(|role| role["metadata"]["namespace"].as_str().unwrap_or("everywhere").to_owned()).collect()
    };
    let expected: [(&str, &[&str], &str); 3] =
        [("Cluster", &["everywhere"], "all"), ("", &["blog", "shop"], "shop,blog"), ("", &["wk"], "wk")];
    for (scope, (prefix, granted, served)) in SCOPES.into_iter().zip(expected) {
        let objects = render(scope);
        let granted: BTreeSet<String> = granted.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(namespaces(&objects, &format!("{prefix}Role")), granted, "{scope:?}");
        assert_eq!(namespaces(&objects, &format!("{prefix}RoleBinding")), granted, "{scope:?}");
        assert_eq!(environment(&objects, "WATCHKEEPER_NAMESPACES"), served, "{scope:?}");
        if prefix.is_empty() {
            assert!(of_kind(&objects, "ClusterRole").is_empty(), "{scope:?}");
        }
    }
}

#[test]
fn the_copies_of_what_is_generated_are_up_to_date() {
    succeed(Command::new(paths::workspace().join("charts/sync-crds.sh")).arg("--check")).unwrap();
}

#[test]
fn the_kinds_are_the_generated_ones_and_outlive_the_release() {
    let mut rendered = render(&["--show-only", "templates/crds.yaml"]);
    for definition in &mut rendered {
        let annotations = definition["metadata"]["annotations"].as_object_mut().unwrap();
        assert_eq!(annotations.remove("helm.sh/resource-policy").unwrap(), "keep");
        if annotations.is_empty() {
            definition["metadata"].as_object_mut().unwrap().remove("annotations");
        }
    }
    let read = |path| objects(&fs::read_to_string(path).unwrap()).unwrap();
    let generated: Vec<Value> = crd_files().unwrap().into_iter().flat_map(read).collect();
    assert_eq!(rendered, generated);
    assert!(of_kind(&render(&["--set", "crds.install=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn the_instances_run_the_operators_own_image() {
    let objects =
        render(&["--set", "image.repository=mirror.example/watchkeeper", "--set", "image.tag=1.2.3"]);
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "mirror.example/watchkeeper:1.2.3");
    assert_eq!(environment(&objects, "WATCHKEEPER_IMAGE"), "mirror.example/watchkeeper:1.2.3");
}

#[test]
fn what_one_replica_or_a_plain_cluster_cannot_use_is_left_out() {
    let plain = render(&[]);
    for kind in ["PodDisruptionBudget", "ServiceMonitor", "AnalyticsInstance"] {
        assert!(of_kind(&plain, kind).is_empty(), "{kind}");
    }
    let full = render(&[
        "--set=replicaCount=2",
        "--set=metrics.serviceMonitor.enabled=true",
        "--set=metrics.serviceMonitor.labels.release=prometheus",
        "--set=instance.create=true",
        "--api-versions=watchkeeper.dev/v1alpha1/AnalyticsInstance",
    ]);
    assert_eq!(of_kind(&full, "PodDisruptionBudget")[0]["spec"]["maxUnavailable"], 1);
    let monitor = of_kind(&full, "ServiceMonitor")[0];
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    // It finds the Service by its labels and the port by its name.
    let service = of_kind(&full, "Service")[0];
    for (name, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][name], value);
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    assert_eq!(of_kind(&full, "AnalyticsInstance").len(), 1);
}

#[test]
fn the_readme_explains_every_value() {
    fn paths_of(value: &Value, path: &str, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) if !fields.is_empty() && path != "resources" => {
                for (name, field) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    paths_of(field, &path, all);
                }
            }
            _ => all.push(path.to_owned()),
        }
    }
    let values = objects(&fs::read_to_string(chart().join("values.yaml")).unwrap()).unwrap();
    let readme = fs::read_to_string(chart().join("README.md")).unwrap();
    let mut all = Vec::new();
    paths_of(&values[0], "", &mut all);
    let missing: Vec<_> = all.iter().filter(|path| !readme.contains(&format!("| `{path}` |"))).collect();
    assert!(!all.is_empty() && missing.is_empty(), "{missing:?}");
}
