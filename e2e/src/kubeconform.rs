//! kubeconform, with schemas from a real API server instead of a download.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use watchkeeper_testkit::cluster::ControlPlane;
use watchkeeper_testkit::helm::{objects, succeed};
use watchkeeper_testkit::paths;
use watchkeeper_testkit::rundir::RunDir;

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// What objects must look like: as the API server describes its own kinds, and definitions theirs.
#[derive(Debug)]
pub struct Schemas {
    definitions: Map<String, Value>,
    custom: Vec<Value>,
}

impl Schemas {
    /// Those of a cluster and of the definitions in `crds`.
    ///
    /// # Errors
    /// When the cluster does not answer or a file cannot be read.
    pub fn new(cluster: &ControlPlane, crds: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let text = succeed(cluster.kubectl().args(["get", "--raw", "/openapi/v2"]))?;
        let mut document: Value = serde_json::from_str(&text)?;
        let Value::Object(definitions) = document["definitions"].take() else {
            anyhow::bail!("an OpenAPI document without definitions");
        };
        let mut custom = Vec::new();
        for file in crds {
            custom.extend(objects(&fs::read_to_string(file)?)?);
        }
        Ok(Self { definitions, custom })
    }

    /// Whether `kubeconform -strict` is content with manifests, and all that it says.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn check(&self, manifests: &str) -> Result<(bool, String)> {
        let directory = RunDir::new("schemas")?;
        let named = |object: &Value| {
            Some((object["apiVersion"].as_str()?.to_owned(), object["kind"].as_str()?.to_owned()))
        };
        let kinds: BTreeSet<_> = objects(manifests)?.iter().filter_map(named).collect();
        for (version, kind) in &kinds {
            // A kind without a schema is for kubeconform to complain about.
            if let Some(schema) = self.of(version, kind) {
                fs::write(directory.path().join(file_of(version, kind)), schema.to_string())?;
            }
        }
        run(directory.path(), manifests)
    }

    fn of(&self, api_version: &str, kind: &str) -> Option<Value> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.custom_kind(group, version, kind).or_else(|| self.own_kind(group, version, kind))
    }

    fn custom_kind(&self, group: &str, version: &str, kind: &str) -> Option<Value> {
        let is = |crd: &&Value| crd["spec"]["group"] == group && crd["spec"]["names"]["kind"] == kind;
        let crd = self.custom.iter().find(is)?;
        let versions = crd["spec"]["versions"].as_array()?;
        let found = versions.iter().find(|served| served["name"] == version)?;
        let mut schema = found["schema"]["openAPIV3Schema"].clone();
        for name in ["apiVersion", "kind"] {
            schema["properties"][name] = json!({"type": "string"});
        }
        schema["properties"]["metadata"] = self.definition(METADATA, &mut Vec::new());
        Some(self.strict(&schema, &mut Vec::new()))
    }

    fn own_kind(&self, group: &str, version: &str, kind: &str) -> Option<Value> {
        let wanted = json!({"group": group, "kind": kind, "version": version});
        let describes = |(_, definition): &(&String, &Value)| {
            definition["x-kubernetes-group-version-kind"].as_array().is_some_and(|all| all.contains(&wanted))
        };
        let (name, _) = self.definitions.iter().find(describes)?;
        Some(self.definition(name, &mut Vec::new()))
    }

    /// A definition with everything that it refers to inside; where it refers to itself, anything goes.
    fn definition(&self, name: &str, within: &mut Vec<String>) -> Value {
        if name == QUANTITY {
            return json!({"type": ["string", "number"]});
        }
        let Some(definition) =
            self.definitions.get(name).filter(|_| !within.iter().any(|outer| outer == name))
        else {
            return json!({});
        };
        within.push(name.to_owned());
        let schema = self.strict(definition, within);
        within.pop();
        schema
    }

    /// A schema that refuses fields that it does not name.
    fn strict(&self, schema: &Value, within: &mut Vec<String>) -> Value {
        let Some(fields) = schema.as_object() else { return schema.clone() };
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            return self.definition(reference.trim_start_matches("#/definitions/"), within);
        }
        if schema["format"] == "int-or-string" || schema["x-kubernetes-int-or-string"] == true {
            return json!({"type": ["string", "integer"]});
        }
        let mut made = fields.clone();
        for name in ["items", "additionalProperties"] {
            if let Some(inner) = fields.get(name) {
                made.insert(name.to_owned(), self.strict(inner, within));
            }
        }
        if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
            let inner = properties.iter().map(|(name, schema)| (name.clone(), self.strict(schema, within)));
            made.insert("properties".to_owned(), Value::Object(inner.collect()));
            if schema["x-kubernetes-preserve-unknown-fields"] != true {
                made.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Object(made)
    }
}

/// The name by which kubeconform looks for a schema.
fn file_of(api_version: &str, kind: &str) -> String {
    let suffix = match api_version.split_once('/') {
        Some((group, version)) => format!("{}-{version}", group.split('.').next().unwrap_or(group)),
        None => api_version.to_owned(),
    };
    format!("{}-{suffix}.json", kind.to_lowercase())
}

fn run(schemas: &Path, manifests: &str) -> Result<(bool, String)> {
    let mut command = Command::new(paths::built("kubeconform")?.join("kubeconform"));
    let location = schemas.join("{{.ResourceKind}}{{.KindSuffix}}.json");
    command.args(["-strict", "-summary", "-schema-location"]).arg(location).arg("-");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("kubeconform has no standard input")?.write_all(manifests.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8([output.stdout, output.stderr].concat())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_named_as_kubeconform_looks_for_them() {
        assert_eq!(file_of("v1", "Service"), "service-v1.json");
        assert_eq!(file_of("apps/v1", "Deployment"), "deployment-apps-v1.json");
        assert_eq!(file_of("rbac.authorization.k8s.io/v1", "Role"), "role-rbac-v1.json");
    }
}
