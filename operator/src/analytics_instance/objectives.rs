//! The endpoints of an instance that have an objective.

use std::hash::{DefaultHasher, Hash, Hasher};

use kube::ResourceExt;
use watchkeeper_crds::MonitoredEndpoint;

use crate::stores::{Guarded, InstanceKey, Stores};

/// An endpoint and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Objective {
    /// Namespace of the endpoint.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Percent of checks that should be good, as written.
    pub target: String,
    /// Share of checks that may fail, in millionths.
    pub budget_ppm: u32,
    /// Days over which it should hold.
    pub days: u32,
}

/// What is expected of an endpoint, if its instance has let it in and it is to stay.
#[must_use]
pub fn of_endpoint(endpoint: &MonitoredEndpoint) -> Option<Objective> {
    let slo = endpoint.spec.slo.as_ref()?;
    let conditions = endpoint.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let accepted =
        conditions.iter().any(|condition| condition.type_ == "Accepted" && condition.status == "True");
    (accepted && endpoint.metadata.deletion_timestamp.is_none()).then(|| Objective {
        namespace: endpoint.namespace().unwrap_or_default(),
        name: endpoint.name_any(),
        target: slo.target.clone(),
        budget_ppm: slo.budget_ppm(),
        days: slo.days(),
    })
}

/// All of an instance, in order.
#[must_use]
pub fn of_instance(stores: &Stores, key: &InstanceKey) -> Vec<Objective> {
    let endpoints = stores.endpoints_of(key);
    let mut all: Vec<_> =
        endpoints.iter().filter_map(|object| object.0.as_ref().ok()).filter_map(of_endpoint).collect();
    all.sort();
    all
}

/// Hash of what an instance's rules depend on of one endpoint; nothing where they do not.
#[must_use]
pub fn essence(object: &Guarded<MonitoredEndpoint>) -> Option<u64> {
    let objective = object.0.as_ref().ok().and_then(of_endpoint)?;
    let mut hasher = DefaultHasher::new();
    objective.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoint(accepted: &str, more: Value) -> Guarded<MonitoredEndpoint> {
        let mut object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "MonitoredEndpoint",
            "metadata": {"name": "front", "namespace": "web"},
            "spec": {"instanceRef": {"name": "shop"}, "http": {"url": "http://a"}},
            "status": {"conditions": [{"type": "Accepted", "status": accepted, "reason": "x", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        object["spec"]["slo"] = more;
        kube::core::DeserializeGuard(Ok(serde_json::from_value(object).unwrap()))
    }

    #[test]
    fn an_objective_counts_once_the_endpoint_is_let_in_and_its_changes_are_news() {
        let slo = |target: &str| json!({ "target": target });
        assert_eq!(essence(&endpoint("True", Value::Null)), None);
        assert_eq!(essence(&endpoint("False", slo("99.9"))), None);
        let known = essence(&endpoint("True", slo("99.9")));
        assert!(known.is_some());
        assert_eq!(known, essence(&endpoint("True", slo("99.9"))));
        assert_ne!(known, essence(&endpoint("True", slo("99.5"))));
    }
}
