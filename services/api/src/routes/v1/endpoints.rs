//! `/api/v1/endpoints`: the full set is put by uid, so that repeating it changes nothing.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;
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
    auth::{Admin, Viewer},
    endpoint_spec::translate,
    routes::{ErrorView, payload::Payload, store_error},
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
#[utoipa::path(
    get,
    path = "/api/v1/endpoints",
    tag = "endpoints",
    params(("origin" = Option<String>, Query, description = "kubernetes, manifest or monitor; all without it")),
    responses(
        (status = 200, description = "The endpoints, and the cursor from which transitions go on", body = Object),
        (status = 401, description = "Not the administrator", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn list(
    _: Viewer,
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    // Before the list: what changes meanwhile is then told again rather than never.
    let cursor = api.store.last_transition().await.map_err(|e| store_error(&e))?;
    let endpoints = views(&api, query.get("origin").map(String::as_str)).await?;
    Ok(Json(json!({ "endpoints": endpoints, "cursor": cursor.to_string() })))
}

/// The endpoints with their uptimes.
pub(crate) async fn views(api: &Api, origin: Option<&str>) -> Result<Vec<EndpointView>, ApiError> {
    let endpoints = api.store.endpoints().await.map_err(|e| store_error(&e))?;
    let mut uptimes = api.store.uptimes(now_ms()).await.map_err(|e| store_error(&e))?;
    Ok(endpoints
        .into_iter()
        .filter(|endpoint| origin.is_none_or(|origin| endpoint.origin.as_str() == origin))
        .map(|endpoint| {
            let uptime = uptimes.remove(&endpoint.id).unwrap_or_default();
            EndpointView::new(endpoint, uptime)
        })
        .collect())
}

/// Puts an endpoint: a MonitoredEndpoint's specification, its Secrets resolved.
#[utoipa::path(
    put,
    path = "/api/v1/endpoints/{uid}",
    tag = "endpoints",
    params(("uid" = String, Path, description = "What tells it from all others, for ever")),
    request_body(content = Object, example = json!({
        "namespace": "default", "name": "web", "generation": 1,
        "spec": { "instanceRef": { "name": "main" }, "http": { "url": "https://shop.example/" } },
    })),
    responses(
        (status = 200, description = "Put; `changed` says whether it was another", body = Object, example = json!({ "changed": false })),
        (status = 201, description = "It is new", body = Object, example = json!({ "changed": true })),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn put(
    _: Admin,
    State(api): State<Api>,
    Path(uid): Path<String>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    let unprocessable =
        |field: &str, message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(field);
    let put: Put = serde_json::from_slice(&body)
        .map_err(|e| unprocessable("", format!("The body is malformed: {e}")))?;
    if uid.len() > 255 {
        return Err(unprocessable("uid", "A uid may have 255 bytes.".into()));
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
#[utoipa::path(
    delete,
    path = "/api/v1/endpoints/{uid}",
    tag = "endpoints",
    params(("uid" = String, Path, description = "As it was put")),
    responses((status = 204, description = "It is gone"),
        (status = 401, description = "Not the administrator", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn delete(
    _: Admin,
    State(api): State<Api>,
    Path(uid): Path<String>,
) -> Result<StatusCode, ApiError> {
    api.store.delete_endpoint(&uid).await.map_err(|e| store_error(&e))?;
    api.endpoints_changed();
    Ok(StatusCode::NO_CONTENT)
}
