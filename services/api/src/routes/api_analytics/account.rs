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
use crate::Api;

/// `GET /api/generate`: a new key.
pub(super) async fn generate(State(api): State<Api>) -> Result<Json<Uuid>, ApiError> {
    if !api.options.open_signup {
        let message = "Sign-up is closed; ask the administrator for a key.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    let key = Uuid::new_v4();
    api.store.register_key(key).await.map_err(|e| store_error(&e))?;
    Ok(Json(key))
}

/// `GET /api/user-id/{key}`: the user id that reads what the key writes.
pub(super) async fn user_id(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<Uuid>, ApiError> {
    let project = api.store.project_by_key(parse_key(&key)?).await.map_err(|e| store_error(&e))?;
    Ok(Json(project.ok_or_else(|| refuse("Invalid API key."))?.user_id))
}

/// `GET /api/delete/{key}`: deletes everything; a key that is not known has nothing.
pub(super) async fn delete(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<Value>, ApiError> {
    let project = api.store.project_by_key(parse_key(&key)?).await.map_err(|e| store_error(&e))?;
    if let Some(project) = project {
        api.store.delete_project(project.id).await.map_err(|e| store_error(&e))?;
        api.endpoints_changed();
    }
    Ok(Json(json!({ "message": "Account data deleted successfully.", "status": 200 })))
}

/// `POST /api/regenerate-user-id`, which upstream's dashboard calls and its
/// server lacks: the old user id opens nothing any more.
pub(super) async fn regenerate_user_id(
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
