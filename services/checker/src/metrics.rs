//! What the checker tells Prometheus.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use watchkeeper_store::{Endpoint, Origin};

use crate::result::Outcome;

/// Endpoints with series of their own; more would make a scrape too heavy.
const MAX_EXPOSED: usize = 1_000;

const LABELS: [&str; 3] = ["endpoint", "namespace", "group"];

type Labels = [String; 3];

/// The checker's metrics; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    checks: IntCounterVec,
    duration: Histogram,
    lag: Histogram,
    pub endpoints: IntGauge,
    pub leader: IntGauge,
    pub pending: IntGauge,
    pub dropped: IntCounter,
    success: GaugeVec,
    seconds: GaugeVec,
    status: GaugeVec,
    exposed: Arc<Mutex<HashMap<i64, Labels>>>,
}

impl Metrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            checks: IntCounterVec::new(
                Opts::new("watchkeeper_checker_checks_total", "Checks made, by result."),
                &["result"],
            )?,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "watchkeeper_checker_check_duration_seconds",
                    "Time until a check's final answer or failure.",
                )
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            )?,
            lag: Histogram::with_opts(
                HistogramOpts::new(
                    "watchkeeper_checker_lag_seconds",
                    "Time between the moment a check was due and its start.",
                )
                .buckets(vec![0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0]),
            )?,
            endpoints: IntGauge::new("watchkeeper_checker_endpoints", "Endpoints that this replica checks.")?,
            leader: IntGauge::new(
                "watchkeeper_checker_leader",
                "Whether this replica holds the lease and makes the checks.",
            )?,
            pending: IntGauge::new("watchkeeper_checker_pending_results", "Results that wait to be stored.")?,
            dropped: IntCounter::new(
                "watchkeeper_checker_dropped_results_total",
                "Results dropped because the store was away for too long.",
            )?,
            success: probe("probe_success", "Whether the last check was good.")?,
            seconds: probe("probe_duration_seconds", "Duration of the last check.")?,
            status: probe("probe_http_status_code", "HTTP status of the last check, 0 without an answer.")?,
            exposed: Arc::default(),
        };
        registry.register(Box::new(metrics.checks.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.endpoints.clone()))?;
        registry.register(Box::new(metrics.leader.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.success.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.status.clone()))?;
        // Shown as 0 from the start, so that rates work on the first failure.
        for result in ["success", "failure"] {
            metrics.checks.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// Counts a check that started `lag` after it was due.
    pub fn observe(&self, endpoint: &Endpoint, outcome: &Outcome, lag: Duration) {
        let result = if outcome.ok { "success" } else { "failure" };
        self.checks.with_label_values(&[result]).inc();
        self.duration.observe(outcome.duration.as_secs_f64());
        self.lag.observe(lag.as_secs_f64());
        if let Some(labels) = self.expose(endpoint) {
            let labels = labels.each_ref().map(String::as_str);
            self.success.with_label_values(&labels).set(f64::from(u8::from(outcome.ok)));
            self.seconds.with_label_values(&labels).set(outcome.duration.as_secs_f64());
            self.status.with_label_values(&labels).set(f64::from(outcome.status.unwrap_or(0)));
        }
    }

    /// The labels of an endpoint's own series, if it gets any: the first
    /// thousand do. Monitors that strangers posted do not; their names are
    /// URLs, which are theirs and may hold secrets.
    fn expose(&self, endpoint: &Endpoint) -> Option<Labels> {
        if endpoint.origin == Origin::Monitor {
            return None;
        }
        let mut exposed = self.exposed.lock().unwrap_or_else(PoisonError::into_inner);
        let full = exposed.len() >= MAX_EXPOSED;
        match exposed.get(&endpoint.id) {
            Some(labels) => Some(labels.clone()),
            None if full => None,
            None => {
                let labels = [
                    endpoint.name.clone(),
                    endpoint.namespace.clone(),
                    endpoint.spec.group.clone().unwrap_or_default(),
                ];
                exposed.insert(endpoint.id, labels.clone());
                Some(labels)
            }
        }
    }

    /// Takes an endpoint's own series away, as when it is gone or changed.
    pub fn forget(&self, id: i64) {
        let mut exposed = self.exposed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(labels) = exposed.remove(&id) else {
            return;
        };
        // Two endpoints may share their labels and then share the series.
        if exposed.values().any(|others| *others == labels) {
            return;
        }
        drop(exposed);
        let labels = labels.each_ref().map(String::as_str);
        for series in [&self.success, &self.seconds, &self.status] {
            // It may never have been set.
            let _ = series.remove_label_values(&labels);
        }
    }
}

fn probe(name: &str, help: &str) -> prometheus::Result<GaugeVec> {
    GaugeVec::new(Opts::new(name, help), &LABELS)
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;
    use crate::testing::endpoint;

    fn outcome(status: u16) -> Outcome {
        Outcome {
            ok: status < 400,
            status: Some(status),
            duration: Duration::from_millis(250),
            message: None,
        }
    }

    fn exposition(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).expect("metrics encode")
    }

    #[test]
    fn an_endpoint_has_series_of_its_own_until_it_is_forgotten() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics");
        let endpoint = endpoint(7, "http://example.test/");
        metrics.observe(&endpoint, &outcome(503), Duration::ZERO);
        let text = exposition(&registry);
        let labels = r#"{endpoint="endpoint-7",group="",namespace="shop"}"#;
        assert!(text.contains(&format!("probe_success{labels} 0")), "{text}");
        assert!(text.contains(&format!("probe_http_status_code{labels} 503")), "{text}");
        assert!(text.contains(&format!("probe_duration_seconds{labels} 0.25")), "{text}");
        assert!(text.contains(r#"watchkeeper_checker_checks_total{result="failure"} 1"#), "{text}");
        metrics.forget(7);
        assert!(!exposition(&registry).contains("endpoint-7"));
    }

    #[test]
    fn at_most_a_thousand_endpoints_have_series() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics");
        for id in 0..1_200 {
            metrics.observe(&endpoint(id, "http://example.test/"), &outcome(200), Duration::ZERO);
        }
        let count = exposition(&registry).lines().filter(|l| l.starts_with("probe_success{")).count();
        assert_eq!(count, MAX_EXPOSED);
    }

    #[test]
    fn urls_of_strangers_are_not_shown() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics");
        let mut endpoint = endpoint(1, "http://example.test/?token=s3cret");
        endpoint.origin = Origin::Monitor;
        endpoint.name = "http://example.test/?token=s3cret".into();
        metrics.observe(&endpoint, &outcome(200), Duration::ZERO);
        assert!(!exposition(&registry).contains("s3cret"));
    }
}
