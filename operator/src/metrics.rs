//! What the operator counts, all named `watchkeeper_operator_…`.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::stores::InstanceKey;

/// All metrics of one operator process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Finished reconciles by controller and outcome (`ok`, `error`, `standby`).
    pub reconciles: IntCounterVec,
    /// Failed reconciles by controller and reason.
    pub reconcile_errors: IntCounterVec,
    /// Duration of reconciles in seconds, by controller.
    pub reconcile_seconds: HistogramVec,
    /// Writes of child objects by kind and outcome (`created`, `updated`, `deleted`, `failed`).
    pub applies: IntCounterVec,
    /// Child objects found changed by somebody else and put right, by kind.
    pub drift_corrections: IntCounterVec,
    /// Status writes by controller and result (`ok`, `error`).
    pub status_writes: IntCounterVec,
    /// Calls to the API of an instance by operation and outcome.
    pub api_calls: IntCounterVec,
    /// Errors of watches by kind.
    pub watch_errors: IntCounterVec,
    /// Objects known, by kind.
    pub objects: IntGaugeVec,
    /// 1 while a condition of an instance is True, by namespace and name.
    pub instance_condition: IntGaugeVec,
    /// 1 while a kind is not known to the API server, by kind.
    pub crd_missing: IntGaugeVec,
    /// 1 while this process leads.
    pub leader: IntGauge,
    /// 1 while everything that is needed is there.
    pub ready: IntGauge,
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    /// Never in practice: only when two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(opts(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(opts(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::with_opts(opts(name, help))?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let reconcile_seconds = HistogramVec::new(
            HistogramOpts::new("watchkeeper_operator_reconcile_duration_seconds", "Duration of reconciles.")
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            &["controller"],
        )?;
        registry.register(Box::new(reconcile_seconds.clone()))?;
        Ok(Self {
            reconciles: counter("reconcile_total", "Finished reconciles.", &["controller", "outcome"])?,
            reconcile_errors: counter(
                "reconcile_errors_total",
                "Failed reconciles by reason.",
                &["controller", "reason"],
            )?,
            reconcile_seconds,
            applies: counter("applies_total", "Writes of child objects.", &["kind", "outcome"])?,
            drift_corrections: counter(
                "drift_corrections_total",
                "Child objects that somebody else changed and that were put right.",
                &["kind"],
            )?,
            status_writes: counter("status_writes_total", "Writes of status.", &["controller", "result"])?,
            api_calls: counter(
                "api_calls_total",
                "Calls to the API of an instance.",
                &["operation", "outcome"],
            )?,
            watch_errors: counter("watch_errors_total", "Errors of watches.", &["kind"])?,
            objects: gauges("objects", "Objects known to the operator.", &["kind"])?,
            instance_condition: gauges(
                "instance_condition",
                "Whether a condition of an AnalyticsInstance is True.",
                &["namespace", "name", "condition"],
            )?,
            crd_missing: gauges("crd_missing", "Whether a kind is unknown to the API server.", &["kind"])?,
            leader: gauge("leader", "Whether this process leads.")?,
            ready: gauge("ready", "Whether everything that is needed is there.")?,
            registry,
        })
    }

    /// Shows how an instance is.
    pub fn tell_instance(&self, key: &InstanceKey, ready: bool, degraded: bool) {
        for (condition, holds) in [("Ready", ready), ("Degraded", degraded)] {
            let labels = [key.namespace.as_str(), &key.name, condition];
            self.instance_condition.with_label_values(&labels).set(i64::from(holds));
        }
    }

    /// Shows no more how an instance is, which is gone.
    pub fn forget_instance(&self, key: &InstanceKey) {
        for condition in ["Ready", "Degraded"] {
            // An error means that it was never shown.
            let _ =
                self.instance_condition.remove_label_values(&[key.namespace.as_str(), &key.name, condition]);
        }
    }

    /// Everything in the text format of Prometheus.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Writes to the API server so far: child objects and status together.
    #[must_use]
    pub fn writes(&self) -> u64 {
        use prometheus::core::Collector;
        [&self.applies, &self.status_writes]
            .iter()
            .flat_map(|counter| counter.collect())
            .flat_map(|family| family.get_metric().to_vec())
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("watchkeeper_operator_{name}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_shown_until_it_is_gone() {
        let metrics = Metrics::new().unwrap();
        let key = |name: &str| InstanceKey { namespace: "web".to_owned(), name: name.to_owned() };
        metrics.tell_instance(&key("shop"), true, true);
        metrics.tell_instance(&key("other"), true, false);
        let series = |name: &str, condition: &str, value: u8| {
            format!(
                "watchkeeper_operator_instance_condition{{condition=\"{condition}\",name=\"{name}\",namespace=\"web\"}} {value}"
            )
        };
        let text = metrics.render().unwrap();
        assert!(text.contains(&series("shop", "Degraded", 1)), "{text}");
        assert!(text.contains(&series("other", "Degraded", 0)), "{text}");
        metrics.forget_instance(&key("shop"));
        let text = metrics.render().unwrap();
        assert!(!text.contains("shop") && text.contains(&series("other", "Ready", 1)), "{text}");
    }

    #[test]
    fn every_name_has_the_prefix_and_counters_end_in_total() {
        let metrics = Metrics::new().unwrap();
        metrics.reconciles.with_label_values(&["a", "ok"]).inc();
        metrics.applies.with_label_values(&["Secret", "created"]).inc();
        metrics.status_writes.with_label_values(&["a", "ok"]).inc();
        let text = metrics.render().unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(name.starts_with("watchkeeper_operator_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        }
        assert_eq!(metrics.writes(), 2);
    }
}
