//! Alerts and dashboards: each alert fires when it should and not when it nearly should, and all of
//! them ask for metrics that really exist.
#![allow(clippy::unwrap_used)]

#[path = "alerts/objectives.rs"]
mod objectives;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchkeeper_e2e::prometheus::Prometheus;
use watchkeeper_e2e::upstream::{Upstream, row};
use watchkeeper_e2e::{promql, promtool};
use watchkeeper_operator::Options;
use watchkeeper_operator::context::Settings;
use watchkeeper_operator::health::Health;
use watchkeeper_operator::metrics::Metrics;
use watchkeeper_operator::run::Scope;
use watchkeeper_testkit::cluster::ControlPlane;
use watchkeeper_testkit::helm::{chart, objects, succeed};
use watchkeeper_testkit::operator::Operator;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::watchkeeper::Watchkeeper;
use watchkeeper_testkit::{paths, wait};

const LIMIT: Duration = Duration::from_secs(60);

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(chart().join("files").join(directory)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{directory}");
    files
}

fn yaml(path: &Path) -> Value {
    objects(&fs::read_to_string(path).unwrap()).unwrap().remove(0)
}

/// Every alert by its name, in the order of its file.
fn alerts_of(file: &Path) -> Vec<(String, Value)> {
    let rules = yaml(file);
    let groups = rules["groups"].as_array().unwrap();
    let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    all.map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule)).collect()
}

fn all_alerts() -> Vec<(String, Value)> {
    files("alerts").iter().flat_map(|file| alerts_of(file)).collect()
}

fn cases_of(file: &Path) -> Value {
    yaml(&paths::workspace().join("e2e/tests/alerts").join(file.file_name().unwrap()))
}

/// One test of `promtool test rules`: these series make this alert, or none.
fn rule_test(name: &str, case: &Value, expected: Value) -> Value {
    let series = case["series"].as_object().unwrap().iter();
    let series: Vec<Value> =
        series.map(|(series, values)| json!({"series": series, "values": values})).collect();
    json!({
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [{"eval_time": case["at"], "alertname": name, "exp_alerts": expected}],
    })
}

/// What the alert must look like when it fires: labels and summary as the case says, the rest as
/// the rule says.
fn fired(rule: &Value, case: &Value) -> Value {
    let mut labels = case["labels"].as_object().unwrap().clone();
    labels.insert("severity".to_owned(), rule["labels"]["severity"].clone());
    let mut annotations = rule["annotations"].as_object().unwrap().clone();
    annotations.insert("summary".to_owned(), case["summary"].clone());
    json!([{"exp_labels": labels, "exp_annotations": annotations}])
}

fn run_rule_tests(rules: &Path, tests: &[Value]) -> (bool, String) {
    let directory = RunDir::new("rules").unwrap();
    let file = directory.path().join("tests.yaml");
    let text = json!({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests});
    fs::write(&file, text.to_string()).unwrap();
    promtool::test_rules(&file).unwrap()
}

#[test]
fn promtool_accepts_the_alerts_and_their_names_are_unique() {
    let (good, said) = promtool::check_rules(files("alerts")).unwrap();
    assert!(good, "{said}");
    let names: Vec<String> = all_alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}

#[test]
fn every_alert_fires_when_it_should_and_is_quiet_when_it_nearly_should() {
    for file in files("alerts") {
        let (alerts, cases) = (alerts_of(&file), cases_of(&file));
        let tested: BTreeSet<&String> = cases.as_object().unwrap().keys().collect();
        assert_eq!(alerts.iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), tested);
        let both = |(name, rule): &(String, Value)| {
            let case = &cases[name];
            let fires = rule_test(name, &case["fires"], fired(rule, &case["fires"]));
            [fires, rule_test(name, &case["quiet"], json!([]))]
        };
        let (good, said) = run_rule_tests(&file, &alerts.iter().flat_map(both).collect::<Vec<_>>());
        assert!(good, "{said}");
    }
}

