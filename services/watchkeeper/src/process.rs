//! What every command does first: metrics and health, then the store.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context;
use axum::Router;
use prometheus::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchkeeper_logger::{
    Salts,
    enrich::{Enricher, EnricherConfig},
};
use watchkeeper_runtime::{
    health::{self, Health},
    http::{HttpMetrics, Limits, bind, serve},
};
use watchkeeper_store::{Options, Store, StoreError};

use crate::cli::IngestArgs;

/// What `/readyz` calls a command that does not do its work yet.
const STARTING: &str = "start";

/// Time between looks at whether the store answers.
const STORE_CHECK: Duration = Duration::from_secs(5);

/// Looks without an answer after which `/readyz` says so: a database that fails over is back before.
const STORE_FAILURES: u32 = 3;

/// Longest wait for its answer.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// Percent of the spool from which a process without its database takes no more traffic.
const SPOOL_NEARLY_FULL: u64 = 90;

/// Longest pause between attempts to reach the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Metrics and health of this process, and the store.
pub struct Process {
    pub registry: Registry,
    pub health: Health,
    pub http: HttpMetrics,
    pub store: Store,
    metrics: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Process {
    /// Serves the metrics port, then waits for the store: `/readyz` says so meanwhile.
    pub async fn start(
        component: &'static str,
        metrics_listen: SocketAddr,
        options: &Options,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let registry = health::registry(component)?;
        let http = HttpMetrics::new(&registry)?;
        let health = Health::default();
        health.pending(STARTING, "not serving yet");
        health.pending("store", "not connected yet");
        let (draining, stop) = (health.clone(), shutdown.clone());
        tokio::spawn(async move {
            stop.cancelled().await;
            draining.pending("process", "shutting down");
        });
        let listener = bind(metrics_listen).await.context("--metrics-listen")?;
        let router = health::router(health.clone(), registry.clone());
        // The metrics port outlives the traffic, so that the last scrape sees it drained.
        let metrics_down = CancellationToken::new();
        let limits = Limits { connections: 64, drain: Duration::from_secs(1), ..Limits::default() };
        let metrics = tokio::spawn(serve(listener, router, limits, metrics_down.clone()));
        let store = connect(options, shutdown).await?;
        health.ready("store");
        tokio::spawn(watch_store(store.clone(), health.clone(), shutdown.clone()));
        Ok(Self { registry, health, http, store, metrics, shutdown: metrics_down })
    }

    /// Tells `/readyz` that the command does its work now.
    pub fn started(&self) {
        self.health.ready(STARTING);
    }

    /// Serves a router with metrics, one log line a request, and bounds.
    pub async fn serve(
        &self,
        listen: SocketAddr,
        router: Router,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let listener = bind(listen).await.context("--listen")?;
        let router = self.http.wrap(watchkeeper_runtime::http::finish(router));
        self.started();
        serve(listener, router, Limits::default(), shutdown).await;
        Ok(())
    }

    /// The last thing that a command does.
    pub async fn finish(self) {
        self.store.close().await;
        self.shutdown.cancel();
        // It ends by its own bound.
        let _ = self.metrics.await;
        tracing::info!("stopped");
    }
}

/// Postgres from the environment, if it is set.
pub fn postgres_from_env(ca: Option<&Path>) -> anyhow::Result<Option<Options>> {
    match std::env::var("WATCHKEEPER_DATABASE_URL") {
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context("WATCHKEEPER_DATABASE_URL"),
        Ok(url) => Ok(Some(Options::postgres(&url, ca).context("WATCHKEEPER_DATABASE_URL")?)),
    }
}

/// Postgres from the environment, which the services of a cluster need.
pub fn required_postgres(ca: Option<&Path>) -> anyhow::Result<Options> {
    postgres_from_env(ca)?.context(
        "set WATCHKEEPER_DATABASE_URL to postgres://user:password@host:5432/database, \
         or use `watchkeeper local` for an embedded store",
    )
}

/// Tells `/readyz` when the store stops answering, and when it answers again. A
/// process with a spool serves on while that has room.
async fn watch_store(store: Store, health: Health, shutdown: CancellationToken) {
    let mut failures = 0;
    while tokio::time::timeout(STORE_CHECK, shutdown.cancelled()).await.is_err() {
        match tokio::time::timeout(STORE_PATIENCE, store.ping()).await {
            Ok(Ok(())) => {
                failures = 0;
                health.ready("store");
                continue;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the store does not answer"),
            Err(_) => tracing::warn!("the store does not answer"),
        }
        failures += 1;
        if failures < STORE_FAILURES {
            continue;
        }
        match store.spool().map(|spool| spool.bytes.saturating_mul(100) / spool.limit.max(1)) {
            None => health.pending("store", "the database does not answer"),
            Some(percent) if percent < SPOOL_NEARLY_FULL => health.ready("store"),
            Some(percent) => {
                health.pending(
                    "store",
                    format!("the database does not answer, and the spool is {percent} % full"),
                );
            }
        }
    }
}

/// Opens the store, however long its database takes to appear.
async fn connect(options: &Options, shutdown: &CancellationToken) -> anyhow::Result<Store> {
    let mut pause = Duration::from_millis(250);
    loop {
        let opened = tokio::select! {
            () = shutdown.cancelled() => anyhow::bail!("stopped before the database could be reached"),
            opened = Store::open(options) => opened,
        };
        match opened {
            Ok(store) => return Ok(store),
            Err(StoreError::Database(error)) if !options.is_embedded() => {
                tracing::warn!(%error, "the database cannot be reached; trying again in {pause:?}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PATIENCE);
            }
            Err(error) => return Err(error).context("cannot open the store"),
        }
    }
}

/// What the write path needs beside the store. Compiling the user agent
/// expressions takes a moment, so it is done off the executor.
pub async fn enricher(store: &Store, args: &IngestArgs) -> anyhow::Result<Enricher> {
    enricher_of(store, args.geoip.as_deref(), args.privacy.privacy_level, args.honor_gpc).await
}

/// The same where something else than the arguments decides on privacy.
pub async fn enricher_of(
    store: &Store,
    geoip: Option<&Path>,
    privacy_level: u8,
    honor_gpc: bool,
) -> anyhow::Result<Enricher> {
    let salts = Salts::new(store.clone());
    let config = EnricherConfig { geoip: geoip.map(Path::to_owned), privacy_level, salts, honor_gpc };
    Ok(tokio::task::spawn_blocking(move || Enricher::new(config)).await??)
}

/// Starts a task that the process cannot do without: should it end by itself, by
/// an error or a panic, the process ends with it and says why.
pub fn vital<F>(shutdown: &CancellationToken, task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let end = shutdown.clone().drop_guard();
    tokio::spawn(async move {
        let _end = end;
        task.await
    })
}

/// A name for this process that no other has.
pub fn holder() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "watchkeeper".into());
    format!("{host}-{}", uuid::Uuid::new_v4().simple())
}
