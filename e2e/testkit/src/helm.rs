//! Helm, and what the chart renders to.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::paths;

/// The project's chart.
#[must_use]
pub fn chart() -> PathBuf {
    paths::workspace().join("charts/watchkeeper")
}

/// The chart that brings the project's kinds and nothing else.
#[must_use]
pub fn crds_chart() -> PathBuf {
    paths::workspace().join("charts/watchkeeper-crds")
}

/// A `helm` command that reads nothing of the user's and keeps nothing of its own.
///
/// # Errors
/// When Helm cannot be built.
pub fn helm() -> Result<Command> {
    let mut command = Command::new(paths::built("helm")?.join("helm"));
    let home = paths::cache()?.join("helm");
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, &home);
    }
    command.env_remove("KUBECONFIG").stdin(Stdio::null());
    Ok(command)
}

/// Renders the chart as release `watchkeeper` in `namespace`, with more arguments of `helm template`.
///
/// # Errors
/// With Helm's words when it refuses.
pub fn template(namespace: &str, arguments: &[&str]) -> Result<String> {
    template_of(&chart(), namespace, arguments)
}

/// As [`template`], of another chart.
///
/// # Errors
/// With Helm's words when it refuses.
pub fn template_of(chart: &Path, namespace: &str, arguments: &[&str]) -> Result<String> {
    let mut command = helm()?;
    command.args(["template", "watchkeeper"]).arg(chart).args(["--namespace", namespace]).args(arguments);
    succeed(&mut command)
}

/// Runs a command to its end and gives what it prints.
///
/// # Errors
/// With its standard error when it fails.
pub fn succeed(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!(
            "{command:?}: {status}\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
    }
    Ok(String::from_utf8(stdout)?)
}

/// The objects of a text with several YAML documents.
///
/// # Errors
/// When it is no YAML.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    let objects = documents.collect::<Result<Vec<_>, _>>()?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}
