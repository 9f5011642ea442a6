//! Makes, changes and deletes the endpoint of an annotated object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_crds::MonitoredEndpoint;

use crate::analytics_instance::diff::holds;
use crate::context::{Context, Error};
use crate::gate::GateError;

/// Owner of the fields that this controller writes.
pub const FIELD_MANAGER: &str = "watchkeeper-operator/discovery";
const KIND: &str = "MonitoredEndpoint";

/// Endpoints of a namespace.
pub fn api(context: &Context, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), namespace, &ApiResource::erase::<MonitoredEndpoint>(&()))
}

/// Makes an endpoint, or makes the one that is there be as it should.
///
/// # Errors
/// What the API server says.
pub async fn settle(
    context: &Context,
    endpoints: &Api<DynamicObject>,
    mut wanted: Value,
    live: Option<DynamicObject>,
) -> Result<(), Error> {
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let Some(live) = live else {
        // Not by apply, which would take over what somebody else has made of this name by now.
        let object: DynamicObject =
            serde_json::from_value(wanted).map_err(|error| Error::InvalidSpec(error.to_string()))?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        return done(context, &name, "created", context.gate.write(endpoints.create(&params, &object)).await);
    };
    let as_value =
        serde_json::to_value(&live).map_err(|error| Error::Kube(kube::Error::SerdeError(error)))?;
    if live.metadata.deletion_timestamp.is_some() || holds(&wanted, &as_value) {
        return Ok(());
    }
    if as_value["spec"]["instanceRef"] != wanted["spec"]["instanceRef"] {
        // Which never changes: another takes its place when it is gone.
        return delete(context, endpoints, &live).await;
    }
    claim(context, endpoints, &live).await?;
    // Only this very object: if it has gone meanwhile, this is a conflict and no new one.
    wanted["metadata"]["uid"] = json!(live.uid());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&wanted);
    done(context, &name, "updated", context.gate.write(endpoints.patch(&name, &params, &patch)).await)
}

/// Makes the fields that were written at creation those of apply, which then takes out what is wanted
/// no more; otherwise they would be kept for ever as somebody's.
async fn claim(context: &Context, endpoints: &Api<DynamicObject>, live: &DynamicObject) -> Result<(), Error> {
    let mut fields = live.metadata.managed_fields.clone().unwrap_or_default();
    let mine = |entry: &ManagedFieldsEntry, operation: &str| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some(operation)
    };
    if !fields.iter().any(|entry| mine(entry, "Update")) {
        return Ok(());
    }
    if fields.iter().any(|entry| mine(entry, "Apply")) {
        fields.retain(|entry| !mine(entry, "Update"));
    }
    for entry in &mut fields {
        if mine(entry, "Update") {
            entry.operation = Some("Apply".to_owned());
        }
    }
    let patch = json!({"metadata": {"resourceVersion": live.resource_version(), "managedFields": fields}});
    let patch = Patch::Merge(&patch);
    context.gate.write(endpoints.patch(&live.name_any(), &PatchParams::default(), &patch)).await?;
    Ok(())
}

/// Deletes an endpoint that was made of an object.
///
/// # Errors
/// What the API server says, unless it is gone or another by now.
pub async fn delete(
    context: &Context,
    endpoints: &Api<DynamicObject>,
    live: &DynamicObject,
) -> Result<(), Error> {
    if live.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: live.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match context.gate.write(endpoints.delete(&live.name_any(), &params)).await {
        Err(GateError::Kube(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(()),
        result => done(context, &live.name_any(), "deleted", result),
    }
}

fn done<T>(context: &Context, name: &str, outcome: &str, result: Result<T, GateError>) -> Result<(), Error> {
    match result {
        Ok(_) => {
            tracing::info!(kind = KIND, name, outcome, "discovery");
            context.metrics.applies.with_label_values(&[KIND, outcome]).inc();
            Ok(())
        }
        Err(GateError::Closed) => Err(Error::Standby),
        Err(GateError::Kube(kube::Error::Api(status))) if status.code == 403 => {
            Err(Error::Forbidden { kind: KIND, message: status.message.clone() })
        }
        Err(GateError::Kube(error)) => Err(Error::apply(KIND, name.to_owned(), &error)),
    }
}
