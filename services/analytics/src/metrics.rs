//! What the engine tells about itself.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry, exponential_buckets};

/// Metrics of questions and of the cache that answers them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub cache_bytes: IntGauge,
    pub cache_hits: IntCounter,
    pub cache_misses: IntCounter,
    pub questions: Histogram,
}

impl Metrics {
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
        let cache_bytes = IntGauge::new(
            "watchkeeper_analytics_cache_bytes",
            "Bytes of decoded columns and dictionaries that are kept for further questions.",
        )?;
        registry.register(Box::new(cache_bytes.clone()))?;
        let questions = Histogram::with_opts(
            HistogramOpts::new(
                "watchkeeper_analytics_question_duration_seconds",
                "Time to answer a question about hits, reading included.",
            )
            .buckets(exponential_buckets(0.001, 2.0, 15)?),
        )?;
        registry.register(Box::new(questions.clone()))?;
        Ok(Self {
            cache_bytes,
            cache_hits: counter(
                "watchkeeper_analytics_cache_hits_total",
                "Columns that questions found in the cache.",
            )?,
            cache_misses: counter(
                "watchkeeper_analytics_cache_misses_total",
                "Columns that questions had to read from the store.",
            )?,
            questions,
        })
    }
}
