//! api-analytics' API and monitor, with its paths, shapes, statuses and quirks.

mod account;
mod data;
mod failure;
mod gzip;
mod monitors;
mod requests;
mod rows;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use http::StatusCode;
use utoipa::OpenApi;
use uuid::Uuid;
use watchkeeper_runtime::{
    error::ApiError,
    http::{cors, json_charset, not_found},
};
use watchkeeper_store::Project;

use super::store_error;
use crate::Api;

/// What api-analytics' clients and dashboard call here.
#[derive(OpenApi)]
#[openapi(paths(
    account::generate,
    account::generate_api_key,
    account::user_id,
    account::delete,
    account::regenerate_user_id,
    data::data,
    monitors::pings,
    monitors::add,
    monitors::delete,
    requests::page,
    requests::pages,
))]
pub(super) struct ApiAnalyticsDoc;

pub(super) fn router() -> Router<Api> {
    Router::new()
        // A HEAD, by which mail programs and chats look at links, changes nothing.
        .route("/api/generate", get(account::generate).head(not_found))
        .route("/api/generate-api-key", get(account::generate_api_key).head(not_found))
        .route("/api/user-id/{key}", get(account::user_id))
        .route("/api/delete/{key}", get(account::delete).head(not_found))
        .route("/api/regenerate-user-id", post(account::regenerate_user_id))
        .route("/api/data", get(data::data))
        .route("/api/monitor/pings/{user}", get(monitors::pings))
        .route("/api/monitor/add", post(monitors::add))
        .route("/api/monitor/delete", post(monitors::delete))
        .route("/api/requests/{user}/{page}", get(requests::page))
        .route("/api/requests/{user}", get(requests::pages))
        .layer(middleware::map_response(json_charset))
        // Before the layer, or else preflights would not get into it.
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn(cors::allow_every_origin))
}

/// 400 with one of upstream's messages.
fn refuse(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, message)
}

/// The project of a user id, with or without dashes.
async fn by_user(api: &Api, user: &str) -> Result<Option<Project>, ApiError> {
    let user: Uuid = user.parse().map_err(|_| refuse("Invalid user ID."))?;
    api.store.project_by_user(user).await.map_err(|e| store_error(&e))
}

/// A key out of a path or header.
fn parse_key(key: &str) -> Result<Uuid, ApiError> {
    key.trim().trim_matches('"').parse().map_err(|_| refuse("Invalid API key."))
}
