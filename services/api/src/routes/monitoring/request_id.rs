//! `X-Request-ID` on every answer.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::problem::Problem;

const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request.
#[derive(Clone)]
struct Id(String);

/// Gives the request an id, and its answer that id.
pub(in crate::routes) async fn identify(mut request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    request.extensions_mut().insert(Id(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(NAME, value);
    }
    response
}

/// Has the errors of this interface tell the request's id.
pub(super) async fn tell(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<Id>().map(|Id(id)| id.clone()).unwrap_or_default();
    tracing::debug!(request_id = id, method = %request.method(), "a request of the monitoring interface");
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.with_request(&id),
        None => response,
    }
}
