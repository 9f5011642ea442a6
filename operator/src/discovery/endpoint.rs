//! The MonitoredEndpoint of an annotated object. Pure.

use kube::api::DynamicObject;
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};
use watchkeeper_crds::MonitoredEndpoint;
use watchkeeper_crds::discovery::{Discovery, Source};

use super::annotations::{Probe, Wish};
use super::target::Target;
use crate::analytics_instance::diff::hash;
use crate::labels;
use crate::stores::InstanceKey;

/// Longest name that the schema lets an endpoint show; an object's own may be longer.
const NAME_LENGTH: usize = 128;

/// What an endpoint is made of.
pub struct Parts<'a> {
    /// Kind of the annotated object.
    pub source: Source,
    /// Group and version of that kind.
    pub api_version: &'a str,
    /// The object.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// What its annotations ask for.
    pub wish: &'a Wish,
    /// What is to be asked.
    pub target: &'a Target,
    /// Who asks.
    pub instance: &'a InstanceKey,
    /// What the instance says about all of its discovered endpoints.
    pub defaults: &'a Discovery,
}

/// Name of the endpoint of an object: `<kind>-<name>`.
#[must_use]
pub fn name_of(source: Source, name: &str) -> String {
    let whole = format!("{}-{name}", source.kind().to_lowercase());
    if whole.len() <= 253 { whole } else { format!("{}-{}", &whole[..236], hash(&whole)) }
}

/// The kind of object that an endpoint was made of, if it was.
#[must_use]
pub fn source_of(endpoint: &MonitoredEndpoint) -> Option<Source> {
    let label = endpoint.labels().get(labels::SOURCE)?;
    let owned = endpoint.owner_references().iter().any(|owner| owner.kind == *label);
    Source::ALL.into_iter().find(|source| source.kind() == label && owned)
}

/// The instance that an endpoint refers to, whether or not the rest of it can be read.
#[must_use]
pub fn instance_of(endpoint: &DynamicObject) -> Option<InstanceKey> {
    let reference = endpoint.data.pointer("/spec/instanceRef")?;
    let name = reference["name"].as_str()?.to_owned();
    let namespace = reference["namespace"].as_str().map(str::to_owned).or_else(|| endpoint.namespace())?;
    Some(InstanceKey { namespace, name })
}

