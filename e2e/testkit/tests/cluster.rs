//! The control plane of the test kit.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use watchkeeper_testkit::cluster::{ControlPlane, crd_files};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::wait;

const LIMIT: Duration = Duration::from_secs(30);

async fn shared() -> (&'static ControlPlane, Client) {
    let cluster = ControlPlane::shared().unwrap();
    (cluster, cluster.client().await.unwrap())
}

fn named(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    ConfigMap { metadata, ..Default::default() }
}

#[tokio::test]
async fn each_test_gets_a_namespace_and_its_controllers_work() {
    let (cluster, client) = shared().await;
    let (first, second) = (cluster.namespace("kit").await.unwrap(), cluster.namespace("kit").await.unwrap());
    assert_ne!(first, second);
    let accounts: Api<ServiceAccount> = Api::namespaced(client, &first);
    wait::until_async("the service account", LIMIT, async || Ok(accounts.get_opt("default").await?))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_an_object_owns_goes_with_it() {
    let (cluster, client) = shared().await;
    let api: Api<ConfigMap> = Api::namespaced(client, &cluster.namespace("gc").await.unwrap());
    let owner = api.create(&PostParams::default(), &named("owner")).await.unwrap();
    let mut child = named("child");
    child.metadata.owner_references =
        Some(vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name: "owner".into(),
            uid: owner.metadata.uid.unwrap(),
            ..Default::default()
        }]);
    api.create(&PostParams::default(), &child).await.unwrap();
    api.delete("owner", &DeleteParams::default()).await.unwrap();
    let gone = async || Ok(api.get_opt("child").await?.is_none().then_some(()));
    wait::until_async("the child goes", LIMIT, gone).await.unwrap();
}

#[tokio::test]
async fn a_service_account_may_do_nothing_by_itself_and_the_log_says_who_asked() {
    let (cluster, _) = shared().await;
    let namespace = cluster.namespace("rbac").await.unwrap();
    let nobody = cluster.client_as_service_account(&namespace, "nobody").await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(nobody, &namespace);
    let refused = api.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");

    let name = format!("system:serviceaccount:{namespace}:nobody");
    let requests = cluster.requests().unwrap();
    let request = requests.iter().find(|request| request.username() == name).unwrap();
    assert_eq!((request.verb.as_str(), request.code(), request.is_write()), ("list", 403, false));
    assert_eq!(request.object_ref.as_ref().unwrap().resource, "configmaps");
}

#[tokio::test]
async fn a_privileged_pod_is_refused() {
    let (cluster, client) = shared().await;
    let api: Api<Pod> = Api::namespaced(client, &cluster.namespace("pss").await.unwrap());
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "c", "image": "none", "securityContext": {"privileged": true}}]},
    }))
    .unwrap();
    let refused = api.create(&PostParams::default(), &pod).await.unwrap_err().to_string();
    assert!(refused.contains("PodSecurity"), "{refused}");
}

#[tokio::test]
async fn kubectl_is_of_the_servers_version_and_the_kinds_are_there() {
    let (cluster, _) = shared().await;
    let output = cluster.kubectl().args(["version", "-o", "json"]).output().unwrap();
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(version["serverVersion"]["gitVersion"], version["clientVersion"]["gitVersion"], "{version}");
    let output = cluster.kubectl().args(["get", "crd", "-o", "name"]).output().unwrap();
    let kinds = String::from_utf8(output.stdout).unwrap();
    assert_eq!(kinds.lines().count(), crd_files().unwrap().len(), "{kinds}");
}

#[tokio::test]
async fn a_kubeconfig_can_be_had_that_is_worth_no_more_than_a_service_account() {
    let (cluster, _) = shared().await;
    let namespace = cluster.namespace("kubeconfig").await.unwrap();
    let directory = RunDir::new("kubeconfig-test").unwrap();
    let path = directory.path().join("kubeconfig");
    cluster.kubeconfig_as_service_account(&path, &namespace, "runner").unwrap();
    let output = cluster.kubectl().env("KUBECONFIG", &path).args(["auth", "whoami", "-o", "json"]).output();
    let who: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let name = format!("system:serviceaccount:{namespace}:runner");
    assert_eq!(who["status"]["userInfo"]["username"], name.as_str(), "{who}");
    let output = cluster.kubectl().env("KUBECONFIG", &path).args(["get", "secrets"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is forbidden"), "{output:?}");
}
