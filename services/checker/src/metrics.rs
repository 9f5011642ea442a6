//! What the checker tells Prometheus.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use watchkeeper_store::Endpoint;

use crate::exposition::Exposition;
use crate::result::Outcome;

/// The checker's metrics; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    checks: IntCounterVec,
    duration: Histogram,
    lag: Histogram,
    pub endpoints: IntGauge,
    pub alive: IntGauge,
    pub shards: IntGauge,
    pub pending: IntGauge,
    pub dropped: IntCounter,
    pub refused: IntCounter,
    exposition: Exposition,
}

impl Metrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let left_out = IntGauge::new(
            "watchkeeper_checker_endpoints_without_series",
            "Endpoints of this replica that have no probe_... series, because there are too many or another has their labels.",
        )?;
        registry.register(Box::new(left_out.clone()))?;
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
            alive: IntGauge::new(
                "watchkeeper_checker_alive",
                "Whether this replica's heartbeats arrive in time, so that it makes checks.",
            )?,
            shards: IntGauge::new(
                "watchkeeper_checker_shards",
                "Parts of the endpoints, of 256, that this replica owns.",
            )?,
            pending: IntGauge::new("watchkeeper_checker_pending_results", "Results that wait to be stored.")?,
            dropped: IntCounter::new(
                "watchkeeper_checker_dropped_results_total",
                "Results dropped because the store was away for too long, or never takes them.",
            )?,
            refused: IntCounter::new(
                "watchkeeper_checker_refused_results_total",
                "Results that were not stored because another replica owns their endpoint by now.",
            )?,
            exposition: Exposition::new(left_out),
        };
        registry.register(Box::new(metrics.checks.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.endpoints.clone()))?;
        registry.register(Box::new(metrics.alive.clone()))?;
        registry.register(Box::new(metrics.shards.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.exposition.clone()))?;
        // Shown as 0 from the start, so that rates work on the first failure.
        for result in ["success", "failure"] {
            metrics.checks.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// The same, with series of their own for so many endpoints.
    pub fn exposing(mut self, most: usize) -> Self {
        self.exposition.most = most;
        self
    }

    /// Counts a check that started at `at`, UTC milliseconds, which was `lag` after it was due.
    pub fn observe(&self, endpoint: &Endpoint, outcome: &Outcome, at: i64, lag: Duration) {
        let result = if outcome.ok { "success" } else { "failure" };
        self.checks.with_label_values(&[result]).inc();
        self.duration.observe(outcome.duration.as_secs_f64());
        self.lag.observe(lag.as_secs_f64());
        self.exposition.observe(endpoint, outcome, at);
    }

    /// Shows what the newest call of an endpoint said that reports by itself, as it was found at `at`, UTC
    /// milliseconds.
    pub fn show(&self, endpoint: &Endpoint, said: Option<bool>, at: i64) {
        if let Some(ok) = said {
            self.exposition.observe(endpoint, &Outcome { ok, ..Outcome::default() }, at);
        }
    }

    /// Lets an endpoint as it is now have series of its own.
    pub fn watch(&self, endpoint: &Endpoint) {
        self.exposition.watch(endpoint);
    }

    /// Takes an endpoint's own series away, as when it is gone or changed.
    pub fn forget(&self, id: i64) {
        self.exposition.forget(id);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;
    use watchkeeper_store::{MaintenanceWindow, Origin, Slo};

    use super::*;
    use crate::testing::endpoint;

    fn outcome(status: u16) -> Outcome {
        Outcome {
            ok: status < 400,
            status: Some(status),
            duration: Duration::from_millis(250),
            ..Outcome::default()
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
        metrics.watch(&endpoint);
        metrics.observe(&endpoint, &outcome(503), 0, Duration::ZERO);
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
    fn a_failure_in_a_window_of_maintenance_is_told_as_one_and_a_good_check_or_a_later_one_is_not() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics");
        let mut endpoint = endpoint(7, "http://example.test/");
        endpoint.spec.maintenance = vec![MaintenanceWindow {
            start: "1970-01-01T01:00".into(),
            duration: Duration::from_secs(60),
            recurrence: None,
            timezone: "UTC".into(),
        }];
        metrics.watch(&endpoint);
        let shown = |at: i64, status: u16| {
            metrics.observe(&endpoint, &outcome(status), at, Duration::ZERO);
            let text = exposition(&registry);
            ["maintenance", "failed_in_maintenance"].map(|name| {
                let labels = r#"{endpoint="endpoint-7",group="",namespace="shop"}"#;
                text.contains(&format!("watchkeeper_endpoint_{name}{labels} 1"))
            })
        };
        let opens = 3_600_000;
        assert_eq!(shown(opens - 1, 503), [false, false]);
        assert_eq!(shown(opens, 503), [true, true]);
        assert_eq!(shown(opens, 200), [true, false]);
        assert_eq!(shown(opens + 60_000, 503), [false, false]);
    }

    #[test]
    fn a_check_that_ends_after_its_endpoint_has_gone_or_changed_leaves_no_series() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics");
        let before = endpoint(7, "http://example.test/");
        metrics.watch(&before);
        metrics.forget(7);
        metrics.observe(&before, &outcome(503), 0, Duration::ZERO);
        assert!(!exposition(&registry).contains("endpoint-7"), "nobody would take them away");

        let mut after = before.clone();
        after.revision += 1;
        after.spec.group = Some("new".into());
        metrics.watch(&after);
        metrics.observe(&before, &outcome(503), 0, Duration::ZERO);
        metrics.observe(&after, &outcome(200), 0, Duration::ZERO);
        let text = exposition(&registry);
        let labels = r#"{endpoint="endpoint-7",group="new",namespace="shop"}"#;
        assert!(text.contains(&format!("probe_success{labels} 1")), "{text}");
    }

    #[test]
    fn so_many_endpoints_have_series_those_with_an_objective_first_and_the_others_are_counted() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics").exposing(3);
        let check = |id: i64, objective: bool| {
            let mut endpoint = endpoint(id, "http://example.test/");
            let slo = Slo { target: 0.99, window: Duration::from_secs(86_400) };
            endpoint.spec.slo = objective.then_some(slo);
            metrics.watch(&endpoint);
            metrics.observe(&endpoint, &outcome(200), 0, Duration::ZERO);
        };
        let shown = || {
            let text = exposition(&registry);
            let left = text
                .lines()
                .find_map(|line| line.strip_prefix("watchkeeper_checker_endpoints_without_series "));
            let shown = |id: &i64| text.contains(&format!("probe_success{{endpoint=\"endpoint-{id}\""));
            ((0..10).filter(shown).collect::<Vec<_>>(), left.map(str::to_owned))
        };
        (0..5).for_each(|id| check(id, false));
        assert_eq!(shown(), (vec![0, 1, 2], Some("2".into())));
        check(7, true);
        check(8, true);
        assert_eq!(shown(), (vec![0, 7, 8], Some("4".into())), "objectives take places of those without");
        check(9, true);
        check(6, true);
        assert_eq!(shown(), (vec![7, 8, 9], Some("6".into())), "and not of each other");
        metrics.forget(7);
        metrics.forget(0);
        check(1, false);
        assert_eq!(shown(), (vec![1, 8, 9], Some("4".into())), "room is given to whoever is checked next");
    }

    #[test]
    fn urls_of_strangers_are_not_shown() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics");
        let mut endpoint = endpoint(1, "http://example.test/?token=s3cret");
        endpoint.origin = Origin::Monitor;
        endpoint.name = "http://example.test/?token=s3cret".into();
        metrics.watch(&endpoint);
        metrics.observe(&endpoint, &outcome(200), 0, Duration::ZERO);
        assert!(!exposition(&registry).contains("s3cret"));
    }
}
