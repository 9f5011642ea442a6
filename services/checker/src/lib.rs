//! Watches endpoints: probes each on its schedule and stores every result.
//!
//! Replicas divide the endpoints among themselves: `tenure` keeps heartbeats,
//! `rendezvous` says what falls to whom. Inside one, `schedule` decides when,
//! `probe` asks, `retry` asks again, `recorder` stores, and each of them runs on
//! while another is stuck: a slow endpoint delays no other, and a store that is
//! away delays no check.

mod backend;
pub mod blackbox;
mod errands;
mod exposition;
mod guard;
mod heartbeat;
mod hosts;
mod metrics;
mod probe;
mod recorder;
mod reload;
mod rendezvous;
mod result;
mod retry;
mod runner;
mod schedule;
mod tenure;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use backend::Backend;
pub use errands::run_errands;
pub use guard::{GuardRules, HostLimit};
pub use probe::{ProberError, Probers};
pub use result::Outcome;

use backend::bounded;
use heartbeat::Heartbeats;
use metrics::Metrics;
use recorder::Recorder;
use runner::Runner;
use tenure::Keeper;

/// How long results under way may take to be stored at shutdown.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// Longest time that sealing may take at once.
const SEAL_TIME: Duration = Duration::from_secs(120);

/// Time between looks at whether sealing pays.
const SEAL_PAUSE: Duration = Duration::from_secs(10);

/// How the checker behaves.
#[derive(Clone, Debug)]
pub struct CheckerOptions {
    /// Name of this process among its replicas, unique for as long as it lives.
    pub holder: String,
    /// Probes under way at once.
    pub concurrency: usize,
    /// How often the store is asked whether endpoints changed.
    pub poll: Duration,
    /// Time between this replica's heartbeats. Others take over within two of
    /// them when it dies; all replicas should have the same.
    pub heartbeat: Duration,
    /// Endpoints of this replica that have `probe_…` series of their own at most.
    pub series: usize,
}

impl CheckerOptions {
    /// The usual behaviour for a process of this name.
    pub fn new(holder: impl Into<String>) -> Self {
        Self {
            holder: holder.into(),
            concurrency: 256,
            poll: Duration::from_secs(2),
            heartbeat: Duration::from_secs(5),
            series: exposition::EXPOSED,
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
    /// What asks.
    pub probers: Probers,
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
    /// The metrics are registered already.
    #[error("the checker's metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Checks endpoints until `shutdown`, then stores what is left and leaves the
/// other replicas.
///
/// # Errors
/// When it cannot start.
pub async fn run<B: Backend>(deps: CheckerDeps<B>, shutdown: CancellationToken) -> Result<(), CheckerError> {
    let CheckerDeps { probers, backend, registry, options, changes } = deps;
    let metrics = Metrics::new(&registry)?.exposing(options.series);

    let (results, recorder) = Recorder::start(backend.clone(), metrics.clone());
    let (say, tenures) = watch::channel(None);
    let keeper = Keeper::new(backend.clone(), metrics.clone(), options.holder, options.heartbeat);
    let keeper = tokio::spawn(keeper.keep(say, shutdown.clone()));

    let heartbeats = Heartbeats::new();
    let calls = tokio::spawn(heartbeats.clone().follow(backend.clone()));

    let (sets, loaded) = mpsc::channel(1);
    let reload = tokio::spawn(reload::poll(backend.clone(), changes, options.poll, tenures.clone(), sets));
    let sealing = tokio::spawn(seal(backend, shutdown.clone()));

    let runner = Runner::new(probers, heartbeats, metrics, options.concurrency, results);
    runner.run(tenures.clone(), loaded, shutdown).await;

    // The runner has dropped its end, so the recorder ends once all is stored.
    calls.abort();
    reload.abort();
    let _ = reload.await;
    if tokio::time::timeout(FLUSH_TIME, recorder).await.is_err() {
        tracing::warn!("results are lost: the store did not take them before shutdown");
    }
    // The keeper leaves when nobody looks at its tenure any more: after the last
    // result is stored, so that those of the next owner come after ours.
    drop(tenures);
    let _ = keeper.await;
    let _ = tokio::time::timeout(FLUSH_TIME, sealing).await;
    Ok(())
}

/// Seals results in the background until `shutdown`.
async fn seal<B: Backend>(backend: B, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let store = backend.clone();
        match bounded(&backend, SEAL_TIME, async move { store.seal().await }).await {
            Ok(0) => {}
            Ok(checks) => tracing::debug!(checks, "sealed"),
            Err(error) => tracing::warn!(%error, "results could not be sealed and wait"),
        }
        let _ = tokio::time::timeout(SEAL_PAUSE, shutdown.cancelled()).await;
    }
}
