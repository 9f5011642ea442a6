//! One folder an area.

mod api_analytics;
pub(crate) mod dashboard;
mod documentation;
mod exchange;
pub(crate) mod monitoring;
mod overview;
mod payload;
mod privacy;
mod query;
mod site_analytics;
mod v1;

pub(crate) use documentation::ErrorView;
pub use exchange::import::protect;

use axum::{Router, http::StatusCode, middleware};
use watchkeeper_analytics::AskError;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use crate::{Api, auth};

/// Why a text is refused that no database keeps.
pub(crate) const NO_NUL: &str = "A text must not have the character U+0000.";

/// All routes of the read path, without `/api/health`, which every service has.
pub fn router(api: Api) -> Router {
    Router::new()
        .merge(api_analytics::router())
        .merge(v1::router())
        .merge(monitoring::router(&api))
        .merge(query::router())
        .merge(dashboard::router())
        .merge(exchange::router())
        .merge(privacy::router())
        .merge(site_analytics::router())
        .merge(overview::router())
        .merge(documentation::router(&api))
        .layer(middleware::from_fn_with_state(api.clone(), auth::slow_down))
        .layer(middleware::from_fn(monitoring::identify))
        .with_state(api)
}

/// Does what takes a while, as reading filters with expressions does, off the executor.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::internal(&e))?
}

/// A question without an answer, to a client: its own fault (422), or the store's.
pub(crate) fn ask_error(error: AskError) -> ApiError {
    match error {
        AskError::Question(message) => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message),
        AskError::Store(error) => store_error(&error),
    }
}

/// Whether a text can stand in every store and on every page: without control characters, but for the ends
/// of lines and tabs.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.contains(|it: char| it.is_control() && !matches!(it, '\n' | '\r' | '\t'))
}

/// A failing store, to a client: nobody's fault but ours, and worth another try. A text that no store keeps
/// is the client's.
pub(crate) fn store_error(error: &StoreError) -> ApiError {
    if error.is_of_text() {
        return ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, NO_NUL);
    }
    tracing::error!(%error, "the store failed");
    ApiError::unavailable("Database connection failed.")
}
