//! Kinds of other projects, by the definitions that those projects publish.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client, ResourceExt};
use watchkeeper_testkit::paths;

/// What the operator writes or reads.
pub const FILES: [&str; 4] = [
    "gateway-api/gateway.networking.k8s.io_httproutes.yaml",
    "prometheus-operator/monitoring.coreos.com_servicemonitors.yaml",
    "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
    "cert-manager/cert-manager.io_certificates.yaml",
];

/// Installs those kinds that the cluster does not know yet, and waits until it serves them.
pub async fn install(client: &Client) -> Result<()> {
    let folder = paths::built("third-party-crds")?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for file in FILES {
        let text = fs::read_to_string(folder.join(file)).with_context(|| file.to_owned())?;
        let definition: CustomResourceDefinition = serde_yaml::from_str(&text)?;
        let name = definition.name_any();
        match api.create(&PostParams::default(), &definition).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            created => {
                created.with_context(|| name.clone())?;
            }
        }
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established).await.with_context(|| name)??;
    }
    Ok(())
}
