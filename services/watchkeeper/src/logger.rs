//! `watchkeeper logger`: the write path on its own.

use tokio_util::sync::CancellationToken;
use watchkeeper_logger::{Logger, LoggerMetrics, health, maintain, register_spool, router, site_router};

use crate::{
    cli::LoggerArgs,
    process::{Process, enricher, required_postgres, vital},
    site::Sites,
};

pub async fn run(args: LoggerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut options = required_postgres(args.process.database_ca.as_deref())?;
    options.spool = args.ingest.spool(None);
    let process = Process::start("logger", args.process.metrics_listen, &options, &shutdown).await?;
    let store = process.store.clone();
    let enricher = enricher(&store, &args.ingest).await?;
    let metrics = LoggerMetrics::new(&process.registry)?;
    register_spool(&process.registry, &store)?;
    let sites = Sites::start(
        &process,
        (&args.site, &args.traffic_log, &args.addresses),
        enricher.clone(),
        &shutdown,
    )?;
    let logger = Logger::new(
        store.clone(),
        args.access.signup().into(),
        enricher,
        args.ingest.bounds(),
        metrics.clone(),
    );
    let upkeep = maintain(store.clone(), args.ingest.retention(), metrics, shutdown.clone());
    let upkeep = vital(&shutdown, upkeep);
    let routes = router(logger.clone()).merge(site_router(logger, sites.site));
    process.serve(args.listen, routes.merge(health(store)), shutdown).await?;
    upkeep.await?;
    sites.processing.await?;
    process.finish().await;
    Ok(())
}
