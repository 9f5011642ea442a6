//! What the Helm chart renders to.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use watchkeeper_testkit::cluster::crd_files;
use watchkeeper_testkit::helm::{chart, crds_chart, helm, objects, succeed, template, template_of};
use watchkeeper_testkit::paths;
use watchkeeper_testkit::rundir::RunDir;

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
    succeed(helm().unwrap().args(["lint", "--strict"]).arg(crds_chart())).unwrap();
}

#[test]
fn values_that_mean_nothing_are_refused_with_their_place() {
    let wrong: [(&[&str], &str); 23] = [
        (&["replicaCounts=2"], "replicaCounts"),
        (&["replicaCount=-1"], "/replicaCount"),
        (&["rbac.scope=everything"], "/rbac/scope"),
        (&["rbac.scope=namespaces"], "/rbac/namespaces"),
        (&["rbac.namespaces={shop}"], "/rbac/namespaces"),
        (&["rbac.scope=namespaces", "rbac.namespaces={Shop}"], "/rbac/namespaces/0"),
        (&["image.pullPolicy=Sometimes"], "/image/pullPolicy"),
        (&["instance.name=9lives"], "/instance/name"),
        (&["networkPolicy.apiServerPorts={0}"], "/networkPolicy/apiServerPorts/0"),
        // It would be cut off from everything.
        (&["networkPolicy.defaultDeny=true", "networkPolicy.enabled=false"], "/networkPolicy/enabled"),
        (&["crds.keep=forever"], "/crds/keep"),
        (&["extraEnv[0].value=x"], "/extraEnv/0"),
        (&["podDisruptionBudget.maxUnavailable=some"], "/podDisruptionBudget/maxUnavailable"),
        (&["metrics.serviceMonitor.interval=soon"], "/metrics/serviceMonitor/interval"),
        (&["metrics.serviceMonitor.installations=some"], "/metrics/serviceMonitor/installations"),
        (&["metrics.prometheusRule.enable=true"], "/metrics/prometheusRule"),
        (&["metrics.prometheusRule.runbookUrl=runbooks.md"], "/metrics/prometheusRule/runbookUrl"),
        (&["metrics.dashboards.labels.grafana_dashboard=1"], "/metrics/dashboards/labels/grafana_dashboard"),
        (&["metrics.dashboards.label=x"], "/metrics/dashboards"),
        (&["image.tag=with space"], "/image/tag"),
        (&["imagePullSecrets[0].secret=x"], "/imagePullSecrets/0"),
        // The Service's name, which is longer, would not be let in.
        (&["fullnameOverride=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "/fullnameOverride"),
        (&["nameOverride=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "/nameOverride"),
    ];
    for (values, place) in wrong {
        let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        let refusal = template("wk", &arguments).map(|_| values).unwrap_err().to_string();
        assert!(refusal.contains("schema") && refusal.contains(place), "{values:?}: {refusal}");
    }
    let refusal = template_of(&crds_chart(), "wk", &["--set=kept=true"]).unwrap_err().to_string();
    assert!(refusal.contains("schema") && refusal.contains("kept"), "{refusal}");
}

#[test]
fn the_schemas_know_every_value_and_no_other() {
    fn compare(value: &Value, schema: &Value, path: &str) {
        let (Some(value), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
            return;
        };
        assert_eq!(schema["additionalProperties"], false, "{path}");
        // Its parts are maps of the user's own.
        if path == "/resources" {
            return;
        }
        let mut known: BTreeSet<&String> = known.keys().collect();
        // Helm's own, which no chart lists.
        known.remove(&"global".to_owned());
        assert_eq!(value.keys().collect::<BTreeSet<_>>(), known, "{path}");
        for (name, value) in value {
            compare(value, &schema["properties"][name], &format!("{path}/{name}"));
        }
    }
    for chart in [chart(), crds_chart()] {
        let values = objects(&fs::read_to_string(chart.join("values.yaml")).unwrap()).unwrap();
        let schema = fs::read_to_string(chart.join("values.schema.json")).unwrap();
        compare(&values[0], &serde_json::from_str(&schema).unwrap(), "");
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

/// The definitions that a chart renders to, without the annotations that make Helm and Argo CD keep
/// them, and whether every one of them or none had both.
fn definitions(chart: &Path, arguments: &[&str]) -> (Vec<Value>, bool) {
    let mut rendered = objects(&template_of(chart, "wk", arguments).unwrap()).unwrap();
    rendered.retain(|object| object["kind"] == "CustomResourceDefinition");
    let mut kept = BTreeSet::new();
    for definition in &mut rendered {
        let metadata = definition["metadata"].as_object_mut().unwrap();
        let annotations = metadata.entry("annotations").or_insert(json!({})).as_object_mut().unwrap();
        let marks = ["helm.sh/resource-policy", "argocd.argoproj.io/sync-options"];
        let marks = marks.map(|name| annotations.remove(name));
        assert!(
            [[None, None], [Some(json!("keep")), Some(json!("Prune=false"))]].contains(&marks),
            "{marks:?}"
        );
        kept.insert(marks[0].is_some());
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    assert_eq!(kept.len(), 1);
    (rendered, kept.contains(&true))
}

#[test]
fn both_charts_bring_the_generated_kinds_which_outlive_the_release_unless_told_otherwise() {
    let read = |path| objects(&fs::read_to_string(path).unwrap()).unwrap();
    let generated: Vec<Value> = crd_files().unwrap().into_iter().flat_map(read).collect();
    assert!(definitions(&chart(), &[]) == (generated.clone(), true));
    assert!(definitions(&chart(), &["--set=crds.keep=false"]) == (generated.clone(), false));
    assert!(definitions(&crds_chart(), &[]) == (generated.clone(), true));
    assert!(definitions(&crds_chart(), &["--set=keep=false"]) == (generated, false));
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
    for kind in ["PodDisruptionBudget", "ServiceMonitor", "PrometheusRule", "ConfigMap", "AnalyticsInstance"]
    {
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
    let instances = of_kind(&full, "AnalyticsInstance");
    assert_eq!(instances.len(), 1);
    let marks = &instances[0]["metadata"]["annotations"];
    assert_eq!(
        marks,
        &json!({"helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "Prune=false"})
    );
}

#[test]
fn the_installations_are_scraped_where_the_operator_serves_them() {
    let scraped = |scope: &[&str]| {
        let objects = render(&[scope, &["--set=metrics.serviceMonitor.enabled=true"]].concat());
        let monitors = of_kind(&objects, "ServiceMonitor");
        assert_eq!(monitors.len(), 2);
        // What both tell has a label namespace of its own, by which alerts name what they are about.
        for monitor in &monitors {
            assert_eq!(monitor["spec"]["endpoints"][0]["honorLabels"], true);
        }
        let monitor = monitors[1];
        monitor["spec"]["namespaceSelector"].clone()
    };
    assert_eq!(scraped(SCOPES[0]), json!({"any": true}));
    assert_eq!(scraped(SCOPES[1]), json!({"matchNames": ["shop", "blog"]}));
    assert_eq!(scraped(SCOPES[2]), Value::Null);
    let alone =
        ["--set=metrics.serviceMonitor.enabled=true", "--set=metrics.serviceMonitor.installations=false"];
    assert_eq!(of_kind(&render(&alone), "ServiceMonitor").len(), 1);
}

#[test]
fn the_alerts_come_as_they_are_written_with_links_to_where_the_runbooks_are() {
    let directory = chart().join("files/alerts");
    let rules = |url: &str| {
        let objects = render(&[
            "--set=metrics.prometheusRule.enabled=true",
            "--set=metrics.prometheusRule.labels.release=prometheus",
            url,
        ]);
        of_kind(&objects, "PrometheusRule").into_iter().cloned().collect::<Vec<_>>()
    };
    let plain = rules("--set=replicaCount=1");
    assert_eq!(plain.len(), 2);
    for rule in &plain {
        assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
        let name = rule["metadata"]["name"].as_str().unwrap().rsplit('-').next().unwrap();
        let written = fs::read_to_string(directory.join(format!("{name}.yaml"))).unwrap();
        assert_eq!(rule["spec"], objects(&written).unwrap()[0], "{name}");
    }
    let elsewhere = rules("--set=metrics.prometheusRule.runbookUrl=https://wiki.example/w");
    for (before, after) in plain.iter().zip(&elsewhere) {
        let mut moved = before.clone();
        for group in moved["spec"]["groups"].as_array_mut().unwrap() {
            for rule in group["rules"].as_array_mut().unwrap() {
                let annotations = rule["annotations"].as_object_mut().unwrap();
                let place = annotations.remove("runbook").unwrap();
                let (_, name) = place.as_str().unwrap().split_once('#').unwrap();
                annotations.insert("runbook_url".to_owned(), json!(format!("https://wiki.example/w#{name}")));
            }
        }
        assert_eq!(after, &moved);
    }
}

/// What a NetworkPolicy that closes a namespace for all of its pods, and opens nothing, has to say.
fn closed() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
}

fn policies(objects: &[Value]) -> Vec<Value> {
    of_kind(objects, "NetworkPolicy").into_iter().map(|policy| policy["spec"].clone()).collect()
}

#[test]
fn the_operators_namespace_is_closed_on_demand_beside_what_opens_the_operators_paths() {
    let open = policies(&render(&[]));
    assert_eq!(open.len(), 1);
    let both = render(&["--set=networkPolicy.defaultDeny=true"]);
    assert_eq!(policies(&both), [open[0].clone(), closed()]);
    let names: BTreeSet<_> = of_kind(&both, "NetworkPolicy")
        .into_iter()
        .map(|policy| {
            let metadata = &policy["metadata"];
            (metadata["namespace"].to_string(), metadata["name"].to_string())
        })
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|(namespace, _)| namespace == "\"wk\""), "{names:?}");
}

fn kustomized(directory: &Path) -> Vec<Value> {
    let kubectl = paths::built("kubernetes").unwrap().join("kubectl");
    objects(&succeed(Command::new(kubectl).arg("kustomize").arg(directory)).unwrap()).unwrap()
}

#[test]
fn the_component_default_deny_closes_the_namespace_of_any_overlay() {
    let workspace = paths::workspace();
    for (overlay, namespace) in [("cluster", "watchkeeper-system"), ("namespaced", "elsewhere")] {
        let before = kustomized(&workspace.join("kustomize/overlays").join(overlay));
        let directory = RunDir::new("closed").unwrap();
        let up = "../".repeat(directory.path().canonicalize().unwrap().components().count() - 1);
        let up = format!("{up}{}", workspace.strip_prefix("/").unwrap().display());
        let text = json!({"namespace": namespace, "resources": [format!("{up}/kustomize/overlays/{overlay}")],
            "components": [format!("{up}/kustomize/components/default-deny")]});
        fs::write(directory.path().join("kustomization.yaml"), text.to_string()).unwrap();
        let after = kustomized(directory.path());
        assert_eq!(after.len(), before.len() + 1);
        assert_eq!(policies(&before).len(), 1);
        let found = policies(&after);
        assert!(found.len() == 2 && found.contains(&policies(&before)[0]) && found.contains(&closed()));
        for policy in of_kind(&after, "NetworkPolicy") {
            assert_eq!(policy["metadata"]["namespace"], namespace, "{overlay}");
        }
    }
}

#[test]
fn the_dashboards_come_where_grafanas_sidecar_looks() {
    let objects = render(&[
        "--set=metrics.dashboards.enabled=true",
        "--set=metrics.dashboards.annotations.grafana_folder=Watchkeeper",
    ]);
    let maps = of_kind(&objects, "ConfigMap");
    assert_eq!(maps.len(), 2);
    for map in maps {
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(map["metadata"]["annotations"]["grafana_folder"], "Watchkeeper");
        let data = map["data"].as_object().unwrap();
        let (file, text) = data.iter().next().unwrap();
        let written = chart().join("files/dashboards").join(file.strip_prefix("watchkeeper-").unwrap());
        let written = fs::read_to_string(written).unwrap();
        assert_eq!(text.as_str().unwrap().trim(), written.trim(), "{file}");
    }
}

#[test]
fn the_overlay_monitoring_scrapes_alerts_and_shows_as_the_chart_does() {
    let kustomized = kustomized(&paths::workspace().join("kustomize/overlays/monitoring"));
    let rendered = render(&[
        "--set=metrics.serviceMonitor.enabled=true",
        "--set=metrics.prometheusRule.enabled=true",
        "--set=metrics.dashboards.enabled=true",
    ]);
    let named = |objects: &[Value], kind: &str, name: &str| {
        let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{kind} {name}")).clone()
    };
    for (kind, name, part) in [
        ("PrometheusRule", "watchkeeper-operator-operator", "spec"),
        ("PrometheusRule", "watchkeeper-operator-installation", "spec"),
        ("ServiceMonitor", "watchkeeper-operator-installations", "spec"),
        ("ConfigMap", "watchkeeper-operator-dashboard-operator", "data"),
        ("ConfigMap", "watchkeeper-operator-dashboard-installation", "data"),
    ] {
        let [ours, charts] = [&kustomized, &rendered].map(|objects| named(objects, kind, name)[part].clone());
        assert_eq!(ours, charts, "{kind} {name}");
    }
    let map = named(&kustomized, "ConfigMap", "watchkeeper-operator-dashboard-operator");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    // The Service's labels differ; the ServiceMonitor must find it by those that it has.
    let monitor = named(&kustomized, "ServiceMonitor", "watchkeeper-operator");
    let service = named(&kustomized, "Service", "watchkeeper-operator-metrics");
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value);
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    let charts = named(&rendered, "ServiceMonitor", "watchkeeper-operator");
    assert_eq!(monitor["spec"]["endpoints"], charts["spec"]["endpoints"]);
}

/// What an annotation of the chart, whose value is YAML, holds.
fn annotation(name: &str) -> Vec<Value> {
    let about = objects(&fs::read_to_string(chart().join("Chart.yaml")).unwrap()).unwrap();
    let text = about[0]["annotations"][name].as_str().unwrap();
    objects(text).unwrap()[0].as_array().unwrap().clone()
}

#[test]
fn the_catalogue_is_told_of_every_kind_with_the_samples_as_examples() {
    let files = crd_files().unwrap().into_iter();
    let generated: BTreeSet<String> = files
        .map(|path| objects(&fs::read_to_string(path).unwrap()).unwrap()[0].clone())
        .map(|crd| format!("{} {}", crd["metadata"]["name"], crd["spec"]["names"]["kind"]))
        .collect();
    let told = annotation("artifacthub.io/crds");
    let told: BTreeSet<String> = told.iter().map(|crd| format!("{} {}", crd["name"], crd["kind"])).collect();
    assert_eq!(told, generated);
    for example in annotation("artifacthub.io/crdsExamples") {
        let file = format!("crds/samples/{}.yaml", example["kind"].as_str().unwrap().to_lowercase());
        let sample = objects(&fs::read_to_string(paths::workspace().join(file)).unwrap()).unwrap();
        assert_eq!(example, sample[0]);
    }
}

#[test]
fn the_readmes_explain_every_value() {
    fn paths_of(value: &Value, path: &str, all: &mut Vec<String>) {
        // Maps of the user's own.
        let open = ["resources", "metrics.dashboards.labels"].contains(&path);
        match value {
            Value::Object(fields) if !fields.is_empty() && !open => {
                for (name, field) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    paths_of(field, &path, all);
                }
            }
            _ => all.push(path.to_owned()),
        }
    }
    for chart in [chart(), crds_chart()] {
        let values = objects(&fs::read_to_string(chart.join("values.yaml")).unwrap()).unwrap();
        let readme = fs::read_to_string(chart.join("README.md")).unwrap();
        let mut all = Vec::new();
        paths_of(&values[0], "", &mut all);
        let missing: Vec<_> = all.iter().filter(|path| !readme.contains(&format!("| `{path}` |"))).collect();
        assert!(!all.is_empty() && missing.is_empty(), "{missing:?}");
    }
}
