//! One log line and one histogram sample a request; answers that are [`Quiet`] are
//! logged at level debug.
//!
//! Only the route's template is recorded, never the path: api-analytics carries
//! API keys and user ids in paths. Metric and label names follow OpenTelemetry's
//! HTTP semantic conventions.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use prometheus::{HistogramOpts, HistogramVec, IntGauge, Registry};
use tower_http::catch_panic::CatchPanicLayer;

use super::timely::{ANSWER, timely};
use crate::error::ApiError;

/// An extension of an answer that is given thousands of times a second, and of
/// which a line each would say nothing that the metrics do not.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

/// Request metrics of one process.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    duration: HistogramVec,
    active: IntGauge,
}

impl HttpMetrics {
    /// Registers `http_server_request_duration_seconds` and `http_server_active_requests`.
    ///
    /// # Errors
    /// When a metric of that name is already registered.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "http_server_request_duration_seconds",
                "Time from a request's head to its answer's head.",
            )
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            &["http_request_method", "http_route", "http_response_status_code"],
        )?;
        let active = IntGauge::new("http_server_active_requests", "Requests being answered right now.")?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(active.clone()))?;
        Ok(Self { duration, active })
    }

    /// Wraps a router so that every request is counted, logged, and answered even when a handler panics
    /// or has nothing to say within [`ANSWER`].
    pub fn wrap(&self, router: Router) -> Router {
        self.wrap_within(router, ANSWER)
    }

    fn wrap_within(&self, router: Router, answer: Duration) -> Router {
        timely(router.layer(CatchPanicLayer::custom(panicked)), answer)
            .layer(middleware::from_fn_with_state(self.clone(), observe))
    }
}

fn panicked(cause: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    ApiError::internal(&format!("panic: {text}")).into_response()
}

/// Decrements the gauge also when the client goes away and the future is dropped.
struct Active(IntGauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn observe(
    State(metrics): State<HttpMetrics>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    metrics.active.inc();
    let _active = Active(metrics.active.clone());
    let method = known_method(request.method());
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let elapsed = start.elapsed();
    let status = response.status().as_u16();
    metrics.duration.with_label_values(&[method, &route, &status.to_string()]).observe(elapsed.as_secs_f64());
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                http.request.method = method,
                http.route = route,
                http.response.status_code = status,
                duration_ms,
                "request"
            )
        };
    }
    if response.extensions().get::<Quiet>().is_some() {
        log!(debug);
    } else {
        log!(info);
    }
    response
}

/// Unknown methods share one label value, so that a stranger cannot grow the series.
fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_without_an_answer_is_a_503_that_counts() {
        let registry = Registry::new();
        let metrics = HttpMetrics::new(&registry).expect("metrics");
        let router = metrics.wrap_within(
            Router::new().route("/never", get(std::future::pending::<()>)),
            Duration::from_millis(20),
        );
        let request = Request::builder().uri("/never").body(Body::empty()).expect("request");
        let answer = router.oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key(http::header::RETRY_AFTER));
        let counted = metrics.duration.with_label_values(&["GET", "/never", "503"]);
        assert_eq!((counted.get_sample_count(), metrics.active.get()), (1, 0));
    }
}
