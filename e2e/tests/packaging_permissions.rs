//! The operator with what the chart grants it and nothing else, on a real API server.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use watchkeeper_testkit::cluster::ControlPlane;
use watchkeeper_testkit::helm::{chart, helm, succeed};
use watchkeeper_testkit::operator::Operator;
use watchkeeper_testkit::{paths, wait};

const LIMIT: Duration = Duration::from_secs(60);
const OURS: &str = "app.kubernetes.io/managed-by=watchkeeper-operator";

/// Installs the chart in a scope, runs the operator as the chart's service account, lets it build
/// and take down the sample installation, and gives what it was refused meanwhile.
async fn refused(cluster: &ControlPlane, scope: &str, serving: Option<&str>) -> Vec<String> {
    let namespace = cluster.namespace("permissions").await.unwrap();
    let scope = format!("--set=rbac.scope={scope}");
    let mut install = helm().unwrap();
    cluster.aim(&mut install);
    install.args(["install", "watchkeeper"]).arg(chart());
    succeed(install.args(["-n", &namespace, "--set=crds.install=false", &scope])).unwrap();

    let kubectl = |arguments: &[&str]| succeed(cluster.kubectl().args(["-n", &namespace]).args(arguments));
    let operator = Operator::of(cluster, &namespace, Some("watchkeeper-operator")).unwrap();
    let operator = operator.serving(serving.unwrap_or(&namespace)).start().unwrap();
    for sample in fs::read_dir(paths::workspace().join("crds/samples")).unwrap() {
        kubectl(&["apply", "-f", sample.unwrap().path().to_str().unwrap()]).unwrap();
    }
    let told = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].reason}";
    wait::until("the operator tells what it does", LIMIT, || {
        let said = kubectl(&["get", "wki", "-o", told])?;
        let children = kubectl(&["get", "deployments,statefulsets", "-l", OURS, "-o", "name"])?;
        // Logger, API, checker and the database.
        Ok((!said.is_empty() && children.lines().count() == 4).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", fs::read_to_string(operator.log()).unwrap()));
    kubectl(&["delete", "wki,wke", "--all", "--timeout=60s"]).unwrap();
    assert!(operator.stop().unwrap(), "{}", fs::read_to_string(operator.log()).unwrap());

    let user = format!("system:serviceaccount:{namespace}:watchkeeper-operator");
    let requests = cluster.requests().unwrap().into_iter().filter(|request| request.username() == user);
    let requests: Vec<_> = requests.collect();
    assert!(requests.iter().any(|request| request.is_write() && request.code() < 300));
    let refused = requests.into_iter().filter(|request| request.code() == 403);
    refused.map(|request| format!("{} {}", request.verb, request.uri)).collect()
}

#[tokio::test]
async fn one_namespaces_role_is_enough_to_run_an_installation_there() {
    let cluster = ControlPlane::shared().unwrap();
    assert_eq!(refused(cluster, "namespace", None).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_cluster_role_is_enough_to_serve_every_namespace() {
    // Its own, since it serves the namespaces of everybody.
    let cluster = ControlPlane::start().unwrap();
    assert_eq!(refused(&cluster, "cluster", Some("all")).await, Vec::<String>::new());
}
