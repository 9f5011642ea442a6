//! What the store's spool tells Prometheus, asked at each scrape.

use prometheus::{
    IntCounter, IntGauge, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use watchkeeper_store::{Store, now_ms};

struct SpoolMetrics {
    store: Store,
    bytes: IntGauge,
    limit: IntGauge,
    oldest: IntGauge,
    spooled: IntCounter,
    replayed: IntCounter,
}

/// Registers the metrics of the spool, if the store has one.
///
/// # Errors
/// When a name is taken.
pub fn register_spool(registry: &Registry, store: &Store) -> prometheus::Result<()> {
    if store.spool().is_none() {
        return Ok(());
    }
    registry.register(Box::new(SpoolMetrics {
        store: store.clone(),
        bytes: IntGauge::new(
            "watchkeeper_logger_spool_bytes",
            "Bytes of hits that wait on disk for the database.",
        )?,
        limit: IntGauge::new("watchkeeper_logger_spool_limit_bytes", "Bytes that the spool may take.")?,
        oldest: IntGauge::new(
            "watchkeeper_logger_spool_oldest_age_seconds",
            "How long the oldest hits have waited in the spool; 0 when none wait.",
        )?,
        spooled: IntCounter::new(
            "watchkeeper_logger_spooled_batches_total",
            "Batches acknowledged from the spool, because the database was away.",
        )?,
        replayed: IntCounter::new(
            "watchkeeper_logger_replayed_batches_total",
            "Batches brought from the spool into the database.",
        )?,
    }))
}

impl SpoolMetrics {
    fn all(&self) -> [&dyn Collector; 5] {
        [&self.bytes, &self.limit, &self.oldest, &self.spooled, &self.replayed]
    }
}

impl Collector for SpoolMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(status) = self.store.spool() {
            let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            self.bytes.set(gauge(status.bytes));
            self.limit.set(gauge(status.limit));
            self.oldest.set(status.oldest.map_or(0, |at| (now_ms() - at).max(0) / 1_000));
            self.spooled.inc_by(status.spooled.saturating_sub(self.spooled.get()));
            self.replayed.inc_by(status.replayed.saturating_sub(self.replayed.get()));
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
