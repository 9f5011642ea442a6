//! `/livez`, `/readyz` and `/metrics`, on a port of their own (9090).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header::CONTENT_TYPE};
use prometheus::{Registry, TextEncoder};

/// What still has to happen before a process may take traffic.
///
/// A cheap handle; clones share the same list.
#[derive(Debug, Clone, Default)]
pub struct Health {
    pending: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Health {
    /// Marks `part` as not ready, with a reason for `/readyz`.
    pub fn pending(&self, part: &'static str, why: impl Into<String>) {
        self.lock().insert(part, why.into());
    }

    /// Marks `part` as ready.
    pub fn ready(&self, part: &'static str) {
        self.lock().remove(part);
    }

    /// The parts that are not ready, each with its reason.
    pub fn list(&self) -> Vec<(&'static str, String)> {
        self.lock().iter().map(|(part, why)| (*part, why.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of the metrics port.
pub fn router(health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(metrics).with_state(registry))
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let pending = health.list();
    if pending.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines = pending.iter().map(|(part, why)| format!("{part}: {why}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn metrics(State(registry): State<Registry>) -> impl IntoResponse {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => (StatusCode::OK, [(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A registry that already holds the process' own metrics and `watchkeeper_build_info`.
///
/// # Errors
/// Never in practice: only when a name is registered twice.
pub fn registry(component: &str) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let info = prometheus::IntGauge::with_opts(
        prometheus::Opts::new("watchkeeper_build_info", "Always 1; the labels tell what is running.")
            .const_label("component", component)
            .const_label("version", crate::VERSION),
    )?;
    info.set(1);
    registry.register(Box::new(info))?;
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn get(router: Router, path: &str) -> (StatusCode, String) {
        let request = http::Request::get(path).body(axum::body::Body::empty()).expect("request");
        let response = router.oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn readyz_names_each_pending_part_until_it_is_ready() {
        let health = Health::default();
        health.pending("store", "connecting");
        let app = router(health.clone(), registry("test").expect("registry"));
        let (status, body) = get(app.clone(), "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store: connecting\n"));
        health.ready("store");
        assert_eq!(get(app, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_tell_component_and_version() {
        let (status, body) =
            get(router(Health::default(), registry("test").expect("registry")), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("watchkeeper_build_info{component=\"test\""), "{body}");
    }
}
