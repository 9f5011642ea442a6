//! The database's volume. Growing is the one change that a StatefulSet does not take: the claim is
//! enlarged and the set is replaced around its running pod. And as long as its instance stays, the volume
//! outlives the set.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::apply::said;
use super::backup::requested;
use super::diff::quantity;
use crate::context::{Context, Error};
use crate::gate::GateError;

const SIZE: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
const WHEN_DELETED: &str = "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted";

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

/// Leaves the size of the volume as the live StatefulSet has it.
pub fn keep_size(wanted: &mut Value, live: &Value) {
    if let (Some(wanted), Some(live)) = (wanted.pointer_mut(SIZE), live.pointer(SIZE)) {
        *wanted = live.clone();
    }
}

/// Cuts the tie by which the claim would go with a StatefulSet that is wanted no more: what becomes of the
/// volume at the end of the instance says nothing of a database that only moves elsewhere. Says whether
/// the set may go by now.
///
/// # Errors
/// What the API server says.
pub async fn let_go(context: &Context, namespace: &str, set: &DynamicObject) -> Result<bool, Error> {
    let name = set.name_any();
    if set.data.pointer(WHEN_DELETED).and_then(Value::as_str) == Some("Delete") {
        let sets: Api<StatefulSet> = Api::namespaced(context.client.clone(), namespace);
        let patch = json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        context.gate.write(sets.patch(&name, &params, &patch)).await?;
        context.metrics.applies.with_label_values(&["StatefulSet", "updated"]).inc();
        return Ok(false);
    }
    // The tie is its controller's work, who would make it again until it has seen the change.
    let observed = set.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if observed < set.metadata.generation {
        return Ok(false);
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let claim = claims.get_opt(&format!("data-{name}-0")).await?;
    Ok(claim.is_none_or(|claim| is_free(&claim, set)))
}

/// Whether a claim stays when a StatefulSet goes.
fn is_free(claim: &PersistentVolumeClaim, set: &DynamicObject) -> bool {
    claim.owner_references().iter().all(|owner| Some(&owner.uid) != set.metadata.uid.as_ref())
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
