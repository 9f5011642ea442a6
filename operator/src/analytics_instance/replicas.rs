//! Handing a Deployment's number of pods to its autoscaler, and never through the number one.
//!
//! By server-side apply, a field that its only owner leaves out is removed, and a Deployment
//! without replicas has one. So whoever leaves it out must first let somebody else own it.

use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::apply::FIELD_MANAGER;
use super::child::{Child, ChildKind};
use crate::context::{Context, Error};
use crate::gate::GateError;

/// Owner of a number of pods until the autoscaler writes one.
pub const KEEPER: &str = "watchkeeper-operator/replicas";

/// The number of pods that the autoscaler of a Deployment lets there be at least; nothing
/// where there is no autoscaler.
#[must_use]
pub fn least(children: &[Child], child: &Child) -> Option<i64> {
    if child.kind != ChildKind::Deployment {
        return None;
    }
    let autoscaler = children
        .iter()
        .find(|other| other.kind == ChildKind::HorizontalPodAutoscaler && other.name == child.name)?;
    autoscaler.object.pointer("/spec/minReplicas").and_then(Value::as_i64)
}

/// Sees to it that leaving out the number of pods changes none: a new Deployment begins with
/// `least`, and of one that we still own the number of, it is handed over.
///
/// # Errors
/// What the API server says.
pub async fn keep(
    context: &Context,
    namespace: &str,
    wanted: &mut Value,
    current: Option<&DynamicObject>,
    least: i64,
) -> Result<(), Error> {
    let Some(current) = current else {
        wanted["spec"]["replicas"] = json!(least);
        return Ok(());
    };
    let name = current.name_any();
    let Some((number, force)) = hand_over(current, least) else {
        return Ok(());
    };
    let body = json!({
        "apiVersion": wanted["apiVersion"],
        "kind": wanted["kind"],
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": number},
    });
    let mut params = PatchParams::apply(KEEPER);
    params.force = force;
    let api = ChildKind::Deployment.api(&context.client, namespace);
    match context.gate.write(api.patch(&name, &params, &Patch::Apply(&body))).await {
        Ok(_) => {
            tracing::info!(name, namespace, number, "handed the number of pods to the autoscaler");
            Ok(())
        }
        // Somebody has scaled it in between, and so owns the number already.
        Err(GateError::Kube(kube::Error::Api(status))) if status.code == 409 => Ok(()),
        Err(GateError::Kube(error)) => Err(Error::apply(ChildKind::Deployment.name(), name, &error)),
        Err(GateError::Closed) => Err(Error::Standby),
    }
}

/// The number to hand over, and whether it is another than now; nothing where it is not ours.
/// An autoscaler does nothing about a Deployment of no pods, and would get to the least anyway.
fn hand_over(current: &DynamicObject, least: i64) -> Option<(i64, bool)> {
    if !owns_replicas(current) {
        return None;
    }
    let now = current.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let number = now.max(least);
    Some((number, number != now))
}

fn owns_replicas(object: &DynamicObject) -> bool {
    object.managed_fields().iter().any(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.is_none()
            && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(manager: &str, operation: &str, replicas: i64) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "shop-api", "managedFields": [
                {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "apps/v1",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": manager, "operation": operation, "apiVersion": "apps/v1",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
            "spec": {"replicas": replicas}}))
        .unwrap()
    }

    #[test]
    fn only_a_number_that_is_ours_is_handed_over() {
        assert_eq!(hand_over(&deployment(FIELD_MANAGER, "Apply", 4), 2), Some((4, false)));
        assert_eq!(hand_over(&deployment("kube-controller-manager", "Update", 4), 2), None);
        assert_eq!(hand_over(&deployment(KEEPER, "Apply", 4), 2), None);
    }

    #[test]
    fn no_deployment_is_handed_over_with_fewer_pods_than_its_autoscaler_allows() {
        assert_eq!(hand_over(&deployment(FIELD_MANAGER, "Apply", 0), 2), Some((2, true)));
        assert_eq!(hand_over(&deployment(FIELD_MANAGER, "Apply", 1), 2), Some((2, true)));
        assert_eq!(hand_over(&deployment(FIELD_MANAGER, "Apply", 2), 2), Some((2, false)));
    }

    #[test]
    fn a_deployment_knows_its_autoscaler_by_name() {
        let child = |kind, name: &str, object| Child { kind, name: name.to_owned(), object, rules: None };
        let autoscaler =
            child(ChildKind::HorizontalPodAutoscaler, "shop-api", json!({"spec": {"minReplicas": 3}}));
        let children = [
            child(ChildKind::Deployment, "shop-api", json!({})),
            child(ChildKind::Deployment, "shop-logger", json!({})),
            child(ChildKind::Service, "shop-api", json!({})),
            autoscaler,
        ];
        let found: Vec<_> = children.iter().map(|child| least(&children, child)).collect();
        assert_eq!(found, [Some(3), None, None, None]);
    }
}
