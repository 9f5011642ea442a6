//! Sealing and expiry, beside the traffic. Any number of replicas may run this.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use watchkeeper_store::{Retention, Sealed, Store, StoreError};

use crate::LoggerMetrics;

/// Time between looks at the inbox, and what one look seals for at most before the next comes at once.
const SEAL: Duration = Duration::from_secs(2);

/// Time between looks for what is too old.
const EXPIRE: Duration = Duration::from_secs(3_600);

/// When work is given up, on Postgres, and tried again: far more than it takes, for a database that has
/// vanished without a word never answers.
#[derive(Debug, Clone, Copy)]
struct Ends {
    seal: Duration,
    expire: Duration,
}

const ENDS: Ends = Ends { seal: Duration::from_secs(5 * 60), expire: Duration::from_secs(30 * 60) };

/// Seals and expires until `shutdown`, neither waiting for the other.
pub async fn maintain(
    store: Store,
    retention: Retention,
    metrics: LoggerMetrics,
    shutdown: CancellationToken,
) {
    maintain_within(ENDS, store, retention, metrics, shutdown).await;
}

async fn maintain_within(
    ends: Ends,
    store: Store,
    retention: Retention,
    metrics: LoggerMetrics,
    shutdown: CancellationToken,
) {
    tokio::join!(
        seal(ends.seal, &store, &metrics, &shutdown),
        expire(ends.expire, &store, retention, &metrics, &shutdown)
    );
}

async fn seal(end: Duration, store: &Store, metrics: &LoggerMetrics, shutdown: &CancellationToken) {
    let mut looks = every(SEAL);
    while is_time(&mut looks, shutdown).await {
        let sealing = store.clone();
        match store.within(end, async move { sealing.seal_for(SEAL).await }).await {
            Ok(Sealed { hits, more }) => {
                metrics.sealed.inc_by(hits as u64);
                if more {
                    looks.reset_immediately();
                }
            }
            Err(error) => failed(metrics, &error),
        }
    }
}

async fn expire(
    end: Duration,
    store: &Store,
    retention: Retention,
    metrics: &LoggerMetrics,
    shutdown: &CancellationToken,
) {
    let mut looks = every(EXPIRE);
    while is_time(&mut looks, shutdown).await {
        let expiring = store.clone();
        match store.within(end, async move { expiring.expire(retention).await }).await {
            Ok(rows) => metrics.expired.inc_by(rows),
            Err(error) => failed(metrics, &error),
        }
    }
}

fn every(pause: Duration) -> Interval {
    let mut looks = interval(pause);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Waits for the next look; `false` at `shutdown`.
async fn is_time(looks: &mut Interval, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => false,
        _ = looks.tick() => true,
    }
}

fn failed(metrics: &LoggerMetrics, error: &StoreError) {
    metrics.maintenance_errors.inc();
    tracing::warn!(%error, "maintenance failed and will be tried again");
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use watchkeeper_store::{Hit, Options};
    use watchkeeper_testkit::{
        postgres::{self, Postgres},
        wait,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_does_not_answer_is_given_up_and_asked_again() {
        let server = Postgres::start(postgres::Options::default()).expect("Postgres");
        let url = server.database().expect("a database");
        let store = Store::open(&Options::postgres(&url, None).expect("options")).await.expect("open");
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        for ts in 0..64 {
            store.append(project, vec![Hit { ts, ..Hit::default() }]).await.expect("append");
        }
        let metrics = LoggerMetrics::new(&prometheus::Registry::new()).expect("metrics");
        let shutdown = CancellationToken::new();

        server.freeze().expect("freeze");
        let ends = Ends { seal: Duration::from_secs(1), expire: PATIENCE };
        let (kept, stop) = (store.clone(), shutdown.clone());
        let maintenance =
            tokio::spawn(maintain_within(ends, kept, Retention::default(), metrics.clone(), stop));
        wait::until_async("a seal is given up", PATIENCE, async || {
            Ok((metrics.maintenance_errors.get() > 0).then_some(()))
        })
        .await
        .expect("given up");
        server.thaw().expect("thaw");
        wait::until_async("the hits are sealed", PATIENCE, async || {
            Ok((metrics.sealed.get() == 64).then_some(()))
        })
        .await
        .expect("sealed");
        shutdown.cancel();
        maintenance.await.expect("maintenance");
        store.close().await;
    }
}