#[test]
fn a_rule_test_that_expects_the_opposite_fails() {
    let file = &files("alerts")[0];
    let (name, rule) = alerts_of(file).remove(0);
    let case = &cases_of(file)[&name];
    for wrong in [
        rule_test(&name, &case["fires"], json!([])),
        rule_test(&name, &case["quiet"], fired(&rule, &case["fires"])),
    ] {
        let (good, said) = run_rule_tests(file, &[wrong]);
        assert!(!good && said.contains(&name), "{said}");
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let runbooks = fs::read_to_string(paths::workspace().join("docs/runbooks.md")).unwrap();
    let mut paragraphs = BTreeMap::new();
    for part in runbooks.split("\n### ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap();
        let text = text.split("\n## ").next().unwrap().trim();
        assert!(paragraphs.insert(name.to_owned(), text.len()).is_none(), "{name} twice");
    }
    for (name, rule) in all_alerts().into_iter().chain(objectives::alerts()) {
        let length = paragraphs.remove(&name).unwrap_or_default();
        assert!(length > 100, "{name} has {length} characters in docs/runbooks.md");
        let place = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook"], place.as_str());
        // No address is known at which everybody could read it.
        assert_eq!(rule["annotations"]["runbook_url"], Value::Null);
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
    }
    assert!(paragraphs.is_empty(), "of no alert: {paragraphs:?}");
}

/// Panels that ask Prometheus, rows and their panels alike.
fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

/// Every expression in a dashboard, with where it stands.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap().to_owned();
            all.push((format!("{} / {}", dashboard["title"], panel["title"]), expression));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            all.push((format!("{} / variable {}", dashboard["title"], variable["name"]), query.to_owned()));
        }
    }
    all
}

fn dashboards() -> Vec<Value> {
    let read = |file: &PathBuf| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    files("dashboards").iter().map(read).collect()
}

#[test]
fn dashboards_can_be_shown_by_any_grafana() {
    let mut rules = Vec::new();
    for dashboard in dashboards() {
        assert!(dashboard["uid"].as_str().unwrap().starts_with("watchkeeper-"));
        // With a number, Grafana takes it for one of its own database.
        assert!(dashboard.get("id").is_none());
        let all = dashboard["panels"].as_array().unwrap();
        let numbers: BTreeSet<u64> = all.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), all.len(), "{}", dashboard["title"]);
        for panel in panels(&dashboard) {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{}", panel["title"]);
        }
        for (place, expression) in expressions(&dashboard) {
            if !expression.starts_with("label_values(") {
                let expression = expression.replace("$__rate_interval", "5m");
                rules.push(json!({"record": format!("r{}", rules.len()), "expr": expression, "labels": {"place": place}}));
            }
        }
    }
    // promtool reads expressions in rules only.
    let directory = RunDir::new("dashboards").unwrap();
    let file = directory.path().join("rules.yaml");
    fs::write(&file, json!({"groups": [{"name": "dashboards", "rules": rules}]}).to_string()).unwrap();
    let (good, said) = promtool::check_rules([&file]).unwrap();
    assert!(good, "{said}");
}

/// The product, with one endpoint that answers and one that does not, after everything that it counts
/// has happened.
async fn busy_product() -> (Watchkeeper, RunDir) {
    let manifests = RunDir::new("alerts").unwrap();
    let endpoint = |name: &str, url: &str| {
        let manifest = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "MonitoredEndpoint",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"instanceRef": {"name": "local"}, "interval": "1s", "timeout": "1s", "http": {"url": url}}});
        fs::write(manifests.path().join(format!("{name}.yaml")), manifest.to_string()).unwrap();
    };
    endpoint("nobody", "http://127.0.0.1:1/");
    // On Postgres, where there is a spool too.
    let database = Postgres::shared().unwrap().database().unwrap();
    let server = Watchkeeper::local().manifest(manifests.path()).database(&database).start().unwrap();
    endpoint("itself", &format!("{}/api/health", server.base_url()));
    let upstream = Upstream::new(server.base_url()).unwrap();
    let key = upstream.generate().await.unwrap();
    // One value of the second row makes no sense and is repaired.
    let mut odd = row("/odd", &Timestamp::now().to_string());
    odd["ip_address"] = json!("nowhere");
    let rows = [row("/", &Timestamp::now().to_string()), odd];
    assert!(upstream.post(&key, "FastAPI", &rows).await.unwrap().is_success());
    assert!(upstream.post(&key, "unheard of", &rows).await.unwrap().is_client_error());
    // Somebody looks at it.
    assert!(upstream.get("/").send().await.unwrap().status().is_success());
    wait::until("both endpoints are checked", LIMIT, || {
        let checks = server.metrics()?.matches("\nprobe_success{").count();
        Ok((checks == 2).then_some(()))
    })
    .unwrap();
    (server, manifests)
}

