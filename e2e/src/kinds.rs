//! The kinds of other projects: those of the Prometheus operator, the Gateway API, cert-manager, and
//! those of GitOps tools.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use watchkeeper_testkit::cluster::ControlPlane;
use watchkeeper_testkit::helm::succeed;
use watchkeeper_testkit::{paths, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// The definitions of a project's kinds, one a file.
///
/// # Errors
/// When they cannot be fetched.
pub fn files(project: &str) -> Result<Vec<PathBuf>> {
    let directory = paths::built("third-party-crds")?.join(project);
    let entries = std::fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Has a cluster serve a project's kinds.
///
/// # Errors
/// When it refuses one or takes more than a minute.
pub fn install(cluster: &ControlPlane, project: &str) -> Result<()> {
    install_from(cluster, "third-party-crds", project)
}

/// As [`install`], from another collection of `e2e/cluster/build.sh`.
///
/// # Errors
/// As [`install`].
pub fn install_from(cluster: &ControlPlane, collection: &str, project: &str) -> Result<()> {
    let directory = paths::built(collection)?.join(project);
    // Their schemas are too large for the annotation that an apply on the client's side leaves.
    let apply = ["apply", "--server-side", "--force-conflicts", "-f"];
    let names = succeed(cluster.kubectl().args(apply).arg(&directory).args(["-o", "name"]))?;
    await_established(cluster, &names.split_whitespace().collect::<Vec<_>>())
}

/// Waits until a cluster serves definitions, as `customresourcedefinition/applications.argoproj.io`.
///
/// # Errors
/// When it takes more than a minute.
pub fn await_established(cluster: &ControlPlane, names: &[&str]) -> Result<()> {
    for name in names {
        wait::until(&format!("{name} is established"), LIMIT, || {
            let text = succeed(cluster.kubectl().args(["get", name, "-o", "json"]))?;
            let definition: Value = serde_json::from_str(&text)?;
            let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
            let mut established = conditions.filter(|condition| condition["type"] == "Established");
            Ok(established.any(|condition| condition["status"] == "True").then_some(()))
        })?;
    }
    Ok(())
}
