//! Watches endpoints: probes each on its schedule and stores every result.
//!
//! One replica at a time holds the lease and probes; the others wait. Inside
//! it, `schedule` decides when, `probe` asks, `retry` asks again,
//! `recorder` stores, and each of them runs on while another is stuck: a slow
//! endpoint delays no other, and a store that is away delays no check.

mod backend;
mod guard;
mod leadership;
mod metrics;
mod probe;
mod recorder;
mod reload;
mod result;
mod retry;
mod runner;
mod schedule;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use prometheus::Registry;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use watchkeeper_store::Lease;

pub use backend::Backend;
pub use probe::ProberError;

use leadership::Leadership;
use metrics::Metrics;
use probe::Probers;
use recorder::Recorder;
use runner::Runner;

/// How long results under way may take to be stored at shutdown.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// How the checker behaves.
#[derive(Clone, Debug)]
pub struct CheckerOptions {
    /// Name of this process among its replicas, unique for as long as it lives.
    pub holder: String,
    /// Probes under way at once.
    pub concurrency: usize,
    /// How often the store is asked whether endpoints changed.
    pub poll: Duration,
    /// How long a grant of the lease lasts: the pause in checks when the
    /// replica that holds it dies.
    pub lease_ttl: Duration,
    /// Networks that are not public and that strangers' monitors may still
    /// probe.
    pub allow: Vec<IpNet>,
}

impl CheckerOptions {
    /// The usual behaviour for a process of this name.
    pub fn new(holder: impl Into<String>) -> Self {
        Self {
            holder: holder.into(),
            concurrency: 256,
            poll: Duration::from_secs(2),
            lease_ttl: Duration::from_secs(15),
            allow: Vec::new(),
        }
    }
}

/// Tells a checker in the same process that endpoints changed, so that it
/// need not wait for its next look at the store. Clones tell the same checker.
#[derive(Clone, Debug, Default)]
pub struct ChangeHandle(Arc<Notify>);

impl ChangeHandle {
    /// A handle for a checker that is yet to be started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the checker look at the store at once.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    async fn notified(&self) {
        self.0.notified().await;
    }
}

/// What a checker works with.
pub struct CheckerDeps<B> {
    /// Where endpoints come from and results go.
    pub backend: B,
    /// Where its metrics are registered.
    pub registry: Registry,
    /// How it behaves.
    pub options: CheckerOptions,
    /// Tells it of changes.
    pub changes: ChangeHandle,
}

/// Why a checker could not start. Once started, it does not fail: it waits for
/// what is away.
#[derive(Debug, thiserror::Error)]
pub enum CheckerError {
    /// A prober could not be made.
    #[error(transparent)]
    Prober(#[from] ProberError),
    /// The metrics are registered already.
    #[error("the checker's metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Checks endpoints until `shutdown`, then stores what is left and gives the
/// lease up.
///
/// # Errors
/// When it cannot start.
pub async fn run<B: Backend>(deps: CheckerDeps<B>, shutdown: CancellationToken) -> Result<(), CheckerError> {
    let CheckerDeps { backend, registry, options, changes } = deps;
    let metrics = Metrics::new(&registry)?;
    let probers = Probers::new(&options.allow)?;

    let (results, recorder) = Recorder::start(backend.clone(), metrics.clone());
    let (leads, leading) = watch::channel(None);
    let leadership = Leadership {
        backend: backend.clone(),
        lease: Lease { name: "checker".into(), holder: options.holder, ttl: options.lease_ttl },
    };
    let leadership = tokio::spawn(leadership.keep(leads, shutdown.clone()));

    let (sets, loaded) = mpsc::channel(1);
    let reload = tokio::spawn(reload::poll(backend, changes, options.poll, leading.clone(), sets));

    let runner = Runner::new(probers, metrics, options.concurrency, results);
    runner.run(leading.clone(), loaded, shutdown).await;

    // The runner has dropped its end, so the recorder ends once all is stored.
    reload.abort();
    if tokio::time::timeout(FLUSH_TIME, recorder).await.is_err() {
        tracing::warn!("results are lost: the store did not take them before shutdown");
    }
    // The lease is given up when nobody looks at it any more: after the last
    // result is stored, so that the next holder's results come after ours.
    drop(leading);
    let _ = leadership.await;
    Ok(())
}
