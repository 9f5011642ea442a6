//! What the processing of addresses and the traffic log tell about themselves.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, exponential_buckets};

/// Metrics of websites.
#[derive(Debug, Clone)]
pub struct SiteMetrics {
    pub(super) addresses: IntCounter,
    pub(super) robots: IntCounterVec,
    pub(super) lookups: IntCounterVec,
    pub(super) lookup_duration: Histogram,
    pub(super) errors: IntCounter,
    pub(crate) log_errors: IntCounter,
}

impl SiteMetrics {
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
        let lookup_duration = Histogram::with_opts(
            HistogramOpts::new(
                "watchkeeper_site_reverse_dns_duration_seconds",
                "Time until reverse DNS answered, or was given up.",
            )
            .buckets(exponential_buckets(0.001, 3.0, 9)?),
        )?;
        registry.register(Box::new(lookup_duration.clone()))?;
        Ok(Self {
            addresses: counter(
                "watchkeeper_site_addresses_processed_total",
                "Addresses of which something new was learnt.",
            )?,
            robots: counters(
                "watchkeeper_site_robots_total",
                "Addresses that were found to be robots', by what gave them away.",
                "reason",
            )?,
            lookups: counters(
                "watchkeeper_site_reverse_dns_lookups_total",
                "Addresses that reverse DNS was asked about, by what came of it.",
                "result",
            )?,
            lookup_duration,
            errors: counter(
                "watchkeeper_site_processing_errors_total",
                "Runs over the addresses that failed; they are tried again.",
            )?,
            log_errors: counter(
                "watchkeeper_site_traffic_log_errors_total",
                "Requests whose views are stored and missing in the traffic log.",
            )?,
        })
    }
}
