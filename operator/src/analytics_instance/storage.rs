//! Growing the database's volume: the one change that a StatefulSet does not take.
//! The claim is enlarged and the set is replaced around its running pod.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::apply::said;
use super::backup::requested;
use super::diff::quantity;
use crate::context::{Context, Error};
use crate::gate::GateError;

const SIZE: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";

/// When the wanted StatefulSet asks for a larger volume than the live one, enlarges the
/// claim and removes the set, leaving its pod, so that it can be applied anew.
///
/// # Errors
/// [`Error::StorageNotExpandable`] when the storage class does not allow it.
pub async fn make_room(
    context: &Context,
    namespace: &str,
    wanted: &Value,
    live: &Value,
) -> Result<(), Error> {
    let size = |set: &Value| set.pointer(SIZE).and_then(Value::as_str).map(str::to_owned);
    let (Some(new), Some(old)) = (size(wanted), size(live)) else {
        return Ok(());
    };
    if quantity(&new) <= quantity(&old) {
        return Ok(());
    }
    let name = live.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let claim = format!("data-{name}-0");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    if let Some(current) = claims.get_opt(&claim).await? {
        grow(context, namespace, &current, &new).await?;
    }
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        preconditions: Some(Preconditions { uid: uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    let sets: Api<StatefulSet> = Api::namespaced(context.client.clone(), namespace);
    match context.gate.write(sets.delete(name, &params)).await {
        Ok(_) | Err(GateError::Kube(kube::Error::Api(_))) => {}
        Err(error) => return Err(error.into()),
    }
    context.metrics.applies.with_label_values(&["StatefulSet", "deleted"]).inc();
    // The set is gone only when the garbage collector has let go of its pod.
    let gone = kube::runtime::wait::await_condition(
        sets,
        name,
        kube::runtime::wait::conditions::is_deleted(uid.as_deref().unwrap_or_default()),
    );
    match tokio::time::timeout(std::time::Duration::from_secs(30), gone).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Error::Apply {
            kind: "StatefulSet",
            name: name.to_owned(),
            message: "it is being replaced and has not gone yet".to_owned(),
            hopeless: false,
        }),
    }
}

/// Lets a claim ask for more, if it asks for less.
///
/// # Errors
/// [`Error::StorageNotExpandable`] when the storage class does not allow it.
pub async fn grow(
    context: &Context,
    namespace: &str,
    current: &PersistentVolumeClaim,
    size: &str,
) -> Result<(), Error> {
    if requested(current).and_then(quantity) >= quantity(size) {
        return Ok(());
    }
    let claim = current.name_any();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    match context.gate.write(claims.patch(&claim, &params, &patch)).await {
        Ok(_) => {
            tracing::info!(claim, namespace, size, "the volume grows");
            context.metrics.applies.with_label_values(&["PersistentVolumeClaim", "updated"]).inc();
            Ok(())
        }
        Err(GateError::Closed) => Err(Error::Standby),
        Err(GateError::Kube(error)) => Err(Error::StorageNotExpandable { claim, message: said(&error) }),
    }
}
