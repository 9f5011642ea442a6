//! Phase 2: what is to be told about an endpoint, or why nothing is.

use std::collections::BTreeMap;

use kube::ResourceExt;
use watchkeeper_crds::MonitoredEndpoint;

use super::dereference::{Admission, References};
use super::push::Payload;
use crate::conditions::Finding;
use crate::context::Error;

/// What to do about an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Tell the API this.
    Push(Box<Payload>),
    /// Tell it nothing, for this reason.
    Reject(Finding),
}

/// Decides what to do about an endpoint.
///
/// # Errors
/// [`Error::InvalidSpec`] when the spec cannot be written, which only a mistake can cause.
pub fn validate(endpoint: &MonitoredEndpoint, references: &References) -> Result<Decision, Error> {
    let key = &references.instance;
    let namespace = endpoint.namespace().unwrap_or_default();
    let reject = |reason, message| Ok(Decision::Reject(Finding::new("Accepted", false, reason, message)));
    match references.admission {
        Admission::Allowed => {}
        Admission::NoInstance => {
            return reject(
                "InstanceNotFound",
                format!(
                    "there is no AnalyticsInstance {key} that this operator serves; create it, or correct spec.instanceRef"
                ),
            );
        }
        Admission::NotAllowed => {
            return reject(
                "NotAllowed",
                format!(
                    "AnalyticsInstance {key} lets in no endpoints of namespace {namespace}; extend its spec.endpoints.namespaceSelector"
                ),
            );
        }
        Admission::Unreadable => {
            return reject(
                "NamespaceUnreadable",
                format!(
                    "the operator may not read the labels of namespace {namespace}; set spec.endpoints.namespaceSelector of {key} to {{}} or let the operator read Namespaces"
                ),
            );
        }
    }
    let spec = with_values(endpoint, &references.secrets);
    Ok(Decision::Push(Box::new(Payload {
        namespace,
        name: endpoint.name_any(),
        generation: endpoint.metadata.generation.unwrap_or_default(),
        spec: serde_json::to_value(spec).map_err(|error| Error::InvalidSpec(error.to_string()))?,
    })))
}

/// The spec with every value in place of its source.
fn with_values(
    endpoint: &MonitoredEndpoint,
    secrets: &BTreeMap<(String, String), String>,
) -> watchkeeper_crds::MonitoredEndpointSpec {
    let mut spec = endpoint.spec.clone();
    for slot in spec.slots() {
        if let Some(source) = slot.source.take() {
            let reference = source.secret_key_ref;
            // A file behind a Secret often ends in a line break, which no header may have.
            *slot.value = secrets
                .get(&(reference.name, reference.key))
                .map(|value| value.trim_end_matches(['\r', '\n']).to_owned());
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stores::InstanceKey;

    fn endpoint() -> MonitoredEndpoint {
        let mut endpoint = MonitoredEndpoint::new(
            "front",
            serde_json::from_value(json!({
            "instanceRef": {"name": "shop", "namespace": "web"},
            "http": {"url": "http://a", "headers": [
                {"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}},
                {"name": "Accept", "value": "*/*"}]}}))
            .unwrap(),
        );
        endpoint.metadata.namespace = Some("team".to_owned());
        endpoint.metadata.generation = Some(7);
        endpoint
    }

    fn references(admission: Admission) -> References {
        References {
            instance: InstanceKey { namespace: "web".to_owned(), name: "shop".to_owned() },
            admission,
            secrets: [(("token".to_owned(), "value".to_owned()), "hush\n".to_owned())].into(),
        }
    }

    #[test]
    fn secret_values_stand_in_place_of_their_source() {
        let Decision::Push(payload) = validate(&endpoint(), &references(Admission::Allowed)).unwrap() else {
            panic!("rejected");
        };
        assert_eq!(
            (payload.namespace.as_str(), payload.name.as_str(), payload.generation),
            ("team", "front", 7)
        );
        assert_eq!(
            payload.spec["http"]["headers"],
            json!([
            {"name": "X-Token", "value": "hush"}, {"name": "Accept", "value": "*/*"}])
        );
        assert_eq!(payload.spec["interval"], "60s");
    }

    #[test]
    fn every_rejection_says_what_to_do() {
        for (admission, reason, advice) in [
            (Admission::NoInstance, "InstanceNotFound", "correct spec.instanceRef"),
            (Admission::NotAllowed, "NotAllowed", "namespaceSelector"),
            (Admission::Unreadable, "NamespaceUnreadable", "let the operator read Namespaces"),
        ] {
            let Decision::Reject(finding) = validate(&endpoint(), &references(admission)).unwrap() else {
                panic!("pushed");
            };
            assert_eq!((finding.kind, finding.reason.as_str()), ("Accepted", reason));
            assert!(finding.message.contains(advice), "{}", finding.message);
        }
    }
}
