//! The finalizer: lets the API forget an endpoint before it goes, but never for long.

use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use watchkeeper_crds::MonitoredEndpoint;

use crate::context::{Context, Error};
use crate::discovery::endpoint::instance_of;
use crate::gate::GateError;
use crate::stores::{Guarded, InstanceKey};

/// Name of the finalizer.
pub const FINALIZER: &str = "watchkeeper.dev/endpoint";

/// Whether an endpoint waits for us before it goes.
#[must_use]
pub fn is_set<K: Resource>(endpoint: &K) -> bool {
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
pub async fn release<K>(context: &Context, endpoint: &K, key: &InstanceKey) -> Result<(), Error>
where
    K: Resource<DynamicType = ()>,
{
    if !is_set(endpoint) {
        return Ok(());
    }
    let uid = endpoint.uid().unwrap_or_default();
    if context.stores.instance(key).is_some()
        && let Err(error) = context.links.forget(context, key, &uid).await
    {
        if !overdue(context, endpoint) {
            return Err(error);
        }
        let note =
            format!("{error}; the endpoint goes without it, and the API forgets it at the next comparison");
        tracing::warn!(endpoint = endpoint.name_any(), %key, note);
        let about = endpoint.object_ref(&());
        context.events.say(&about, true, "Delete", "DeletedWithoutApi", &note).await;
    }
    let rest: Vec<String> = endpoint.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
    match write(context, endpoint, &rest).await {
        Err(Error::Kube(kube::Error::Api(status))) if status.code == 404 => Ok(()),
        result => result,
    }
}

/// Lets an endpoint go that cannot be read: what keeps it from being watched must not keep it from going.
///
/// # Errors
/// As [`release`].
pub async fn release_unreadable(
    context: &Context,
    endpoint: &Guarded<MonitoredEndpoint>,
) -> Result<(), Error> {
    if !is_set(endpoint) {
        return Ok(());
    }
    let live = api(context, endpoint).get_opt(&endpoint.name_any()).await?;
    let Some(live) = live.filter(|live| live.uid() == endpoint.uid()) else {
        return Ok(());
    };
    match instance_of(&live) {
        Some(key) => release(context, endpoint, &key).await,
        // Of nobody, so nobody has been told of it.
        None => {
            let others = endpoint.finalizers().iter().filter(|name| *name != FINALIZER);
            write(context, endpoint, &others.cloned().collect::<Vec<_>>()).await
        }
    }
}

fn overdue<K: Resource>(context: &Context, endpoint: &K) -> bool {
    let Some(since) = &endpoint.meta().deletion_timestamp else {
        return false;
    };
    let waited = Timestamp::now().as_millisecond().saturating_sub(since.0.as_millisecond());
    u64::try_from(waited)
        .is_ok_and(|waited| u128::from(waited) >= context.settings.deletion_grace.as_millis())
}

/// Endpoints as they are, readable or not.
fn api<K: Resource>(context: &Context, endpoint: &K) -> Api<DynamicObject> {
    let namespace = endpoint.namespace().unwrap_or_default();
    Api::namespaced_with(context.client.clone(), &namespace, &ApiResource::erase::<MonitoredEndpoint>(&()))
}

async fn write<K: Resource>(context: &Context, endpoint: &K, finalizers: &[String]) -> Result<(), Error> {
    // With the resourceVersion, so that a finalizer somebody else has just set survives.
    let patch = json!({"metadata": {
        "resourceVersion": endpoint.resource_version(),
        "finalizers": finalizers,
    }});
    let patch = Patch::Merge(&patch);
    let (api, name) = (api(context, endpoint), endpoint.name_any());
    match context.gate.write(api.patch(&name, &PatchParams::default(), &patch)).await {
        Ok(_) => {
            context.metrics.applies.with_label_values(&["MonitoredEndpoint", "updated"]).inc();
            Ok(())
        }
        Err(GateError::Closed) => Err(Error::Standby),
        Err(GateError::Kube(error)) => Err(Error::Kube(error)),
    }
}
