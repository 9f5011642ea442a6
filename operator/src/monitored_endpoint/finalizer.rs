//! The finalizer: lets the API forget an endpoint before it goes, but never for long.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use watchkeeper_crds::MonitoredEndpoint;

use crate::context::{Context, Error};
use crate::gate::GateError;
use crate::stores::InstanceKey;

/// Name of the finalizer.
pub const FINALIZER: &str = "watchkeeper.dev/endpoint";

/// Whether an endpoint waits for us before it goes.
#[must_use]
pub fn is_set(endpoint: &MonitoredEndpoint) -> bool {
    endpoint.finalizers().iter().any(|name| name == FINALIZER)
}

/// Sets the finalizer, before the API is first told about the endpoint.
///
/// # Errors
/// What the API server says.
pub async fn set(context: &Context, endpoint: &MonitoredEndpoint) -> Result<(), Error> {
    if is_set(endpoint) {
        return Ok(());
    }
    let mut finalizers = endpoint.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    write(context, endpoint, &finalizers).await
}

/// Lets an endpoint go: after the API has forgotten it, when there is no API to tell, or
/// when the API has been silent for too long.
///
/// # Errors
/// What the API of the instance says while it still has time, or the API server.
pub async fn release(context: &Context, endpoint: &MonitoredEndpoint) -> Result<(), Error> {
    if !is_set(endpoint) {
        return Ok(());
    }
    let key = InstanceKey::referred(endpoint);
    let uid = endpoint.uid().unwrap_or_default();
    if context.stores.instance(&key).is_some()
        && let Err(error) = context.links.forget(context, &key, &uid).await
    {
        if !overdue(context, endpoint) {
            return Err(error);
        }
        let note =
            format!("{error}; the endpoint goes without it, and the API forgets it at the next comparison");
        tracing::warn!(endpoint = endpoint.name_any(), %key, note);
        let about = kube::Resource::object_ref(endpoint, &());
        context.events.say(&about, true, "Delete", "DeletedWithoutApi", &note).await;
    }
    let rest: Vec<String> = endpoint.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
    match write(context, endpoint, &rest).await {
        Err(Error::Kube(kube::Error::Api(status))) if status.code == 404 => Ok(()),
        result => result,
    }
}

fn overdue(context: &Context, endpoint: &MonitoredEndpoint) -> bool {
    let Some(since) = &endpoint.metadata.deletion_timestamp else {
        return false;
    };
    let waited = Timestamp::now().as_millisecond().saturating_sub(since.0.as_millisecond());
    u64::try_from(waited)
        .is_ok_and(|waited| u128::from(waited) >= context.settings.deletion_grace.as_millis())
}

async fn write(context: &Context, endpoint: &MonitoredEndpoint, finalizers: &[String]) -> Result<(), Error> {
    let api: Api<MonitoredEndpoint> =
        Api::namespaced(context.client.clone(), &endpoint.namespace().unwrap_or_default());
    // With the resourceVersion, so that a finalizer somebody else has just set survives.
    let patch = json!({"metadata": {
        "resourceVersion": endpoint.resource_version(),
        "finalizers": finalizers,
    }});
    let patch = Patch::Merge(&patch);
    let name = endpoint.name_any();
    match context.gate.write(api.patch(&name, &PatchParams::default(), &patch)).await {
        Ok(_) => {
            context.metrics.applies.with_label_values(&["MonitoredEndpoint", "updated"]).inc();
            Ok(())
        }
        Err(GateError::Closed) => Err(Error::Standby),
        Err(GateError::Kube(error)) => Err(Error::Kube(error)),
    }
}
