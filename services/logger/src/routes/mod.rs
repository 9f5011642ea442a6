//! The write path over HTTP: one file a protocol.

mod api_analytics;
mod site_analytics;

use axum::{
    Json, Router,
    extract::State,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use serde_json::json;
use watchkeeper_runtime::http::{cors, json_charset, not_found};
use watchkeeper_store::Store;

use crate::Logger;
pub use site_analytics::{Site, site_router};

/// The routes of the write path, without `/api/health`, which every service has.
pub fn router(logger: Logger) -> Router {
    api_analytics::router(logger)
}

/// `GET /api/health`, which the logger and the API both have.
pub fn health(store: Store) -> Router {
    Router::new()
        .route("/api/health", get(healthy))
        .layer(middleware::map_response(json_charset))
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn(cors::allow_every_origin))
        .with_state(store)
}

async fn healthy(State(store): State<Store>) -> Response {
    match store.ping().await {
        Ok(()) => Json(json!({ "status": "healthy" })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            let body = json!({ "error": "Database connection failed", "status": "unhealthy" });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
    }
}
