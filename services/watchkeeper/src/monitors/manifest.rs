//! Manifests out of drafts: names, Secrets, and the judgement of the kind's own rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use watchkeeper_api::endpoint_spec::translate;
use watchkeeper_crds::manifest::{Manifest, parse};

/// Whose manifests they are.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name of the AnalyticsInstance.
    pub instance: String,
    /// Namespace, unless whoever applies them chooses it.
    pub namespace: Option<String>,
}

/// A manifest to be.
#[derive(Debug)]
pub struct Draft {
    /// Name to show.
    name: String,
    /// Group to show it in.
    group: Option<String>,
    /// Everything of the specification but `instanceRef`, `name` and `group`.
    spec: Map<String, Value>,
    /// Secret values by key.
    secrets: BTreeMap<String, String>,
}

impl Draft {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), group: None, spec: Map::new(), secrets: BTreeMap::new() }
    }

    pub fn group(&mut self, group: impl Into<String>) {
        let group = group.into();
        self.group = Some(group).filter(|group| !group.is_empty());
    }

    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.spec.insert(field.to_owned(), value.into());
    }

    /// A length of time in whole seconds.
    pub fn seconds(&mut self, field: &str, seconds: u64) {
        self.milliseconds(field, seconds.saturating_mul(1_000));
    }

    /// A length of time.
    pub fn milliseconds(&mut self, field: &str, ms: u64) {
        self.set(field, time(ms));
    }

    /// A reference to a value that goes into the Secret beside the manifest.
    pub fn secret(&mut self, key: &str, value: impl Into<String>) -> Value {
        let mut free = key.to_owned();
        for count in 2.. {
            if !self.secrets.contains_key(&free) {
                break;
            }
            free = format!("{key}-{count}");
        }
        self.secrets.insert(free.clone(), value.into());
        json!({ "key": free })
    }

    /// A list of headers; values that are likely secrets are referred to.
    pub fn headers<'a>(&mut self, headers: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
        let list: Vec<Value> = headers
            .map(|(name, value)| {
                if is_secret(name) {
                    let reference = self.secret(&slug(name), value);
                    json!({ "name": name, "valueFrom": { "secretKeyRef": reference } })
                } else {
                    json!({ "name": name, "value": value })
                }
            })
            .collect();
        list.into()
    }
}

/// A length of time as manifests have it, from milliseconds.
pub fn time(ms: u64) -> String {
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

/// Whether a header of this name mostly carries a credential.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "token", "key", "secret", "password"].iter().any(|word| name.contains(word))
}

/// A name as Kubernetes takes it.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(50);
    slug.trim_matches('-').to_owned()
}

/// Writes the manifests, each after its Secret. One that breaks a rule of its kind is left out and told.
pub fn write(drafts: Vec<Draft>, target: &Target, notes: &mut Vec<String>) -> String {
    let mut used = BTreeSet::new();
    let mut text = String::new();
    for draft in drafts {
        let told = draft.name.clone();
        match documents(draft, target, &mut used) {
            Ok(documents) => text.push_str(&documents),
            Err(why) => notes.push(format!("{told}: {why}")),
        }
    }
    text
}

fn documents(draft: Draft, target: &Target, used: &mut BTreeSet<String>) -> Result<String, String> {
    let Draft { name: shown, group, spec: rest, secrets } = draft;
    let name = free_name(&shown, used);
    let mut metadata = Map::from_iter([("name".to_owned(), Value::from(name.clone()))]);
    if let Some(namespace) = &target.namespace {
        metadata.insert("namespace".into(), namespace.as_str().into());
    }
    let mut spec = Map::from_iter([("instanceRef".to_owned(), json!({ "name": target.instance }))]);
    let shown: String = shown.chars().take(128).collect();
    if !shown.is_empty() {
        spec.insert("name".into(), shown.into());
    }
    if let Some(group) = group {
        spec.insert("group".into(), group.chars().take(128).collect::<String>().into());
    }
    spec.extend(rest);
    let secret_name = format!("{name}-imported");
    let mut spec = Value::Object(spec);
    name_references(&mut spec, &secret_name);
    let mut all = Vec::new();
    if !secrets.is_empty() {
        let mut metadata = metadata.clone();
        metadata.insert("name".into(), secret_name.into());
        all.push(
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": &secrets }),
        );
    }
    all.push(json!({
        "apiVersion": format!("{}/{}", watchkeeper_crds::GROUP, watchkeeper_crds::VERSION),
        "kind": "MonitoredEndpoint",
        "metadata": metadata,
        "spec": spec,
    }));
    let mut text = String::new();
    for document in &all {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(document).map_err(|error| error.to_string())?);
    }
    let manifests = parse(&text).map_err(|errors| {
        let told = errors.iter().map(|error| format!("{}: {}", error.path, error.message));
        told.collect::<Vec<_>>().join("; ")
    })?;
    // What the schema cannot judge, whoever watches the endpoint refuses later.
    for manifest in &manifests {
        if let Manifest::MonitoredEndpoint(endpoint) = manifest {
            let secret = |_: &str, key: &str| secrets.get(key).cloned();
            translate(&endpoint.spec, &name, secret).map_err(|error| error.to_string())?;
        }
    }
    Ok(text)
}

/// Names the Secret in every reference that has only a key yet.
fn name_references(value: &mut Value, secret: &str) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Object(reference)) = object.get_mut("secretKeyRef") {
                reference.entry("name").or_insert_with(|| secret.into());
            }
            object.values_mut().for_each(|value| name_references(value, secret));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| name_references(value, secret)),
        _ => {}
    }
}

fn free_name(shown: &str, used: &mut BTreeSet<String>) -> String {
    let base = match slug(shown) {
        slug if slug.is_empty() => "endpoint".to_owned(),
        slug => slug,
    };
    let mut name = base.clone();
    for count in 2.. {
        if used.insert(name.clone()) {
            break;
        }
        name = format!("{base}-{count}");
    }
    name
}
