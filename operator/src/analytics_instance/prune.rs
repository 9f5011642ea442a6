//! Phase 5: removes what the operator made before and wants no more.

use std::collections::HashSet;

use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Preconditions};

use super::apply::{Live, owned_by};
use super::child::{Child, ChildKind};
use crate::context::{Context, Error};
use crate::gate::GateError;

/// What is left over: owned by this instance, and not among the wanted.
#[must_use]
pub fn leftovers<'a>(children: &[Child], live: &'a Live, uid: &str) -> Vec<(ChildKind, &'a DynamicObject)> {
    let wanted: HashSet<(ChildKind, &str)> =
        children.iter().map(|child| (child.kind, child.name.as_str())).collect();
    let mut left: Vec<_> = live
        .iter()
        .filter(|(kind, _)| !kind.always_there())
        .filter(|(kind, object)| !wanted.contains(&(*kind, object.name_any().as_str())))
        .filter(|(_, object)| owned_by(object, uid) && object.metadata.deletion_timestamp.is_none())
        .collect();
    left.sort_by_key(|(kind, object)| (*kind, object.name_any()));
    left
}

/// Deletes what is left over, but for what `spared` says, and says what it was. A volume claim is never
/// among it.
///
/// # Errors
/// What the API server says, unless the object is gone or is another by now.
pub async fn prune(
    context: &Context,
    namespace: &str,
    uid: &str,
    children: &[Child],
    live: &Live,
    spared: impl Fn(ChildKind) -> bool,
) -> Result<Vec<DynamicObject>, Error> {
    let mut pruned = Vec::new();
    for (kind, object) in leftovers(children, live, uid).into_iter().filter(|(kind, _)| !spared(*kind)) {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
            ..DeleteParams::background()
        };
        let api = kind.api(&context.client, namespace);
        match context.gate.write(api.delete(&object.name_any(), &params)).await {
            Ok(_) => {
                tracing::info!(kind = kind.name(), name = object.name_any(), namespace, "pruned");
                context.metrics.applies.with_label_values(&[kind.name(), "deleted"]).inc();
                pruned.push(object.clone());
            }
            Err(GateError::Kube(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, owner: &str) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": [
            {"apiVersion": "a/v1", "kind": "A", "name": "a", "uid": owner}]}}))
        .unwrap()
    }

    #[test]
    fn only_what_is_owned_and_unwanted_is_left_over() {
        let mut live = Live::default();
        live.put(ChildKind::Service, object("wanted", "me"));
        live.put(ChildKind::Service, object("old", "me"));
        live.put(ChildKind::Service, object("foreign", "you"));
        // The same name as a wanted Service, but another kind.
        live.put(ChildKind::Ingress, object("wanted", "me"));
        let mut leaving = object("leaving", "me");
        leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        live.put(ChildKind::Secret, leaving);
        let children =
            [Child { kind: ChildKind::Service, name: "wanted".to_owned(), object: json!({}), rules: None }];
        let left: Vec<_> = leftovers(&children, &live, "me")
            .into_iter()
            .map(|(kind, object)| (kind, object.name_any()))
            .collect();
        assert_eq!(left, [(ChildKind::Service, "old".to_owned()), (ChildKind::Ingress, "wanted".to_owned())]);
    }
}
