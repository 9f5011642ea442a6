//! Which instance watches what an annotated object asks for.

use watchkeeper_crds::AnalyticsInstance;
use watchkeeper_crds::discovery::Source;

use super::Refusal;
use super::annotations::Wish;
use crate::stores::InstanceKey;

/// Reason of the refusal of an instance that does not look for an object.
pub const NOT_LOOKING: &str = "NotLooking";

/// Whether an instance looks for objects of a kind in a namespace. That its `namespaceSelector` lets
/// the namespace in as well is for others to find out.
#[must_use]
pub fn looks(instance: &AnalyticsInstance, source: Source, namespace: &str) -> bool {
    let endpoints = &instance.spec.endpoints;
    let discovery = &endpoints.discovery;
    let own = instance.metadata.namespace.as_deref() == Some(namespace);
    discovery.enabled
        && instance.metadata.deletion_timestamp.is_none()
        && discovery.kinds.contains(&source)
        && (own || endpoints.namespace_selector.is_some())
        && (discovery.namespaces.is_empty() || discovery.namespaces.iter().any(|name| name == namespace))
}

/// Chooses among the instances that look for an object; nothing when none does and none is named.
///
/// # Errors
/// [`Refusal`] when the one that is named is not among them, or when none is named and several look.
pub fn choose(
    candidates: &[InstanceKey],
    wish: &Wish,
    namespace: &str,
) -> Result<Option<InstanceKey>, Refusal> {
    if let Some((of, name)) = &wish.instance {
        let key =
            InstanceKey { namespace: of.clone().unwrap_or_else(|| namespace.to_owned()), name: name.clone() };
        // Without a namespace, the only one of that name will do.
        let named = candidates.iter().filter(|candidate| candidate.name == *name).collect::<Vec<_>>();
        return match (candidates.contains(&key), of, named.as_slice()) {
            (true, _, _) => Ok(Some(key)),
            (false, None, [only]) => Ok(Some((*only).clone())),
            _ => Err(Refusal::new(
                NOT_LOOKING,
                format!(
                    "watchkeeper.dev/instance: AnalyticsInstance {key} is not there or does not look for this object; see its spec.endpoints.discovery"
                ),
            )),
        };
    }
    let own: Vec<_> = candidates.iter().filter(|candidate| candidate.namespace == namespace).collect();
    match (candidates, own.as_slice()) {
        ([], _) => Ok(None),
        ([only], _) => Ok(Some(only.clone())),
        (_, [only]) => Ok(Some((*only).clone())),
        _ => {
            let names: Vec<String> = candidates.iter().map(ToString::to_string).collect();
            Err(Refusal::new(
                "SeveralInstances",
                format!(
                    "several AnalyticsInstances look here, choose one by watchkeeper.dev/instance: {}",
                    names.join(", ")
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instance(endpoints: Value) -> AnalyticsInstance {
        let spec = serde_json::from_value(json!({ "endpoints": endpoints })).unwrap();
        let mut instance = AnalyticsInstance::new("shop", spec);
        instance.metadata.namespace = Some("web".to_owned());
        instance
    }

    fn key(namespace: &str, name: &str) -> InstanceKey {
        InstanceKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn an_instance_looks_where_it_is_told_to_and_nowhere_by_itself() {
        let looks =
            |endpoints: Value, namespace: &str| looks(&instance(endpoints), Source::Ingress, namespace);
        assert!(!looks(json!({"namespaceSelector": {}}), "web"));
        assert!(looks(json!({"discovery": {"enabled": true}}), "web"));
        assert!(!looks(json!({"discovery": {"enabled": true}}), "other"));
        assert!(looks(json!({"namespaceSelector": {}, "discovery": {"enabled": true}}), "other"));
        let some = json!({"namespaceSelector": {}, "discovery": {"enabled": true, "namespaces": ["a"]}});
        assert!(looks(some.clone(), "a"));
        assert!(!looks(some, "web"));
        assert!(!looks(json!({"discovery": {"enabled": true, "kinds": ["Service"]}}), "web"));
    }

    #[test]
    fn the_named_instance_is_taken_and_else_the_only_or_the_nearest() {
        let named = |namespace: Option<&str>, name: &str| Wish {
            instance: Some((namespace.map(str::to_owned), name.to_owned())),
            ..Wish::default()
        };
        let any = Wish::default();
        let (here, there, else_where) = (key("web", "a"), key("ops", "a"), key("lab", "b"));
        assert_eq!(choose(&[], &any, "web"), Ok(None));
        assert_eq!(choose(std::slice::from_ref(&there), &any, "web"), Ok(Some(there.clone())));
        assert_eq!(choose(&[there.clone(), here.clone()], &any, "web"), Ok(Some(here.clone())));
        assert_eq!(
            choose(&[there.clone(), here.clone()], &named(Some("ops"), "a"), "web"),
            Ok(Some(there.clone()))
        );
        assert_eq!(
            choose(&[there.clone(), else_where.clone()], &named(None, "b"), "web"),
            Ok(Some(else_where.clone()))
        );
        assert_eq!(choose(&[there.clone(), else_where], &any, "web").unwrap_err().reason, "SeveralInstances");
        assert_eq!(choose(&[there], &named(None, "c"), "web").unwrap_err().reason, NOT_LOOKING);
    }
}
