//! Answers that take too long to begin are ended.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use crate::error::ApiError;

/// Time until an answer begins, of a service.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

/// Gives a request 503 that has no answer within `limit`; what it waited for is dropped.
pub fn timely(router: Router, limit: Duration) -> Router {
    router.layer(middleware::from_fn_with_state(limit, within))
}

async fn within(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::unavailable(format!("There was no answer within {limit:?}.")).into_response(),
    }
}
