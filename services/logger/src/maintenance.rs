//! Sealing and expiry, beside the traffic. Any number of replicas may run this.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use watchkeeper_store::{Retention, Store};

use crate::LoggerMetrics;

/// Time between looks at the inbox.
const SEAL: Duration = Duration::from_secs(2);

/// Time between looks for what is too old.
const EXPIRE: Duration = Duration::from_secs(3_600);

/// Seals and expires until `shutdown`.
pub async fn maintain(
    store: Store,
    retention: Retention,
    metrics: LoggerMetrics,
    shutdown: CancellationToken,
) {
    let (mut seal, mut expire) = (interval(SEAL), interval(EXPIRE));
    seal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    expire.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (counter, done) = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = seal.tick() => (&metrics.sealed, store.seal().await.map(|hits| hits as u64)),
            _ = expire.tick() => (&metrics.expired, store.expire(retention).await),
        };
        match done {
            Ok(count) => counter.inc_by(count),
            Err(error) => {
                metrics.maintenance_errors.inc();
                tracing::warn!(%error, "maintenance failed and will be tried again");
            }
        }
    }
}