/// The endpoint as it is wanted.
#[must_use]
pub fn build(parts: &Parts<'_>) -> Value {
    let wish = parts.wish;
    let interval = wish.interval.clone().unwrap_or_else(|| parts.defaults.interval.clone());
    let mut spec = Map::new();
    let mut put = |key: &str, value: Value| spec.insert(key.to_owned(), value);
    put("instanceRef", json!({"name": parts.instance.name, "namespace": parts.instance.namespace}));
    let shown = wish.name.clone().unwrap_or_else(|| parts.name.chars().take(NAME_LENGTH).collect());
    put("name", json!(shown));
    if let Some(group) = &wish.group {
        put("group", json!(group));
    }
    // A timeout that nobody has chosen must not be longer than the interval that somebody has.
    let timeout = wish.timeout.clone().or_else(|| (interval.get().as_secs() < 10).then(|| interval.clone()));
    if let Some(timeout) = timeout {
        put("timeout", json!(timeout));
    }
    put("interval", json!(interval));
    if wish.suspended {
        put("suspended", json!(true));
    }
    match wish.probe {
        Probe::Http => {
            let mut http = json!({"url": parts.target.url(wish.path.as_deref().unwrap_or("/"))});
            if !wish.expected_status.is_empty() {
                http["expectedStatus"] = json!(wish.expected_status);
            }
            put("http", http);
        }
        Probe::Tcp => {
            put("tcp", json!({"address": format!("{}:{}", parts.target.host, parts.target.tcp_port())}));
        }
    }
    if !wish.alert_channels.is_empty() {
        put("alerts", json!({"channels": wish.alert_channels}));
    }
    if let Some(target) = &wish.slo_target {
        let mut slo = json!({ "target": target });
        if let Some(window) = &wish.slo_window {
            slo["window"] = json!(window);
        }
        put("slo", slo);
    }
    let mut object = json!({
        "apiVersion": MonitoredEndpoint::api_version(&()),
        "kind": MonitoredEndpoint::kind(&()),
        "metadata": {
            "name": name_of(parts.source, parts.name),
            "namespace": parts.namespace,
            "labels": {
                "app.kubernetes.io/managed-by": labels::MANAGER,
                labels::SOURCE: parts.source.kind(),
            },
            "ownerReferences": [{
                "apiVersion": parts.api_version,
                "kind": parts.source.kind(),
                "name": parts.name,
                "uid": parts.uid,
                "controller": true,
                // To block the deletion of somebody else's object would take leave to update its finalizers.
                "blockOwnerDeletion": false,
            }],
        },
        "spec": spec,
    });
    object["metadata"]["annotations"] = json!({labels::APPLIED_HASH: hash(&object.to_string())});
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(wish: Wish) -> Value {
        made_of("shop", wish)
    }

    fn made_of(name: &str, wish: Wish) -> Value {
        let target = Target { scheme: "https", host: "shop.example".to_owned(), port: None };
        build(&Parts {
            source: Source::Ingress,
            api_version: "networking.k8s.io/v1",
            namespace: "web",
            name,
            uid: "u",
            wish: &wish,
            target: &target,
            instance: &InstanceKey { namespace: "ops".to_owned(), name: "main".to_owned() },
            defaults: &Discovery::default(),
        })
    }

    fn read(object: Value) -> MonitoredEndpoint {
        let endpoint: MonitoredEndpoint = serde_json::from_value(object).unwrap();
        endpoint.validate_cel().unwrap();
        endpoint
    }

    #[test]
    fn the_endpoint_of_an_object_is_owned_by_it_and_passes_the_schema() {
        let endpoint = read(made(Wish::default()));
        assert_eq!(endpoint.name_any(), "ingress-shop");
        assert_eq!(endpoint.owner_references()[0].uid, "u");
        assert_eq!(source_of(&endpoint), Some(Source::Ingress));
        let object = serde_json::from_value(made(Wish::default())).unwrap();
        assert_eq!(instance_of(&object).unwrap().to_string(), "ops/main");
        let spec = &endpoint.spec;
        assert_eq!(spec.http.as_ref().unwrap().url, "https://shop.example/");
        assert_eq!((spec.name.as_deref(), spec.interval.as_str()), (Some("shop"), "60s"));
    }

    #[test]
    fn annotations_find_their_fields() {
        let wish = Wish {
            name: Some("Shop".to_owned()),
            group: Some("web".to_owned()),
            interval: Some("5s".parse().unwrap()),
            path: Some("/healthz".to_owned()),
            expected_status: vec!["204".to_owned()],
            suspended: true,
            ..Wish::default()
        };
        let spec = read(made(wish)).spec;
        let http = spec.http.unwrap();
        assert_eq!(
            (http.url.as_str(), http.expected_status),
            ("https://shop.example/healthz", vec!["204".to_owned()])
        );
        assert_eq!((spec.timeout.as_str(), spec.suspended), ("5s", true));
    }

    #[test]
    fn an_endpoint_of_somebody_who_only_took_the_label_was_not_made_of_an_object() {
        let mut object = made(Wish::default());
        object["metadata"]["ownerReferences"] = json!([]);
        assert_eq!(source_of(&read(object)), None);
    }

    #[test]
    fn a_name_fits_however_long_the_objects_is() {
        let long = name_of(Source::HttpRoute, &"a".repeat(253));
        assert!(long.len() <= 253, "{}", long.len());
        assert_ne!(long, name_of(Source::HttpRoute, &format!("{}b", "a".repeat(252))));
    }

    #[test]
    fn an_object_with_a_name_longer_than_is_shown_has_an_endpoint_too() {
        let shown = read(made_of(&"a".repeat(253), Wish::default())).spec.name.unwrap();
        assert_eq!(shown.len(), NAME_LENGTH);
    }

    #[test]
    fn another_wish_is_another_hash() {
        let hash = |wish| made(wish)["metadata"]["annotations"][labels::APPLIED_HASH].clone();
        assert_eq!(hash(Wish::default()), hash(Wish::default()));
        assert_ne!(hash(Wish::default()), hash(Wish { group: Some("g".to_owned()), ..Wish::default() }));
    }
}
