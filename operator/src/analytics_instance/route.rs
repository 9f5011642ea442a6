//! Whether Gateways have taken an instance's HTTPRoute in, as they say in its status.

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use watchkeeper_crds::AnalyticsInstance;

use super::apply::Live;
use super::child::ChildKind;
use crate::conditions::Finding;
use crate::foreign::ForeignKind;
use crate::served::Served;

const KIND: &str = "RouteReady";

/// Finds out how the route is; nothing where none is asked for.
#[must_use]
pub fn observe(instance: &AnalyticsInstance, live: &Live) -> Option<Finding> {
    let gateway = instance.spec.gateway.as_ref()?;
    if !live.served().contains(&ForeignKind::HttpRoute) {
        return Some(Finding::new(
            KIND,
            false,
            "KindMissing",
            ForeignKind::HttpRoute.missing("spec.gateway"),
        ));
    }
    let route = live.get(ChildKind::HttpRoute, &instance.name_any());
    Some(judge(route, gateway.parent_refs.len()))
}

/// Kinds that a spec needs and the cluster does not serve, each as a sentence.
#[must_use]
pub fn missing(instance: &AnalyticsInstance, served: &Served) -> Option<String> {
    let spec = &instance.spec;
    let needed = [
        (spec.gateway.is_some(), ForeignKind::HttpRoute, "spec.gateway"),
        (
            spec.observability.service_monitor.enabled,
            ForeignKind::ServiceMonitor,
            "spec.observability.serviceMonitor",
        ),
        (
            spec.observability.prometheus_rule.enabled,
            ForeignKind::PrometheusRule,
            "spec.observability.prometheusRule",
        ),
    ];
    let missing: Vec<String> = needed
        .into_iter()
        .filter(|(asked, kind, _)| *asked && !served.contains(kind))
        .map(|(_, kind, field)| kind.missing(field))
        .collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// Every parent must have taken the route in and have found what it refers to.
fn judge(route: Option<&DynamicObject>, wanted: usize) -> Finding {
    let no = |reason: &str, message: String| Finding::new(KIND, false, reason, message);
    let parents = route.and_then(|route| route.data.pointer("/status/parents")).and_then(Value::as_array);
    let parents = parents.map(Vec::as_slice).unwrap_or_default();
    let generation = route.and_then(|route| route.metadata.generation).unwrap_or_default();
    let mut accepted = 0;
    for parent in parents {
        let name = parent.pointer("/parentRef/name").and_then(Value::as_str).unwrap_or_default();
        let conditions = parent["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        // What was said of an older generation does not count.
        let current = |kind: &str| {
            conditions.iter().find(|condition| {
                condition["type"] == kind
                    && condition["observedGeneration"].as_i64().is_none_or(|seen| seen >= generation)
            })
        };
        for kind in ["Accepted", "ResolvedRefs"] {
            if let Some(condition) = current(kind).filter(|condition| condition["status"] == "False") {
                let reason = condition["reason"].as_str().unwrap_or("NotAccepted");
                let message = condition["message"].as_str().unwrap_or_default();
                return no(reason, format!("Gateway {name}: {message}"));
            }
        }
        if current("Accepted").is_some_and(|condition| condition["status"] == "True") {
            accepted += 1;
        }
    }
    if accepted < wanted {
        return no(
            "Pending",
            format!(
                "{accepted} of {wanted} Gateways have taken the HTTPRoute in; see whether they exist and allow routes from this namespace"
            ),
        );
    }
    Finding::new(KIND, true, "Accepted", "every Gateway has taken the HTTPRoute in")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(parents: &Value, wanted: usize) -> (bool, String, String) {
        let route: DynamicObject = serde_json::from_value(
            json!({"metadata": {"name": "shop", "generation": 2}, "spec": {}, "status": {"parents": parents}}),
        )
        .unwrap();
        let finding = judge(Some(&route), wanted);
        (finding.status, finding.reason, finding.message)
    }

    fn parent(kind: &str, status: &str, seen: i64) -> Value {
        json!({"parentRef": {"name": "edge"}, "controllerName": "a.example/b", "conditions": [
            {"type": kind, "status": status, "reason": "Because", "message": "of this", "observedGeneration": seen}]})
    }

    #[test]
    fn a_route_is_ready_when_every_gateway_has_taken_it_in() {
        assert!(judged(&json!([parent("Accepted", "True", 2)]), 1).0);
        let (status, reason, message) = judged(&json!([parent("Accepted", "True", 2)]), 2);
        assert_eq!((status, reason.as_str()), (false, "Pending"));
        assert!(message.contains("1 of 2"), "{message}");
        assert_eq!(judge(None, 1).reason, "Pending");
    }

    #[test]
    fn a_refusal_is_passed_on() {
        for kind in ["Accepted", "ResolvedRefs"] {
            let (status, reason, message) = judged(&json!([parent(kind, "False", 2)]), 1);
            assert_eq!(
                (status, reason.as_str(), message.as_str()),
                (false, "Because", "Gateway edge: of this")
            );
        }
    }

    #[test]
    fn what_was_said_of_an_older_route_does_not_count() {
        assert_eq!(judged(&json!([parent("Accepted", "True", 1)]), 1).1, "Pending");
        assert_eq!(judged(&json!([parent("Accepted", "False", 1)]), 1).1, "Pending");
    }

    #[test]
    fn only_what_is_asked_for_can_be_missing() {
        let instance = |spec| AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap());
        let plain = instance(json!({}));
        assert_eq!(missing(&plain, &Served::new()), None);
        let both = instance(json!({"gateway": {"parentRefs": [{"name": "edge"}]},
            "observability": {"serviceMonitor": {"enabled": true}}}));
        let told = missing(&both, &Served::new()).unwrap();
        assert!(told.contains("HTTPRoute") && told.contains("ServiceMonitor"), "{told}");
        let told = missing(&both, &[ForeignKind::HttpRoute].into()).unwrap();
        assert!(!told.contains("HTTPRoute") && told.contains("ServiceMonitor"), "{told}");
        assert_eq!(missing(&both, &ForeignKind::ALL.into()), None);
    }
}
