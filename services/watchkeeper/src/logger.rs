//! `watchkeeper logger`: the write path on its own.

use tokio_util::sync::CancellationToken;
use watchkeeper_logger::{Logger, LoggerMetrics, health, maintain, router};

use crate::{
    cli::LoggerArgs,
    process::{Process, enricher, required_postgres, vital},
};

pub async fn run(args: LoggerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let options = required_postgres(args.process.database_ca.as_deref())?;
    let process = Process::start("logger", args.process.metrics_listen, &options, &shutdown).await?;
    let store = process.store.clone();
    let enricher = enricher(&store, args.ingest.geoip.as_deref(), args.ingest.privacy_level).await?;
    let metrics = LoggerMetrics::new(&process.registry)?;
    let logger = Logger::new(
        store.clone(),
        args.access.signup.into(),
        enricher,
        args.ingest.bounds(),
        metrics.clone(),
    );
    let upkeep = maintain(store.clone(), args.ingest.retention(), metrics, shutdown.clone());
    let upkeep = vital(&shutdown, upkeep);
    process.serve(args.listen, router(logger).merge(health(store)), shutdown).await?;
    upkeep.await?;
    process.finish().await;
    Ok(())
}
