//! A real Prometheus, configured as the README says, beside a cluster.
//!
//! Debian builds it without the discovery of Kubernetes. So the test has one, which gives the same
//! labels of the same Endpoints; what is done with them is up to the README's rules.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use watchkeeper_e2e::prometheus::Prometheus;
use watchkeeper_testkit::helm::{chart, objects, succeed};
use watchkeeper_testkit::paths;
use watchkeeper_testkit::rundir::RunDir;

use crate::harness::{OPERATOR_NAMESPACE, World, install};

/// How often everything is scraped before it is judged.
const OFTEN: f64 = 15.0;

/// The scrape configuration that the README shows for Kubernetes.
fn shown() -> Result<Value> {
    let readme = fs::read_to_string(paths::workspace().join("README.md"))?;
    let start = readme.find("scrape_configs:\n").context("no scrape_configs in the README")?;
    let (block, _) = readme[start..].split_once("```").context("no end of scrape_configs")?;
    let mut shown = objects(block)?.remove(0);
    let jobs = shown["scrape_configs"].as_array_mut().context("no jobs")?;
    let in_cluster = jobs.iter().position(|job| job["kubernetes_sd_configs"].is_array());
    Ok(jobs.remove(in_cluster.context("no job for Kubernetes")?))
}

/// The shipped rules, each of which speaks as soon as it is true, and the names of the alerts.
fn impatient(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(chart().join("files/alerts"))? {
        let path = entry?.path();
        let mut file = objects(&fs::read_to_string(&path)?)?.remove(0);
        let groups = file["groups"].as_array_mut().context("no groups")?;
        for rule in groups.iter_mut().filter_map(|group| group["rules"].as_array_mut()).flatten() {
            rule["for"] = json!("0s");
            names.push(rule["alert"].as_str().context("no alert")?.to_owned());
        }
        let name = path.file_name().context("no name")?;
        fs::write(directory.join(name), file.to_string())?;
    }
    names.sort();
    Ok(names)
}

/// The targets of the role `endpoints`: each port of each address behind each Service.
#[allow(deprecated, reason = "of which the role's documented meaning is")]
async fn discover(client: &Client) -> Result<Vec<Value>> {
    let all = ListParams::default();
    let endpoints = Api::<Endpoints>::all(client.clone()).list(&all).await?;
    let services = Api::<Service>::all(client.clone()).list(&all).await?;
    let mut found = Vec::new();
    for endpoints in endpoints {
        let (namespace, name) = (endpoints.namespace().unwrap_or_default(), endpoints.name_any());
        let mut labels = Map::new();
        labels.insert("__meta_kubernetes_namespace".to_owned(), json!(namespace));
        let of_service = |service: &&Service| {
            service.name_any() == name && service.namespace().as_ref() == Some(&namespace)
        };
        if let Some(service) = services.iter().find(of_service) {
            labels.insert("__meta_kubernetes_service_name".to_owned(), json!(name));
            for (label, value) in service.labels() {
                let label = label.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
                labels.insert(format!("__meta_kubernetes_service_label_{label}"), json!(value));
            }
        }
        for subset in endpoints.subsets.unwrap_or_default() {
            let addresses = [subset.addresses, subset.not_ready_addresses].into_iter().flatten().flatten();
            let addresses: Vec<_> = addresses.map(|address| address.ip).collect();
            for port in subset.ports.unwrap_or_default() {
                let mut labels = labels.clone();
                labels.insert("__meta_kubernetes_endpoint_port_name".to_owned(), json!(port.name));
                let targets = addresses.iter().map(|ip| format!("{ip}:{}", port.port)).collect::<Vec<_>>();
                found.push(json!({"targets": targets, "labels": labels}));
            }
        }
    }
    Ok(found)
}

/// Answers Prometheus with the targets as they are, and gives the address to ask.
async fn discovery(client: Client) -> Result<String> {
    let answer = async |State(client): State<Client>| {
        discover(&client).await.map(Json).map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = axum::serve(listener, Router::new().route("/", get(answer)).with_state(client));
    tokio::spawn(server.into_future());
    Ok(format!("http://{address}/"))
}

/// A Prometheus that differs from the shown one in whom it asks for targets and how often.
async fn start(world: &World, rules: &Path) -> Result<Prometheus> {
    let mut job = shown()?;
    let places = job.as_object_mut().and_then(|job| job.remove("kubernetes_sd_configs"));
    ensure!(places == Some(json!([{"role": "endpoints"}])), "{places:?}");
    let discovery = discovery(world.client.clone()).await?;
    job["http_sd_configs"] = json!([{"url": discovery, "refresh_interval": "1s"}]);
    let configuration = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules.join("*.yaml")],
        "scrape_configs": [job],
    });
    Prometheus::start(&configuration)
}

