//! Writes the status of an object as a whole. Server-side apply takes away what its own manager wrote
//! before and wants no more, and nothing else: what another one has left, as an operator of an earlier
//! release may have, would stay for ever.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::context::{Context, Error};
use crate::recent::Recent;

/// Versions of objects that this process has written and not yet seen come back. Until then, what it knows
/// of the object is older than what it said itself, and no reason to keep silent.
#[derive(Debug, Default)]
pub struct Written {
    /// By uid. Of most objects nobody asks again before something is to be said, and of those gone never.
    versions: Mutex<Recent<u64>>,
}

impl Written {
    /// Whether what is known of an object is at least as new as what was written last.
    #[must_use]
    pub fn is_seen(&self, known: &ObjectMeta) -> bool {
        let uid = known.uid.as_deref().unwrap_or_default();
        let mut versions = self.lock();
        let Some(written) = versions.get(uid).copied() else {
            return true;
        };
        let version = known.resource_version.as_deref().and_then(|version| version.parse().ok());
        // A version that cannot be compared must not keep anybody looking for ever.
        let seen = version.is_none_or(|version: u64| version >= written);
        if seen {
            versions.forget(uid);
        }
        seen
    }

    fn note(&self, written: &Value) {
        let text = |key: &str| written["metadata"][key].as_str();
        if let (Some(uid), Some(version)) =
            (text("uid"), text("resourceVersion").and_then(|version| version.parse().ok()))
        {
            self.lock().note(uid, version, Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recent<u64>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object whose status is written.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Group and version.
    pub api_version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Name.
    pub name: &'a str,
}

/// Makes a status be this and nothing more, whoever wrote it before.
///
/// # Errors
/// What the API server says, or that this process does not lead.
pub async fn write<K>(
    context: &Context,
    api: &Api<K>,
    subject: Subject<'_>,
    manager: &str,
    status: &Value,
) -> Result<(), Error>
where
    K: DeserializeOwned + Serialize,
{
    let Subject { api_version, kind, name } = subject;
    let body = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name},
        "status": status,
    });
    let params = PatchParams::apply(manager).force();
    let written = to_value(context.gate.write(api.patch_status(name, &params, &Patch::Apply(&body))).await?)?;
    context.written.note(&written);
    let Some(surplus) = surplus(status, &written["status"]) else {
        return Ok(());
    };
    tracing::info!(kind, name, "taking out of a status what another manager has left in it");
    // Of this version alone: what has come since has its own turn.
    let patch = json!({
        "metadata": {"resourceVersion": written["metadata"]["resourceVersion"]},
        "status": surplus,
    });
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let written = context.gate.write(api.patch_status(name, &params, &Patch::Merge(&patch))).await?;
    context.written.note(&to_value(written)?);
    Ok(())
}

fn to_value(object: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(|error| Error::Kube(kube::Error::SerdeError(error)))
}

/// The merge patch that takes out of `live` what is not wanted; nothing where there is nothing.
fn surplus(wanted: &Value, live: &Value) -> Option<Value> {
    match (wanted, live) {
        (Value::Object(fields), Value::Object(live)) => {
            let patch: Map<String, Value> = live
                .iter()
                .filter_map(|(key, live)| {
                    let out = match fields.get(key) {
                        Some(wanted) => surplus(wanted, live),
                        None => Some(Value::Null),
                    };
                    Some((key.clone(), out?))
                })
                .collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        // A merge patch knows lists only as a whole.
        (Value::Array(items), Value::Array(live)) if live.len() > items.len() => Some(wanted.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_left_is_taken_out_and_nothing_else_is_touched() {
        let wanted = json!({"conditions": [{"type": "Ready", "status": "True"}], "state": "Up",
            "uptime": {"24h": "99"}});
        let mut live = wanted.clone();
        assert_eq!(surplus(&wanted, &live), None);
        live["conditions"] =
            json!([{"type": "Ready", "status": "True"}, {"type": "Degraded", "status": "True"}]);
        live["uptime"]["7d"] = json!("98");
        live["certificate"] = json!({"notAfter": "2026-01-01T00:00:00Z"});
        assert_eq!(
            surplus(&wanted, &live),
            Some(json!({"conditions": wanted["conditions"], "uptime": {"7d": null}, "certificate": null}))
        );
    }

    #[test]
    fn what_was_written_is_waited_for_until_it_has_come_back() {
        let meta = |version: &str| ObjectMeta {
            uid: Some("u".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        let written = Written::default();
        assert!(written.is_seen(&meta("1")));
        written.note(&json!({"metadata": {"uid": "u", "resourceVersion": "10"}}));
        assert!(!written.is_seen(&meta("9")));
        assert!(written.is_seen(&meta("10")));
        assert!(written.is_seen(&meta("9")), "it is remembered after it has come back");
        written.note(&json!({"metadata": {"uid": "u", "resourceVersion": "11"}}));
        assert!(written.is_seen(&meta("opaque")));
    }

    #[test]
    fn a_value_that_is_not_there_yet_is_no_surplus() {
        assert_eq!(surplus(&json!({"state": "Up", "since": "x"}), &json!({"state": "Up"})), None);
        assert_eq!(surplus(&json!({"state": "Up"}), &Value::Null), None);
        assert_eq!(surplus(&json!({"list": [1, 2]}), &json!({"list": [1]})), None);
    }
}
