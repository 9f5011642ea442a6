//! Phase 4: writes what differs, in order, by server-side apply.

use std::collections::{BTreeMap, HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::child::{Child, ChildKind};
use super::diff::{hash, holds};
use super::plan::Plan;
use super::{replicas, storage};
use crate::context::{Context, Error};
use crate::gate::GateError;
use crate::labels;
use crate::served::Served;
use crate::stores::InstanceKey;

/// Owner of the fields that this controller writes.
pub const FIELD_MANAGER: &str = "watchkeeper-operator/analyticsinstance";
/// Large objects that are listed at once.
const PAGE: u32 = 100;

/// Child objects as they are on the API server.
#[derive(Debug, Clone, Default)]
pub struct Live {
    objects: HashMap<(ChildKind, String), DynamicObject>,
    served: Served,
    /// Kinds that may not be read, and what the API server said.
    forbidden: BTreeMap<ChildKind, String>,
}

impl Live {
    /// Reads all objects that carry the labels of an instance; of large ones only their metadata.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn read(
        client: &Client,
        namespace: &str,
        instance: &str,
        served: Served,
    ) -> Result<Self, Error> {
        let mut live = Self { served, ..Self::default() };
        let selected = ListParams::default().labels(&labels::of_instance(instance));
        for kind in ChildKind::ALL.into_iter().filter(|kind| live.serves(*kind)).collect::<Vec<_>>() {
            let api = kind.api(client, namespace);
            let listed = if kind.is_large() {
                list_metadata(&api, &selected).await
            } else {
                api.list(&selected).await.map(|list| list.items)
            };
            let found = match (listed, kind.foreign()) {
                // Its CRD has just gone.
                (Err(kube::Error::Api(status)), Some(foreign)) if status.code == 404 => {
                    live.served.remove(&foreign);
                    continue;
                }
                // An operator that is newer than its role goes on with all that it may do.
                (Err(kube::Error::Api(status)), _) if status.code == 403 && kind.optional() => {
                    tracing::warn!(kind = kind.name(), namespace, message = status.message, "not permitted");
                    live.forbidden.insert(kind, status.message.clone());
                    continue;
                }
                (found, _) => found?,
            };
            for object in found {
                live.put(kind, object);
            }
        }
        Ok(live)
    }

    /// The kinds of other projects that the cluster serves.
    #[must_use]
    pub fn served(&self) -> &Served {
        &self.served
    }

    fn serves(&self, kind: ChildKind) -> bool {
        kind.foreign().is_none_or(|kind| self.served.contains(&kind))
    }

    /// One object, or the metadata of a large one.
    #[must_use]
    pub fn get(&self, kind: ChildKind, name: &str) -> Option<&DynamicObject> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// Puts in an object, or what has become of it.
    pub fn put(&mut self, kind: ChildKind, object: DynamicObject) {
        self.objects.insert((kind, object.name_any()), object);
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (ChildKind, &DynamicObject)> {
        self.objects.iter().map(|((kind, _), object)| (*kind, object))
    }
}

/// The metadata of objects that may be too many and too large to be held all at once.
async fn list_metadata(
    api: &Api<DynamicObject>,
    selected: &ListParams,
) -> Result<Vec<DynamicObject>, kube::Error> {
    let mut page = ListParams { limit: Some(PAGE), ..selected.clone() };
    let mut all = Vec::new();
    loop {
        let list = api.list_metadata(&page).await?;
        all.extend(list.items.into_iter().map(|object| head(object.metadata)));
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if page.continue_token.is_none() {
            return Ok(all);
        }
    }
}

/// A large object as it is kept: without what it says, and without the fields' managers, who name each
/// part of that once more.
fn head(metadata: ObjectMeta) -> DynamicObject {
    let metadata = ObjectMeta { managed_fields: None, ..metadata };
    DynamicObject { types: None, metadata, data: json!({}) }
}

/// Whether an object belongs to the owner of the given uid.
#[must_use]
pub fn owned_by(object: &DynamicObject, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid)
}

/// Writes the children that differ and puts their new state into `live`. What the cluster has no kind
/// for is left out, and told by the status. Says what was refused that holds nothing else up: what an
/// instance answers without, and a volume that cannot grow, for there is no way back for its size.
///
/// # Errors
/// The first child that cannot be written and that others need; what comes after it is left for the
/// next time.
pub async fn apply(
    context: &Context,
    plan: &Plan,
    children: &[Child],
    live: &mut Live,
) -> Result<Vec<(ChildKind, Error)>, Error> {
    let wanted: HashSet<&str> =
        children.iter().filter(|child| child.kind.is_large()).map(|child| child.name.as_str()).collect();
    context.applied.keep(&key_of(plan), |name| wanted.contains(name));
    let mut refused = Vec::new();
    for child in children {
        let kind = child.kind;
        if let Some(message) = live.forbidden.get(&kind).cloned() {
            refused.push((kind, Error::Forbidden { kind: kind.name(), message }));
            continue;
        }
        if !live.serves(kind) {
            continue;
        }
        let least = replicas::least(children, child);
        match apply_one(context, plan, child, least, live).await {
            Err(error @ Error::StorageNotExpandable { .. }) => refused.push((kind, error)),
            Err(error @ (Error::Apply { .. } | Error::NameTaken { .. } | Error::NameLeaving { .. }))
                if kind.optional() =>
            {
                refused.push((kind, error));
            }
            other => other?,
        }
    }
    Ok(refused)
}

fn key_of(plan: &Plan) -> InstanceKey {
    InstanceKey { namespace: plan.namespace.clone(), name: plan.name.clone() }
}

