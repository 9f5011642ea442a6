//! One folder an area.

mod api_analytics;
mod overview;
mod payload;
mod v1;

use axum::Router;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use crate::Api;

/// All routes of the read path, without `/api/health`, which every service has.
pub fn router(api: Api) -> Router {
    Router::new().merge(api_analytics::router()).merge(v1::router()).merge(overview::router()).with_state(api)
}

/// A failing store, to a client: nobody's fault but ours, and worth another try.
fn store_error(error: &StoreError) -> ApiError {
    tracing::error!(%error, "the store failed");
    ApiError::unavailable("Database connection failed.")
}
