//! Reads manifests from text and judges them as the API server would: the same
//! structural schema with unknown fields refused, the same defaults, the same CEL rules.

use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use k8s_openapi::api::core::v1::Secret;
use kube::core::cel::Validator;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{AnalyticsInstance, GROUP, MonitoredEndpoint, VERSION, schema};

/// One object out of a manifest text.
#[derive(Debug, Clone)]
pub enum Manifest {
    /// One installation.
    AnalyticsInstance(Box<AnalyticsInstance>),
    /// One watched thing.
    MonitoredEndpoint(Box<MonitoredEndpoint>),
    /// A core `v1` Secret, kept because endpoints take header values from it.
    Secret(Box<Secret>),
    /// Something that is none of our business.
    Ignored(Ignored),
}

/// An object of a kind that is not read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Position in the text, counted from 1.
    pub document: usize,
    /// Its `apiVersion` and `kind`.
    pub kind: String,
    /// Its name, or nothing.
    pub name: String,
}

impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { document, kind, name } = self;
        write!(f, "document {document}: {kind} {name} is not read here and was ignored")
    }
}

/// One mistake in a manifest text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document {document}{}: {}{message}{}",
    if .subject.is_empty() { String::new() } else { format!(" ({subject})") },
    if .path.is_empty() { String::new() } else { format!("{path}: ") },
    if .fix.is_empty() { String::new() } else { format!("; {fix}") })]
pub struct ManifestError {
    /// Position in the text, counted from 1.
    pub document: usize,
    /// Kind and name of the object, as `MonitoredEndpoint/front`, or nothing.
    pub subject: String,
    /// The field, as `spec.http.url`, or nothing.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, or nothing.
    pub fix: String,
}

/// Reads all documents of a text. Objects inside a `List` are read as well.
///
/// # Errors
/// Every mistake of every document, so that all can be mended at once.
pub fn parse(text: &str) -> Result<Vec<Manifest>, Vec<ManifestError>> {
    let mut manifests = Vec::new();
    let mut errors = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let document_number = index + 1;
        match Value::deserialize(document) {
            Ok(Value::Null) => {}
            Ok(value) => read(document_number, value, &mut manifests, &mut errors),
            Err(error) => {
                errors.push(ManifestError {
                    document: document_number,
                    subject: String::new(),
                    path: String::new(),
                    message: format!("this is not YAML: {error}"),
                    fix: "mend the line that is named".to_owned(),
                });
                // The reader cannot find the next document after a syntax error.
                break;
            }
        }
    }
    if errors.is_empty() { Ok(manifests) } else { Err(errors) }
}

fn read(document: usize, value: Value, manifests: &mut Vec<Manifest>, errors: &mut Vec<ManifestError>) {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let subject = format!("{kind}/{name}");
    let error = |path: &str, message: String, fix: &str| ManifestError {
        document,
        subject: if kind.is_empty() { String::new() } else { subject.clone() },
        path: path.to_owned(),
        message,
        fix: fix.to_owned(),
    };
    if version.is_empty() || kind.is_empty() {
        errors.push(error("", "apiVersion and kind are missing".to_owned(),
            &format!("begin with `apiVersion: {GROUP}/{VERSION}` and `kind: AnalyticsInstance` or `kind: MonitoredEndpoint`")));
        return;
    }
    if version == "v1" && kind == "List" {
        let items = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        for item in items {
            read(document, item, manifests, errors);
        }
        return;
    }
    if version == "v1" && kind == "Secret" {
        match serde_json::from_value(value.clone()) {
            Ok(secret) => manifests.push(Manifest::Secret(Box::new(secret))),
            Err(cause) => errors.push(error("", cause.to_string(), "")),
        }
        return;
    }
    let known = match (version.split_once('/'), kind) {
        (Some((GROUP, VERSION)), "AnalyticsInstance") => Kind::AnalyticsInstance,
        (Some((GROUP, VERSION)), "MonitoredEndpoint") => Kind::MonitoredEndpoint,
        (Some((GROUP, _)), _) => {
            errors.push(error(
                "kind",
                format!("{version} {kind} does not exist"),
                &format!("use `apiVersion: {GROUP}/{VERSION}` with AnalyticsInstance or MonitoredEndpoint"),
            ));
            return;
        }
        _ => {
            manifests.push(Manifest::Ignored(Ignored {
                document,
                kind: format!("{version} {kind}"),
                name: name.to_owned(),
            }));
            return;
        }
    };
    if name.is_empty() {
        errors.push(error("metadata.name", "a name is missing".to_owned(), "give the object a name"));
        return;
    }
    let result = match known {
        Kind::AnalyticsInstance => judge::<AnalyticsInstance>(known, &value)
            .map(|object| Manifest::AnalyticsInstance(Box::new(object))),
        Kind::MonitoredEndpoint => judge::<MonitoredEndpoint>(known, &value)
            .map(|object| Manifest::MonitoredEndpoint(Box::new(object))),
    };
    match result {
        Ok(manifest) => manifests.push(manifest),
        Err(mistakes) => errors
            .extend(mistakes.into_iter().map(|mistake| error(&mistake.path, mistake.message, &mistake.fix))),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    AnalyticsInstance,
    MonitoredEndpoint,
}

struct Mistake {
    path: String,
    message: String,
    fix: String,
}

impl Mistake {
    fn plain(message: impl ToString) -> Vec<Self> {
        vec![Self { path: String::new(), message: message.to_string(), fix: String::new() }]
    }
}

/// What a kind's objects are judged by.
struct Rules {
    schema: Value,
    structural: jsonschema::Validator,
}

fn rules(kind: Kind) -> Result<&'static Rules, Vec<Mistake>> {
    static ALL: OnceLock<Result<[Rules; 2], String>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let [instance, endpoint] = schema::crds().map_err(|error| error.to_string())?;
        Ok([compile(&instance)?, compile(&endpoint)?])
    });
    match all {
        Ok([instance, endpoint]) => Ok(match kind {
            Kind::AnalyticsInstance => instance,
            Kind::MonitoredEndpoint => endpoint,
        }),
        Err(message) => Err(Mistake::plain(message)),
    }
}

