//! `/api/v1/endpoints` as the operator uses it: the full set is put by uid, so that repeating it
//! changes nothing. What the same paths answer to others is in `monitoring`, which asks here.

use axum::{
    Json, RequestExt,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchkeeper_crds::{
    MonitoredEndpoint,
    manifest::{self, Manifest},
};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{NewEndpoint, Origin, ProjectId, PutOutcome, now_ms};

use super::EndpointView;
use crate::{
    Api,
    auth::{administrator, viewer},
    endpoint_spec::translate,
    routes::{is_plain, payload::Payload, store_error},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    namespace: String,
    name: String,
    #[serde(default)]
    generation: i64,
    spec: Value,
}

/// Lists what is watched, with its state and uptime.
pub(in crate::routes) async fn list(
    api: &Api,
    headers: &HeaderMap,
    origin: Option<&str>,
) -> Result<Response, Response> {
    viewer(api, headers).await?;
    // Before the list: what changes meanwhile is then told again rather than never.
    let cursor = api.store.last_transition().await.map_err(|e| store_error(&e).into_response())?;
    let endpoints = views(api, origin).await.map_err(IntoResponse::into_response)?;
    Ok(Json(List { endpoints, cursor: cursor.to_string() }).into_response())
}

/// A list of endpoints, and the last transition that it knows of.
#[derive(Serialize)]
struct List {
    endpoints: Vec<EndpointView>,
    cursor: String,
}

/// The endpoints with their uptimes.
pub(crate) async fn views(api: &Api, origin: Option<&str>) -> Result<Vec<EndpointView>, ApiError> {
    let now = now_ms();
    let endpoints = api.store.endpoints().await.map_err(|e| store_error(&e))?;
    let mut uptimes = api.store.uptimes(now).await.map_err(|e| store_error(&e))?;
    Ok(endpoints
        .into_iter()
        .filter(|endpoint| origin.is_none_or(|origin| endpoint.origin.as_str() == origin))
        .map(|endpoint| {
            let uptime = uptimes.remove(&endpoint.id).unwrap_or_default();
            EndpointView::new(endpoint, uptime, now)
        })
        .collect())
}

/// Puts an endpoint: a MonitoredEndpoint's specification, its Secrets resolved.
pub(in crate::routes) async fn put(api: &Api, uid: String, request: Request) -> Result<Response, Response> {
    administrator(api, request.headers()).await?;
    let Payload(body) = request.extract().await.map_err(IntoResponse::into_response)?;
    put_body(api, uid, &body).await.map_err(IntoResponse::into_response)
}

async fn put_body(api: &Api, uid: String, body: &[u8]) -> Result<Response, ApiError> {
    let unprocessable =
        |field: &str, message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(field);
    let put: Put =
        serde_json::from_slice(body).map_err(|e| unprocessable("", format!("The body is malformed: {e}")))?;
    if uid.len() > 255 {
        return Err(unprocessable("uid", "A uid may have 255 bytes.".into()));
    }
    for (field, text) in [("uid", &uid), ("namespace", &put.namespace), ("name", &put.name)] {
        if !is_plain(text) {
            return Err(unprocessable(field, format!("A {field} has no control characters.")));
        }
    }
    let endpoint = judge(&put).map_err(|(field, message)| unprocessable(&field, message))?;
    let spec = translate(&endpoint.spec, &put.name, |_, _| None)
        .map_err(|error| unprocessable(&error.field, error.message))?;
    let new = NewEndpoint {
        uid,
        origin: Origin::Kubernetes,
        project: ProjectId::INSTALLATION,
        namespace: put.namespace,
        name: put.name,
        generation: put.generation,
        spec,
    };
    let outcome = api.store.put_endpoint(&new).await.map_err(|e| store_error(&e))?;
    if outcome != PutOutcome::Unchanged {
        api.endpoints_changed();
    }
    let status = if outcome == PutOutcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "changed": outcome != PutOutcome::Unchanged }))).into_response())
}

/// Judges a specification by the rules of the kind: the API server's, here again.
fn judge(put: &Put) -> Result<MonitoredEndpoint, (String, String)> {
    let object = json!({
        "apiVersion": format!("{}/{}", watchkeeper_crds::GROUP, watchkeeper_crds::VERSION),
        "kind": "MonitoredEndpoint",
        "metadata": { "name": put.name, "namespace": put.namespace },
        "spec": put.spec,
    });
    // JSON is YAML.
    let parsed = manifest::parse(&object.to_string()).map_err(|errors| match errors.into_iter().next() {
        Some(error) if error.fix.is_empty() => (error.path, error.message),
        Some(error) => (error.path, format!("{}; {}", error.message, error.fix)),
        None => (String::new(), "The specification is not valid.".into()),
    })?;
    match parsed.into_iter().next() {
        Some(Manifest::MonitoredEndpoint(endpoint)) => Ok(*endpoint),
        _ => Err((String::new(), "The specification is not one of a MonitoredEndpoint.".into())),
    }
}

/// Deletes an endpoint; also one that is not there.
pub(in crate::routes) async fn delete(
    api: &Api,
    headers: &HeaderMap,
    uid: &str,
) -> Result<Response, Response> {
    administrator(api, headers).await?;
    api.store.delete_endpoint(uid).await.map_err(|e| store_error(&e).into_response())?;
    api.endpoints_changed();
    Ok(StatusCode::NO_CONTENT.into_response())
}