/// An operator after everything that it counts has happened, but for refused watches.
async fn busy_operator() -> Operator {
    let cluster = ControlPlane::shared().unwrap();
    let namespace = cluster.namespace("alerts").await.unwrap();
    let kubectl = |arguments: &[&str]| succeed(cluster.kubectl().args(["-n", &namespace]).args(arguments));
    let operator = Operator::of(cluster, &namespace, None).unwrap();
    // Nobody is there, which it counts too.
    let operator = operator.arg("--api-url-override=http://127.0.0.1:9").start().unwrap();
    for sample in fs::read_dir(paths::workspace().join("crds/samples")).unwrap() {
        kubectl(&["apply", "-f", sample.unwrap().path().to_str().unwrap()]).unwrap();
    }
    let deployments = || kubectl(&["get", "deployments", "-o", "name"]);
    let deployment =
        wait::until("there is a deployment", LIMIT, || Ok(deployments()?.lines().next().map(str::to_owned)))
            .unwrap();
    let drift = [r#"--patch={"spec":{"replicas":7}}"#, "--type=merge"];
    kubectl(&["patch", &deployment, drift[0], drift[1]]).unwrap();
    let seen = wait::until("drift was seen and the API was called in vain", LIMIT, || {
        let metrics = operator.metrics()?;
        let counted = ["drift_corrections_total{", "api_calls_total{", "reconcile_errors_total{"];
        let seen = counted.iter().all(|name| metrics.contains(&format!("watchkeeper_operator_{name}")));
        Ok(seen.then_some(()))
    });
    seen.unwrap_or_else(|error| panic!("{error}\n{}", operator.metrics().unwrap()));
    operator
}

/// What an operator says that may not watch anything, and so never gets ready.
async fn metrics_of_a_powerless_operator() -> String {
    let cluster = ControlPlane::shared().unwrap();
    let namespace = cluster.namespace("alerts").await.unwrap();
    let client = cluster.client_as_service_account(&namespace, "nobody").await.unwrap();
    let (metrics, stop) = (Arc::new(Metrics::new().unwrap()), CancellationToken::new());
    let options = Options { scope: Scope::List(vec![namespace]), lease: None, settings: Settings::default() };
    let running = tokio::spawn(watchkeeper_operator::run(
        client,
        options,
        metrics.clone(),
        Health::default(),
        stop.clone(),
    ));
    let refused = wait::until_async("its watches are refused", LIMIT, async || {
        let text = metrics.render()?;
        Ok(text.contains("watchkeeper_operator_watch_errors_total{").then_some(text))
    })
    .await;
    stop.cancel();
    running.await.unwrap().unwrap();
    refused.unwrap()
}

#[tokio::test]
async fn alerts_and_dashboards_ask_only_for_metrics_that_exist() {
    let ((product, _manifests), operator) = (busy_product().await, busy_operator().await);
    let scraped =
        [product.metrics().unwrap(), operator.metrics().unwrap(), metrics_of_a_powerless_operator().await];
    let exposed: BTreeSet<String> = scraped.iter().flat_map(|text| promql::exposed(text)).collect();
    let mut asked: Vec<(String, String)> = dashboards().iter().flat_map(expressions).collect();
    let alerts = all_alerts().into_iter();
    asked.extend(alerts.map(|(name, rule)| (name, rule["expr"].as_str().unwrap().to_owned())));
    let mut used = BTreeSet::new();
    for (place, expression) in asked {
        let names = promql::metrics(&expression);
        assert!(!names.is_empty(), "{place}: {expression}");
        for name in &names {
            assert!(exposed.contains(name), "{place} asks for {name}, which nobody exposes");
        }
        used.extend(names);
    }
    // The other way round: nothing of ours is left unseen.
    let family = |name: &String| {
        let short = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        short.unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<String> = used.iter().map(family).collect();
    let ours = exposed.iter().filter(|name| name.starts_with("watchkeeper_") || name.starts_with("probe_"));
    let hidden: BTreeSet<String> = ours.map(family).filter(|name| !shown.contains(name)).collect();
    assert!(hidden.is_empty(), "in no dashboard and no alert: {hidden:?}");
}

#[test]
fn promtool_accepts_the_configuration_of_the_readme() {
    let root = paths::workspace();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split("\n## Scrape it with Prometheus\n").nth(1).unwrap();
    let example = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = RunDir::new("readme").unwrap();
    let file = directory.path().join("prometheus.yaml");
    let discovery = "kubernetes_sd_configs: [{role: endpoints}]";
    assert!(example.contains(discovery));
    // Debian builds Prometheus without that way of finding targets.
    let example = example
        .replace(discovery, "static_configs: []")
        .replace("[charts/", &format!("[{}/charts/", root.display()));
    fs::write(&file, &example).unwrap();
    let (good, said) = promtool::check_config(&file).unwrap();
    assert!(good && said.contains("2 rule files found"), "{said}");
    fs::write(&file, example.replace("honor_labels", "honour_labels")).unwrap();
    assert!(!promtool::check_config(&file).unwrap().0);
}

/// Panels about what did not happen in the test.
const EMPTY: [&str; 2] = ["Errors", "Errors of watches"];

#[tokio::test]
async fn a_real_prometheus_sees_the_outage_and_fills_the_dashboards() {
    let ((product, _manifests), operator) = (busy_product().await, busy_operator().await);
    let target = |url: String| url.strip_prefix("http://").unwrap().to_owned();
    let prometheus = Prometheus::start(&json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [chart().join("files/alerts/*.yaml")],
        "scrape_configs": [
            {"job_name": "shop", "honor_labels": true, "static_configs":
                [{"targets": [target(product.metrics_url())], "labels": {"installation": "apps/shop"}}]},
            {"job_name": "operator", "static_configs":
                [{"targets": [target(operator.metrics_url())], "labels": {"namespace": "watchkeeper"}}]},
        ],
    }))
    .unwrap();

    let pending = r#"ALERTS{alertname="WatchkeeperEndpointDown"}"#;
    let alerts = wait::until("the outage is seen", LIMIT, || {
        Ok(Some(prometheus.query(pending)?).filter(|alerts| !alerts.is_empty()))
    })
    .unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let labels = &alerts[0]["metric"];
    for (name, value) in [("installation", "apps/shop"), ("namespace", "default"), ("endpoint", "nobody")] {
        assert_eq!(labels[name], value, "{labels}");
    }

    for (place, expression) in dashboards().iter().flat_map(expressions) {
        if expression.starts_with("label_values(")
            || EMPTY.iter().any(|panel| place.ends_with(&format!("\"{panel}\"")))
        {
            continue;
        }
        let mut expression = expression.replace("$__rate_interval", "1m");
        for variable in ["$installation", "$namespace", "$job"] {
            expression = expression.replace(variable, ".*");
        }
        wait::until(&format!("{place} shows something: {expression}"), LIMIT, || {
            Ok((!prometheus.query(&expression)?.is_empty()).then_some(()))
        })
        .unwrap();
    }

    let groups = prometheus.get("/api/v1/rules").unwrap();
    let rules: Vec<&Value> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert_eq!(rules.len(), all_alerts().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}