fn compile(
    crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
) -> Result<Rules, String> {
    let schema = crd
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref())
        .and_then(|schema| schema.open_api_v3_schema.as_ref())
        .ok_or("the kind has no schema")?;
    let schema = serde_json::to_value(schema).map_err(|error| error.to_string())?;
    let mut strict = schema.clone();
    for (name, part) in [
        ("apiVersion", json!({"type": "string"})),
        ("kind", json!({"type": "string"})),
        ("metadata", json!({"type": "object"})),
    ] {
        strict["properties"][name] = part;
    }
    close(&mut strict);
    let structural = jsonschema::draft202012::options().build(&strict).map_err(|error| error.to_string())?;
    Ok(Rules { schema, structural })
}

/// Refuses fields that the schema does not name, as strict validation does, and
/// gives `x-kubernetes-int-or-string` its meaning.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        map.insert("type".to_owned(), json!(["integer", "string"]));
    }
    let open = map.contains_key("additionalProperties")
        || map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if map.contains_key("properties") && !open {
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(close);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(key) {
            close(child);
        }
    }
}

fn judge<T: DeserializeOwned>(kind: Kind, value: &Value) -> Result<T, Vec<Mistake>> {
    let rules = rules(kind)?;
    let mut value = value.clone();
    // As on the API server: a null counts as absent, status is the operator's alone.
    prune_nulls(&mut value, &rules.schema);
    let mut value = defaulted(&rules.schema, value);
    if let Some(map) = value.as_object_mut() {
        map.shift_remove("status");
    }
    let mistakes: Vec<Mistake> =
        rules.structural.iter_errors(&value).flat_map(|error| explain(&error)).collect();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if let Err(errors) = Validator::new().validate(&rules.schema, &value, None) {
        return Err(errors
            .into_iter()
            .map(|error| Mistake { path: error.field_path, message: error.message, fix: String::new() })
            .collect());
    }
    serde_json::from_value(value).map_err(Mistake::plain)
}

/// Fills in defaults until nothing changes, because a default may itself have
/// fields with defaults.
fn defaulted(schema: &Value, mut value: Value) -> Value {
    loop {
        let next = kube::core::cel::apply_defaults(schema, &value);
        if next == value {
            return value;
        }
        value = next;
    }
}

fn prune_nulls(value: &mut Value, schema: &Value) {
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        return;
    }
    match value {
        Value::Object(map) => {
            map.retain(|_, child| !child.is_null());
            for (key, child) in map.iter_mut() {
                let child_schema = schema
                    .pointer(&format!("/properties/{key}"))
                    .or_else(|| schema.get("additionalProperties"))
                    .unwrap_or(&Value::Null);
                prune_nulls(child, child_schema);
            }
        }
        Value::Array(items) => {
            let item_schema = schema.get("items").unwrap_or(&Value::Null);
            items.iter_mut().for_each(|item| prune_nulls(item, item_schema));
        }
        _ => {}
    }
}

fn explain(error: &jsonschema::ValidationError<'_>) -> Vec<Mistake> {
    let path = dotted(error.instance_path().as_str());
    let at = |name: &str| {
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| Mistake {
                path: at(name),
                message: "unknown field".to_owned(),
                fix: "remove it or correct its spelling".to_owned(),
            })
            .collect(),
        ValidationErrorKind::Required { property } => vec![Mistake {
            path: at(property.as_str().unwrap_or_default()),
            message: "a required field is missing".to_owned(),
            fix: "add it".to_owned(),
        }],
        ValidationErrorKind::Enum { options } => {
            let names: Vec<&str> =
                options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            vec![Mistake {
                path,
                message: format!("{} is not known", error.instance()),
                fix: format!("use one of {}", names.join(", ")),
            }]
        }
        ValidationErrorKind::Pattern { pattern } => {
            let fix = if pattern == crate::durations::PATTERN {
                "write a duration such as 30s, 5m or 1h30m".to_owned()
            } else if pattern == crate::durations::PATTERN_WITH_DAYS {
                "write a duration such as 12h or 90d".to_owned()
            } else {
                format!("it must match {pattern}")
            };
            vec![Mistake { path, message: format!("{} has not the right form", error.instance()), fix }]
        }
        // Without the value: a header's may be a secret.
        _ => vec![Mistake { path, message: error.masked().to_string(), fix: String::new() }],
    }
}

/// `/spec/http/headers/0/name` as `spec.http.headers[0].name`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part);
        }
    }
    path
}

/// The text under a key of a Secret, from `stringData` or `data`.
#[must_use]
pub fn secret_text(secret: &Secret, key: &str) -> Option<String> {
    if let Some(text) = secret.string_data.as_ref().and_then(|data| data.get(key)) {
        return Some(text.clone());
    }
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
