//! Phase 4: writes what differs, in order, by server-side apply.

use std::collections::{BTreeMap, HashMap};

use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::child::{Child, ChildKind};
use super::diff::{hash, holds};
use super::{replicas, storage};
use crate::context::{Context, Error};
use crate::gate::GateError;
use crate::labels;
use crate::served::Served;

/// Owner of the fields that this controller writes.
pub const FIELD_MANAGER: &str = "watchkeeper-operator/analyticsinstance";

/// Child objects as they are on the API server.
#[derive(Debug, Clone, Default)]
pub struct Live {
    objects: HashMap<(ChildKind, String), DynamicObject>,
    served: Served,
    /// Kinds that may not be read, and what the API server said.
    forbidden: BTreeMap<ChildKind, String>,
}

impl Live {
    /// Reads all objects that carry the labels of an instance.
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
            let found = match (kind.api(client, namespace).list(&selected).await, kind.foreign()) {
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

    /// One object.
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
    namespace: &str,
    uid: &str,
    children: &[Child],
    live: &mut Live,
) -> Result<Vec<(ChildKind, Error)>, Error> {
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
        match apply_one(context, namespace, uid, child, least, live).await {
            Err(error @ Error::StorageNotExpandable { .. }) => refused.push((kind, error)),
            Err(error @ (Error::Apply { .. } | Error::NameTaken { .. })) if kind.optional() => {
                refused.push((kind, error));
            }
            other => other?,
        }
    }
    Ok(refused)
}

async fn apply_one(
    context: &Context,
    namespace: &str,
    uid: &str,
    child: &Child,
    least: Option<i64>,
    live: &mut Live,
) -> Result<(), Error> {
    let kind = child.kind;
    let api = kind.api(&context.client, namespace);
    let mut wanted = child.object.clone();
    let applied_hash = hash(&wanted.to_string());
    wanted["metadata"]["annotations"][labels::APPLIED_HASH] = json!(applied_hash);

    let current = match live.get(kind, &child.name) {
        Some(object) => Some(object.clone()),
        // It may exist without our labels: ours if it is owned, somebody's if not.
        None => api.get_opt(&child.name).await?,
    };
    if let Some(current) = &current {
        let adoptable = current.owner_references().is_empty()
            && current.labels().get("app.kubernetes.io/managed-by").map(String::as_str)
                == Some(labels::MANAGER);
        if !owned_by(current, uid) && !adoptable {
            return Err(Error::NameTaken { kind: kind.name(), name: child.name.clone() });
        }
        let as_value = with_type(to_value(current)?, &wanted);
        if holds(&wanted, &as_value) {
            live.put(kind, current.clone());
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
            storage::make_room(context, namespace, &wanted, &as_value).await?;
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
            live.put(kind, object);
            Ok(())
        }
        Err(GateError::Closed) => Err(Error::Standby),
        Err(GateError::Kube(error)) => {
            context.metrics.applies.with_label_values(&[kind.name(), "failed"]).inc();
            Err(Error::apply(kind.name(), child.name.clone(), &error))
        }
    }
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