/// How many targets of each Service are up, as `namespace/name`. One that is not counts as `down: …`.
fn targets(prometheus: &Prometheus) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    for target in
        prometheus.get("/api/v1/targets?state=active")?["activeTargets"].as_array().into_iter().flatten()
    {
        let label = |name: &str| target["discoveredLabels"][name].as_str().unwrap_or_default();
        let service =
            [label("__meta_kubernetes_namespace"), label("__meta_kubernetes_service_name")].join("/");
        let name = match target["health"].as_str() {
            Some("up") => service,
            _ => format!("down: {service} {}", target["lastError"]),
        };
        *found.entry(name).or_default() += 1;
    }
    Ok(found)
}

/// What is alerted now: names with what tells one of a name from another.
fn alerts(prometheus: &Prometheus) -> Result<Vec<String>> {
    let data = prometheus.get("/api/v1/alerts")?;
    let all = data["alerts"].as_array().cloned().unwrap_or_default();
    let text = |alert: &Value, label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = all
        .iter()
        .map(|alert| ["alertname", "installation", "missing"].map(|label| text(alert, label)).join(" "))
        .map(|alert| alert.trim_end().to_owned())
        .collect();
    all.sort();
    all.dedup();
    Ok(all)
}

// The discovery answers while the test waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_scrapes_every_component_is_silent_while_all_is_well_and_speaks_when_one_is_gone() {
    let world = World::alone("scrape").await.unwrap();
    install(&world.cluster, OPERATOR_NAMESPACE, &["--set=replicaCount=2"]).unwrap();
    world.instance("shop", json!({})).await.unwrap();
    let rules = RunDir::new("rules").unwrap();
    let names = impatient(rules.path()).unwrap();
    let prometheus = start(&world, rules.path()).await.unwrap();

    // Everything answers, and nothing else is asked.
    let services = ["shop-api", "shop-checker", "shop-logger"];
    let mut expected: BTreeMap<_, _> =
        services.map(|service| (format!("{}/{service}", world.namespace), 1)).into();
    expected.insert(format!("{OPERATOR_NAMESPACE}/watchkeeper-operator-metrics"), 2);
    world
        .until("every target is up", async || Ok((targets(&prometheus)? == expected).then_some(())))
        .await
        .map_err(|error| error.context(format!("{:#?}", targets(&prometheus))))
        .unwrap();

    // The rules are those that ship, and all of them could be asked.
    let loaded = prometheus.get("/api/v1/rules").unwrap();
    let groups = loaded["groups"].as_array().unwrap();
    let loaded: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    let mut known: Vec<_> = loaded.iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect();
    known.sort();
    assert_eq!(known, names);

    // Silence counts once everything has been looked at for a while.
    let often = format!("min(sum_over_time(up[5m])) >= {OFTEN}");
    world
        .until("everything was scraped often", async || {
            Ok((!prometheus.query(&often)?.is_empty()).then_some(()))
        })
        .await
        .unwrap();
    let loaded = prometheus.get("/api/v1/rules").unwrap().to_string();
    assert!(!loaded.contains(r#""lastError""#), "{loaded}");
    assert_eq!(prometheus.query("ALERTS").unwrap(), Vec::<Value>::new());
    assert_eq!(alerts(&prometheus).unwrap(), Vec::<String>::new());

    // Nobody mends what goes away.
    let scale = |namespace: &str, workload: &str, replicas: &str| {
        let mut kubectl = world.cluster.kubectl();
        succeed(kubectl.args(["scale", "--namespace", namespace, workload, "--replicas", replicas])).unwrap();
    };
    let operator = "deployment/watchkeeper-operator";
    scale(OPERATOR_NAMESPACE, operator, "0");
    let wait = async |wanted: &[&str]| {
        let mut wanted: Vec<_> = wanted.iter().map(|&name| name.to_owned()).collect();
        wanted.sort();
        world
            .until(&format!("alerted is {wanted:?}"), async || {
                Ok((alerts(&prometheus)? == wanted).then_some(()))
            })
            .await
            .map_err(|error| error.context(format!("{:?}", alerts(&prometheus))))
            .unwrap();
    };
    wait(&["WatchkeeperOperatorDown"]).await;
    let missing = format!("WatchkeeperComponentMissing {}/shop logger", world.namespace);
    scale(&world.namespace, "deployment/shop-logger", "0");
    wait(&["WatchkeeperOperatorDown", &missing]).await;

    // The operator sees to the rest, and it is silent again.
    scale(OPERATOR_NAMESPACE, operator, "2");
    wait(&[]).await;
}
