//! `/api/v1/projects/{name}`: projects that an administrator names and gives a key.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use crate::{
    Api,
    auth::Admin,
    routes::{payload::Payload, store_error},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    key: Uuid,
}

/// Gives the project of this name a key; the project is made if need be.
pub(super) async fn put(
    _: Admin,
    State(api): State<Api>,
    Path(name): Path<String>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    // The parser's own message could repeat the key.
    let put: Put = serde_json::from_slice(&body).map_err(|_| {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "The body must be {\"key\": \"<uuid>\"}.")
            .field("key")
    })?;
    if name.is_empty() || name.len() > 255 {
        let message = "A name has 1 to 255 bytes.";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field("name"));
    }
    let changed = match api.store.put_project(&name, put.key).await {
        Err(StoreError::KeyTaken) => {
            let message = "Another project has this key; give this one another.";
            return Err(ApiError::new(StatusCode::CONFLICT, message).field("key"));
        }
        put => put.map_err(|e| store_error(&e))?,
    };
    let status = if changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "changed": changed }))).into_response())
}

/// Forgets the name; key and data stay.
pub(super) async fn delete(
    _: Admin,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    api.store.forget_project_name(&name).await.map_err(|e| store_error(&e))?;
    Ok(StatusCode::NO_CONTENT)
}