async fn apply_one(
    context: &Context,
    plan: &Plan,
    child: &Child,
    least: Option<i64>,
    live: &mut Live,
) -> Result<(), Error> {
    let (kind, namespace) = (child.kind, plan.namespace.as_str());
    let fingerprint = child.fingerprint();
    let known = live.get(kind, &child.name);
    if let (Some(fingerprint), Some(known)) = (&fingerprint, known)
        && context.applied.holds(&key_of(plan), &known.metadata, fingerprint)
    {
        return Ok(());
    }
    let api = kind.api(&context.client, namespace);
    let mut wanted = child.whole()?;
    let applied_hash = sign(&mut wanted);
    let mut rigid = None;

    let current = match known {
        Some(object) if !kind.is_large() => Some(object.clone()),
        // Of a large one only the metadata is known. Another may exist without our labels: ours if it is
        // owned, somebody's if not.
        _ => api.get_opt(&child.name).await?,
    };
    let settle = |live: &mut Live, object: DynamicObject| match &fingerprint {
        Some(fingerprint) => {
            context.applied.note(&key_of(plan), &object.metadata, fingerprint);
            live.put(kind, head(object.metadata));
        }
        None => live.put(kind, object),
    };
    if let Some(current) = &current {
        let adoptable = current.owner_references().is_empty()
            && current.labels().get("app.kubernetes.io/managed-by").map(String::as_str)
                == Some(labels::MANAGER);
        if !owned_by(current, &plan.uid) && !adoptable {
            let (kind, name) = (kind.name(), child.name.clone());
            return Err(if is_leaving(current, &wanted) {
                Error::NameLeaving { kind, name }
            } else {
                Error::NameTaken { kind, name }
            });
        }
        let as_value = with_type(to_value(current)?, &wanted);
        if holds(&wanted, &as_value) {
            settle(live, current.clone());
            return Ok(());
        }
        if current.annotations().get(labels::APPLIED_HASH) == Some(&applied_hash) {
            context.metrics.drift_corrections.with_label_values(&[kind.name()]).inc();
            tracing::info!(
                kind = kind.name(),
                name = child.name,
                namespace,
                "putting right what somebody changed"
            );
        }
        if kind == ChildKind::StatefulSet {
            match storage::make_room(context, namespace, &wanted, &as_value).await {
                // There is no way back for the size, so nothing else of the database may wait for it.
                Err(error @ Error::StorageNotExpandable { .. }) => {
                    wanted.clone_from(&child.object);
                    storage::keep_size(&mut wanted, &as_value);
                    sign(&mut wanted);
                    if holds(&wanted, &as_value) {
                        return Err(error);
                    }
                    rigid = Some(error);
                }
                made => made?,
            }
        }
    }
    if let Some(least) = least {
        replicas::keep(context, namespace, &mut wanted, current.as_ref(), least).await?;
    }
    let outcome = if current.is_some() { "updated" } else { "created" };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&wanted);
    match context.gate.write(api.patch(&child.name, &params, &patch)).await {
        Ok(object) => {
            tracing::info!(kind = kind.name(), name = child.name, namespace, outcome, "applied");
            context.metrics.applies.with_label_values(&[kind.name(), outcome]).inc();
            settle(live, object);
            rigid.map_or(Ok(()), Err)
        }
        Err(GateError::Closed) => Err(Error::Standby),
        Err(GateError::Kube(error)) => {
            context.metrics.applies.with_label_values(&[kind.name(), "failed"]).inc();
            Err(Error::apply(kind.name(), child.name.clone(), &error))
        }
    }
}

/// Writes on an object the hash of what it says, by which it is known later that it was applied.
fn sign(object: &mut Value) -> String {
    let hash = hash(&object.to_string());
    object["metadata"]["annotations"][labels::APPLIED_HASH] = json!(hash);
    hash
}

/// Whether an object that is not ours will be gone by itself: it is going already, or it is of an instance
/// of the same name that is no more, after which the garbage collector sweeps.
fn is_leaving(current: &DynamicObject, wanted: &Value) -> bool {
    let owner = &wanted["metadata"]["ownerReferences"][0];
    let of_before = |other: &OwnerReference| owner["kind"] == other.kind && owner["name"] == other.name;
    current.metadata.deletion_timestamp.is_some() || current.owner_references().iter().any(of_before)
}

/// The API server leaves kind and version out of the items of a list.
fn with_type(mut live: Value, wanted: &Value) -> Value {
    for key in ["apiVersion", "kind"] {
        live[key] = wanted[key].clone();
    }
    live
}

/// What the API server said, without the wrapping.
#[must_use]
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn to_value(object: &DynamicObject) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(|error| Error::Kube(kube::Error::SerdeError(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_instance_of_this_name_has_left_behind_will_go_and_what_is_somebody_elses_will_not() {
        let wanted = json!({"metadata": {"ownerReferences": [{"apiVersion": "watchkeeper.dev/v1alpha1",
            "kind": "AnalyticsInstance", "name": "shop", "uid": "new"}]}});
        let object = |owners: Value| -> DynamicObject {
            serde_json::from_value(json!({"metadata": {"name": "shop-config", "ownerReferences": owners}}))
                .unwrap()
        };
        let owner =
            |kind: &str, name: &str| json!({"apiVersion": "a/v1", "kind": kind, "name": name, "uid": "old"});
        assert!(is_leaving(&object(json!([owner("AnalyticsInstance", "shop")])), &wanted));
        assert!(!is_leaving(&object(json!([owner("AnalyticsInstance", "other")])), &wanted));
        assert!(!is_leaving(&object(json!([owner("Deployment", "shop")])), &wanted));
        let mut theirs = object(json!([]));
        assert!(!is_leaving(&theirs, &wanted));
        theirs.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(is_leaving(&theirs, &wanted));
    }
}
