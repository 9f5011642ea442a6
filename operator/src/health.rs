//! `/livez`, `/readyz` and `/metrics`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What the process still waits for. Ready means: nothing.
#[derive(Debug, Clone, Default)]
pub struct Health {
    pending: Arc<Mutex<BTreeSet<String>>>,
}

impl Health {
    /// Notes that something is not there yet.
    pub fn pend(&self, what: &str) {
        self.lock().insert(what.to_owned());
    }

    /// Notes that something is there now.
    pub fn settle(&self, what: &str) {
        self.lock().remove(what);
    }

    /// What is not there yet, in order.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // A set of names is whole even if a holder of the lock has panicked.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    metrics: Arc<Metrics>,
    health: Health,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(metrics, health)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(metrics: Arc<Metrics>, health: Health) -> Router {
    Router::new()
        .route("/livez", get(|| async { Json(json!({"status": "alive"})) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state((metrics, health))
}

type Shared = (Arc<Metrics>, Health);

async fn ready(State((metrics, health)): State<Shared>) -> (StatusCode, Json<Value>) {
    let pending = health.pending();
    metrics.ready.set(i64::from(pending.is_empty()));
    if pending.is_empty() {
        (StatusCode::OK, Json(json!({"status": "ready", "pending": []})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "waiting", "pending": pending})))
    }
}

async fn scrape(State((metrics, health)): State<Shared>) -> (StatusCode, String) {
    metrics.ready.set(i64::from(health.pending().is_empty()));
    match metrics.render() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_names_what_is_pending() {
        let shared = (Arc::new(Metrics::new().unwrap()), Health::default());
        shared.1.pend("watch of AnalyticsInstance");
        let (status, Json(body)) = ready(State(shared.clone())).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["pending"], json!(["watch of AnalyticsInstance"]));
        shared.1.settle("watch of AnalyticsInstance");
        assert_eq!(ready(State(shared.clone())).await.0, StatusCode::OK);
        assert!(scrape(State(shared)).await.1.contains("watchkeeper_operator_ready 1"));
    }
}
