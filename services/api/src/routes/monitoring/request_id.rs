//! `X-Request-ID` on every answer.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::problem::Problem;

const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, and its answer that id.
pub(super) async fn tell(request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    tracing::debug!(request_id = id, method = %request.method(), "a request of the monitoring interface");
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.with_request(&id);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(NAME, value);
    }
    response
}
