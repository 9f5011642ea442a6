//! What the notifier tells Prometheus.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use watchkeeper_store::alerts::Queue;

/// What can become of an attempt.
const OUTCOMES: [&str; 3] = ["sent", "retried", "dead"];

/// Types of channels.
pub const TYPES: [&str; 11] = [
    "email",
    "webhook",
    "slack",
    "discord",
    "teams",
    "telegram",
    "pagerduty",
    "opsgenie",
    "ntfy",
    "alertmanager",
    "none",
];

/// The notifier's metrics; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    notices: IntCounterVec,
    waiting: IntGauge,
    held: IntGauge,
    dead: IntGauge,
    oldest: IntGauge,
}

impl Metrics {
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            notices: IntCounterVec::new(
                Opts::new(
                    "watchkeeper_notices_total",
                    "Notices by channel type and what became of an attempt to send.",
                ),
                &["channel_type", "outcome"],
            )?,
            waiting: IntGauge::new("watchkeeper_notices_waiting", "Notices that are due and not sent yet.")?,
            held: IntGauge::new(
                "watchkeeper_notices_held",
                "Notices that wait for something, such as quiet hours or a parent.",
            )?,
            dead: IntGauge::new(
                "watchkeeper_notices_dead",
                "Notices that their channel refused for too long.",
            )?,
            oldest: IntGauge::new(
                "watchkeeper_notices_oldest_seconds",
                "Age of the oldest notice that is due and not sent yet.",
            )?,
        };
        registry.register(Box::new(metrics.notices.clone()))?;
        for gauge in [&metrics.waiting, &metrics.held, &metrics.dead, &metrics.oldest] {
            registry.register(Box::new(gauge.clone()))?;
        }
        // Shown as 0 from the start, so that rates work on the first failure.
        for kind in TYPES {
            for outcome in OUTCOMES {
                metrics.notices.with_label_values(&[kind, outcome]);
            }
        }
        Ok(metrics)
    }

    pub(crate) fn count(&self, channel_type: &str, outcome: &str, notices: usize) {
        let kind = TYPES.into_iter().find(|known| *known == channel_type).unwrap_or("none");
        self.notices.with_label_values(&[kind, outcome]).inc_by(notices as u64);
    }

    pub(crate) fn queue(&self, queue: Queue) {
        self.waiting.set(queue.waiting);
        self.held.set(queue.held);
        self.dead.set(queue.dead);
        self.oldest.set(queue.oldest_ms / 1_000);
    }
}
