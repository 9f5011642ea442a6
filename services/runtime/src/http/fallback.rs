//! What is answered where there is no route: as gin does, which api-analytics is built on.

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header::LOCATION};

/// 404 as plain text.
pub async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found").into_response()
}

/// Finishes a router: an unknown route or method is a 404, and a path below
/// `/api/` with a slash too many is redirected to the one without.
pub fn finish(router: Router) -> Router {
    router.fallback(missing).method_not_allowed_fallback(not_found)
}

async fn missing(request: Request) -> Response {
    let path = request.uri().path();
    // Below `/api/` only: elsewhere `//host/` would redirect to a stranger's host.
    if !path.starts_with("/api/") || !path.ends_with('/') || path.contains("//") {
        return not_found().await;
    }
    let mut target = path.trim_end_matches('/').to_owned();
    if let Some(query) = request.uri().query() {
        target.push('?');
        target.push_str(query);
    }
    let status = match *request.method() {
        Method::GET => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    match HeaderValue::from_str(&target) {
        Ok(location) => (status, [(LOCATION, location)]).into_response(),
        Err(_) => not_found().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, routing::post};
    use tower::ServiceExt;

    async fn answer(method: &str, path: &str) -> (StatusCode, Option<String>) {
        let app = finish(Router::new().route("/api/requests", post(|| async {})));
        let request = http::Request::builder().method(method).uri(path).body(Body::empty()).expect("request");
        let response = app.oneshot(request).await.expect("infallible");
        let location = response.headers().get(LOCATION).map(|l| l.to_str().expect("text").to_owned());
        (response.status(), location)
    }

    #[tokio::test]
    async fn a_slash_too_many_is_redirected_and_a_stranger_is_not() {
        let to = |path: &str| Some(path.to_owned());
        assert_eq!(
            answer("POST", "/api/requests/?a=1").await,
            (StatusCode::TEMPORARY_REDIRECT, to("/api/requests?a=1"))
        );
        assert_eq!(
            answer("GET", "/api/requests/").await,
            (StatusCode::MOVED_PERMANENTLY, to("/api/requests"))
        );
        for path in ["//evil.example/", "/api//evil.example/", "/nope/", "/api/nope"] {
            assert_eq!(answer("GET", path).await, (StatusCode::NOT_FOUND, None), "{path}");
        }
    }

    #[tokio::test]
    async fn an_unknown_method_is_not_found() {
        assert_eq!(answer("DELETE", "/api/requests").await.0, StatusCode::NOT_FOUND);
    }
}
