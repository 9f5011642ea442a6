//! What the logger tells about itself.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, exponential_buckets};

use crate::decode::api_analytics::Repairs;

/// Metrics of the write path.
#[derive(Debug, Clone)]
pub struct LoggerMetrics {
    pub(crate) hits: IntCounterVec,
    pub(crate) refused: IntCounterVec,
    pub(crate) batch: Histogram,
    pub(crate) append: Histogram,
    pub(crate) sealed: IntCounter,
    pub(crate) expired: IntCounter,
    pub(crate) maintenance_errors: IntCounter,
    repaired: IntCounterVec,
}

impl LoggerMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counters = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let metric = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| -> prometheus::Result<Histogram> {
            let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(Self {
            hits: counters("watchkeeper_logger_hits_total", "Hits stored, by framework.", "framework")?,
            refused: counters(
                "watchkeeper_logger_refused_batches_total",
                "Batches that were answered with an error, by reason.",
                "reason",
            )?,
            repaired: counters(
                "watchkeeper_logger_repaired_values_total",
                "Values that were clamped, cut or left unknown, and rows that were dropped, by field.",
                "field",
            )?,
            batch: histogram(
                "watchkeeper_logger_batch_hits",
                "Hits in a stored batch.",
                exponential_buckets(1.0, 4.0, 8)?,
            )?,
            append: histogram(
                "watchkeeper_logger_append_duration_seconds",
                "Time to make a batch durable.",
                exponential_buckets(0.001, 2.0, 12)?,
            )?,
            sealed: counter(
                "watchkeeper_logger_sealed_hits_total",
                "Hits moved from the inbox into segments.",
            )?,
            expired: counter("watchkeeper_logger_expired_rows_total", "Rows dropped because of their age.")?,
            maintenance_errors: counter(
                "watchkeeper_logger_maintenance_errors_total",
                "Seals and expirations that failed; they are tried again.",
            )?,
        })
    }

    pub(crate) fn repaired(&self, repairs: Repairs) {
        let Repairs { ip, created_at, number, text, dropped } = repairs;
        for (field, count) in [
            ("ip_address", ip),
            ("created_at", created_at),
            ("number", number),
            ("text", text),
            ("row", dropped),
        ] {
            self.repaired.with_label_values(&[field]).inc_by(count);
        }
    }
}
