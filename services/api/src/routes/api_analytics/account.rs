//! Keys and user ids.

use axum::{
    Json,
    extract::{Path, State},
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_runtime::error::ApiError;

use super::{parse_key, refuse, store_error};
use crate::{Api, routes::ErrorView};

/// Makes a new API key.
#[utoipa::path(
    get,
    path = "/api/generate",
    tag = "api-analytics",
    responses(
        (status = 200, description = "The key", body = String, example = json!("00000000-0000-4000-8000-000000000001")),
        (status = 403, description = "Sign-up is closed", body = ErrorView),
    ),
)]
pub(crate) async fn generate(State(api): State<Api>) -> Result<Json<Uuid>, ApiError> {
    if !api.options.open_signup {
        let message = "Sign-up is closed; ask the administrator for a key.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    let key = Uuid::new_v4();
    api.store.register_key(key).await.map_err(|e| store_error(&e))?;
    Ok(Json(key))
}

/// The same under its other name.
#[utoipa::path(
    get,
    path = "/api/generate-api-key",
    tag = "api-analytics",
    responses(
        (status = 200, description = "The key", body = String),
        (status = 403, description = "Sign-up is closed", body = ErrorView),
    ),
)]
pub(crate) async fn generate_api_key(api: State<Api>) -> Result<Json<Uuid>, ApiError> {
    generate(api).await
}

/// Tells the user id that reads what the key writes.
#[utoipa::path(
    get,
    path = "/api/user-id/{key}",
    tag = "api-analytics",
    params(("key" = String, Path, description = "API key")),
    responses(
        (status = 200, description = "The user id", body = String),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
    ),
)]
pub(crate) async fn user_id(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<Uuid>, ApiError> {
    let project = api.store.project_by_key(parse_key(&key)?).await.map_err(|e| store_error(&e))?;
    Ok(Json(project.ok_or_else(|| refuse("Invalid API key."))?.user_id))
}

/// Deletes the project of a key with everything of it; a key that is not known has nothing.
#[utoipa::path(
    get,
    path = "/api/delete/{key}",
    tag = "api-analytics",
    params(("key" = String, Path, description = "API key")),
    responses(
        (status = 200, description = "It is gone", body = Object),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
    ),
)]
pub(crate) async fn delete(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<Value>, ApiError> {
    let project = api.store.project_by_key(parse_key(&key)?).await.map_err(|e| store_error(&e))?;
    if let Some(project) = project {
        api.store.delete_project(project.id).await.map_err(|e| store_error(&e))?;
        api.endpoints_changed();
    }
    Ok(Json(json!({ "message": "Account data deleted successfully.", "status": 200 })))
}

/// `POST /api/regenerate-user-id`, which upstream's dashboard calls and its
/// server lacks: the old user id opens nothing any more.
#[utoipa::path(
    post,
    path = "/api/regenerate-user-id",
    tag = "api-analytics",
    responses(
        (status = 200, description = "The new user id", body = String),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
    ),
    security(("project_key" = [])),
)]
pub(crate) async fn regenerate_user_id(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Json<Uuid>, ApiError> {
    let key = header_key(&headers)?;
    let project = api.store.project_by_key(key).await.map_err(|e| store_error(&e))?;
    let project = project.ok_or_else(|| refuse("Invalid API key."))?;
    let user = api.store.regenerate_user_id(project.id).await.map_err(|e| store_error(&e))?;
    Ok(Json(user))
}

/// The key of `X-AUTH-TOKEN`, or of its deprecated twin `API-Key`.
pub(super) fn header_key(headers: &HeaderMap) -> Result<Uuid, ApiError> {
    let value = headers.get("x-auth-token").or_else(|| headers.get("api-key"));
    parse_key(value.and_then(|value| value.to_str().ok()).unwrap_or_default())
}
