//! Installing the project's own kinds.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client};

use crate::paths;

const ESTABLISHED: Duration = Duration::from_secs(30);

/// The generated definitions, in the checkout.
///
/// # Errors
/// When their directory cannot be read.
pub fn files() -> Result<Vec<PathBuf>> {
    let directory = paths::workspace().join("crds/generated");
    let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Applies them on the server's side and waits until the API server serves them.
///
/// # Errors
/// When one is refused or is not served within 30 seconds.
pub async fn install(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let parameters = PatchParams::apply("watchkeeper-testkit").force();
    let mut names = Vec::new();
    for file in files()? {
        let text = fs::read_to_string(&file)?;
        let definition: serde_json::Value =
            serde_yaml::from_str(&text).with_context(|| file.display().to_string())?;
        let name = definition["metadata"]["name"].as_str().context("a CRD without a name")?.to_owned();
        api.patch(&name, &parameters, &Patch::Apply(&definition)).await.with_context(|| name.clone())?;
        names.push(name);
    }
    for name in names {
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(ESTABLISHED, established)
            .await
            .with_context(|| format!("{name} is not established within {ESTABLISHED:?}"))??;
    }
    Ok(())
}
