//! Phase 1: the instance that an endpoint refers to, whether it lets it in, and the
//! values that stand in Secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use kube::{Api, ResourceExt};
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};

use crate::analytics_instance::dereference::text;
use crate::context::{Context, Error};
use crate::stores::{Guarded, InstanceKey};

/// What an endpoint refers to.
#[derive(Debug, Clone)]
pub struct References {
    /// Its instance.
    pub instance: InstanceKey,
    /// Whether the instance is there and lets it in.
    pub admission: Admission,
    /// Values, by Secret and key.
    pub secrets: BTreeMap<(String, String), String>,
}

/// Whether an instance lets an endpoint in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It does.
    Allowed,
    /// There is no such instance.
    NoInstance,
    /// It is in another namespace and does not let this one in.
    NotAllowed,
    /// The namespace's labels cannot be read, so nobody can tell.
    Unreadable,
}

/// Fetches what an endpoint refers to.
///
/// # Errors
/// [`Error::SecretMissing`] when a Secret is not there.
pub async fn dereference(context: &Context, endpoint: &MonitoredEndpoint) -> Result<References, Error> {
    let key = InstanceKey::referred(endpoint);
    let admission = match context.stores.instance(&key) {
        Some(object) => admit(context, &endpoint.namespace().unwrap_or_default(), &object).await?,
        None => Admission::NoInstance,
    };
    let mut secrets = BTreeMap::new();
    if admission == Admission::Allowed {
        let namespace = endpoint.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
        for (name, key) in secret_keys(endpoint) {
            let value = api.get_opt(&name).await?.and_then(|secret| text(&secret, &key));
            let Some(value) = value else {
                return Err(Error::SecretMissing { name, key });
            };
            secrets.insert((name, key), value);
        }
    }
    Ok(References { instance: key, admission, secrets })
}

/// Secrets and keys that the endpoint names.
#[must_use]
pub fn secret_keys(endpoint: &MonitoredEndpoint) -> Vec<(String, String)> {
    let mut spec = endpoint.spec.clone();
    let slots = spec.slots();
    let sources = slots.iter().filter_map(|slot| slot.source.as_ref());
    sources.map(|source| (source.secret_key_ref.name.clone(), source.secret_key_ref.key.clone())).collect()
}

/// Whether an instance lets in the endpoints of a namespace.
///
/// # Errors
/// What the API server says.
pub async fn admit(
    context: &Context,
    namespace: &str,
    instance: &Arc<Guarded<AnalyticsInstance>>,
) -> Result<Admission, Error> {
    let Ok(instance) = &instance.0 else {
        return Ok(Admission::NoInstance);
    };
    if instance.namespace().as_deref() == Some(namespace) {
        return Ok(Admission::Allowed);
    }
    let Some(selector) = &instance.spec.endpoints.namespace_selector else {
        return Ok(Admission::NotAllowed);
    };
    if selects_all(selector) {
        return Ok(Admission::Allowed);
    }
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    match namespaces.get_metadata_opt(namespace).await {
        Ok(found) => {
            let labels = found.map(|found| found.labels().clone()).unwrap_or_default();
            let admitted = selects(selector, &labels);
            context.admissions.note(namespace, InstanceKey::of(instance), admitted);
            Ok(if admitted { Admission::Allowed } else { Admission::NotAllowed })
        }
        // An operator that serves single namespaces may not look at Namespaces.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Admission::Unreadable),
        Err(error) => Err(error.into()),
    }
}

fn selects_all(selector: &LabelSelector) -> bool {
    let no_labels = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty);
    no_labels && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether a selector matches labels; one that cannot be read matches nothing.
#[must_use]
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    use kube::core::SelectorExt;
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_lets_in_the_namespaces_that_it_matches() {
        let selector = |value| serde_json::from_value::<LabelSelector>(value).unwrap();
        let labels: BTreeMap<_, _> = [("team".to_owned(), "a".to_owned())].into();
        assert!(selects(&selector(json!({"matchLabels": {"team": "a"}})), &labels));
        assert!(!selects(&selector(json!({"matchLabels": {"team": "b"}})), &labels));
        assert!(selects(
            &selector(json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]})),
            &labels
        ));
        assert!(!selects(
            &selector(json!({"matchExpressions": [{"key": "x", "operator": "Nonsense"}]})),
            &labels
        ));
        assert!(selects_all(&selector(json!({}))));
    }
}
