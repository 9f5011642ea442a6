//! `watchkeeper local`: everything in one process, from the same two manifests
//! that the operator reads.

pub mod data;
mod desired;
mod files;
mod reload;
mod unread;

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context;
use axum::{Router, extract::Request};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use watchkeeper_analytics::Analytics;
use watchkeeper_api::{Api, ApiOptions, AuthConfig, MonitoringAccess, MonitoringOptions};
use watchkeeper_checker::{ChangeHandle, Probers};
use watchkeeper_logger::{Logger, LoggerMetrics, Site, health, maintain, register_spool, site_router};
use watchkeeper_runtime::{VERSION, http::finish, secret::Secret};
use watchkeeper_store::SiteAccess;

use crate::{
    checker,
    cli::LocalArgs,
    monitoring::Monitoring,
    notify,
    process::{Process, postgres_from_env, vital},
    site::Sites,
};
pub use data::DataDirectory;
use desired::{Desired, Given, Settings};
use files::Files;

/// Where everything is served unless something says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where metrics are.
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

pub async fn run(
    mut args: LocalArgs,
    monitoring: Option<Monitoring>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let flags = args.ingest.retention();
    if let Some(monitoring) = &monitoring {
        args.ingest.retention_checks.get_or_insert_with(|| monitoring.retention());
        args.probes.probe_concurrency.get_or_insert_with(|| monitoring.concurrency());
    }
    let monitoring = monitoring.as_ref();
    let listen = args.listen.or_else(|| monitoring.map(Monitoring::listen)).unwrap_or(LISTEN);
    let metrics_listen = args.metrics_listen.or_else(|| monitoring?.metrics_listen()).unwrap_or(METRICS);
    let data = DataDirectory::open(&args.data)?;
    let mut files = Files::new(args.manifests.clone());
    files.read();
    if !files.errors().is_empty() {
        anyhow::bail!("the manifests have mistakes:\n  {}", files.errors().join("\n  "));
    }
    let mut given = Given { retention: flags, ..Given::new(&args) };
    if let Some(monitoring) = monitoring {
        given.settings.channels = monitoring.channels()?;
    }
    let desired = Desired::derive(files.manifests(), &given)
        .map_err(|errors| anyhow::anyhow!("the manifests have mistakes:\n  {}", errors.join("\n  ")))?;
    unread::tell(&desired.unread);

    let postgres = match postgres_from_env(args.database_ca.as_deref())? {
        None => {
            let ca = args.database_ca.as_deref();
            monitoring.map(|monitoring| monitoring.database(ca)).transpose()?.flatten()
        }
        postgres => postgres,
    };
    let options = match postgres {
        Some(mut postgres) => {
            postgres.spool = args.ingest.spool(Some(data.spool()));
            postgres
        }
        None => data.sqlite(),
    };
    let process = Process::start("local", metrics_listen, &options, &shutdown).await?;
    // Before anything is changed or probed, which a port that is taken would break off.
    let listener = watchkeeper_runtime::http::bind(listen).await.context("--listen")?;
    let token = match &args.admin_token_file {
        Some(file) => Secret::from_file(file)?,
        None => data.admin_token()?,
    };
    register_spool(&process.registry, &process.store)?;
    let facts = desired.settings.enricher(&process.store, &args.ingest).await?;
    let sites = Sites::start(&process, (&args.site, &args.traffic_log, &args.addresses), facts, &shutdown)?;
    let changes = ChangeHandle::new();
    let analytics = Analytics::with_cache(process.store.clone(), args.analytics.analytics_cache_bytes);
    analytics.register(&process.registry)?;
    let local = Arc::new(Local {
        auth: AuthConfig { admin_token: token, open_overview: listen.ip().is_loopback() },
        metrics: LoggerMetrics::new(&process.registry)?,
        changes: changes.clone(),
        analytics,
        site: sites.site,
        access: args.site.access()?,
        process,
        listen,
        metrics_listen,
        monitoring: monitoring.map(Monitoring::options).unwrap_or_default(),
        args,
    });
    warn_of_strangers(&local.monitoring, listen);

    let manifests = files.are_named();
    let applied = reload::apply(&local.process.store, &data, &desired, manifests).await;
    applied.context("cannot apply the manifests")?;
    if let Some(monitoring) = monitoring {
        monitoring.apply(&local.process.store).await.context("cannot apply the monitoring configuration")?;
    }
    let (settings, changed) = watch::channel(desired.settings.clone());
    let (router, current) = watch::channel(local.router(&desired.settings).await?);
    let upkeep = vital(&shutdown, keep_up(Arc::clone(&local), changed.clone(), shutdown.clone()));
    let routed = (desired.settings.clone(), router);
    let swap = tokio::spawn(swap_routers(Arc::clone(&local), changed.clone(), routed, shutdown.clone()));
    let follow = reload::Follow { files, given, data, settings, changes, last: Some(desired) };
    let follow = tokio::spawn(follow.run(
        local.process.store.clone(),
        local.process.registry.clone(),
        shutdown.clone(),
    )?);
    // From the first probe on: a network that a manifest denies is never asked.
    let probers = local.args.probes.probers(changed.borrow().rules.clone())?;
    let guard = tokio::spawn(keep_rules(probers.clone(), changed.clone(), shutdown.clone()));
    let deps = checker::deps(&local.process, &local.args.probes, &probers, local.changes.clone());
    checker::blackbox(&local.args.probes, &probers, &shutdown).await?;
    let checker = vital(&shutdown, watchkeeper_checker::run(deps, shutdown.clone()));
    let notifier = vital(&shutdown, notify::deliver(&local.process, shutdown.clone()));
    let errands = vital(&shutdown, checker::errands(&local.process, &probers, shutdown.clone()));

    let outer = Router::new().fallback(move |request: Request| {
        let router = current.borrow().clone();
        async move { router.oneshot(request).await }
    });
    local.process.started();
    local.greet()?;
    watchkeeper_runtime::http::serve(listener, outer, Default::default(), shutdown).await;

    checker.await??;
    notifier.await??;
    errands.await?;
    upkeep.await?;
    sites.processing.await?;
    swap.await?;
    guard.await?;
    follow.await?;
    if let Some(local) = Arc::into_inner(local) {
        local.process.finish().await;
    }
    Ok(())
}

/// Warns of an interface that asks nobody for a key and that others than this machine's programs reach.
fn warn_of_strangers(options: &MonitoringOptions, listen: SocketAddr) {
    if !matches!(options.access, MonitoringAccess::Everybody) {
        return;
    }
    if !listen.ip().is_loopback() {
        tracing::warn!(
            "api.auth is off and {listen} is open to the network: whoever reaches it may watch what they like"
        );
    }
    if options.cors.as_ref().is_some_and(|cors| cors.origins.iter().any(|origin| origin == "*")) {
        tracing::warn!(
            "api.auth is off and api.cors has every origin: any page in a browser may watch what it likes"
        );
    }
}

/// What lives as long as the process.
struct Local {
    args: LocalArgs,
    listen: SocketAddr,
    metrics_listen: SocketAddr,
    monitoring: MonitoringOptions,
    auth: AuthConfig,
    metrics: LoggerMetrics,
    changes: ChangeHandle,
    analytics: Analytics,
    site: Site,
    access: SiteAccess,
    process: Process,
}

impl Local {
    /// All routes, as the settings want them.
    async fn router(&self, settings: &Settings) -> anyhow::Result<Router> {
        let store = self.process.store.clone();
        let ingest = &self.args.ingest;
        let enricher = settings.enricher(&store, ingest).await?;
        let bounds = ingest.bounds();
        let logger =
            Logger::new(store.clone(), settings.signup.into(), enricher, bounds, self.metrics.clone());
        let open = settings.signup == crate::cli::SignupArg::Open;
        let changes = self.changes.clone();
        let options = ApiOptions {
            privacy_level: settings.privacy_level,
            protect_docs: settings.protect_docs,
            documents: vec![watchkeeper_logger::openapi()],
            site: self.access.clone(),
            visit_idle: self.args.site.visit_idle(),
            monitoring: self.monitoring.clone(),
            allowed_hosts: self.args.allowed_hosts.clone(),
            ..self.args.pages.apply(ApiOptions::new(self.auth.clone(), open))
        };
        let api = Api::new(self.analytics.clone(), options, move || changes.notify());
        let routes = watchkeeper_logger::router(logger.clone())
            .merge(site_router(logger, self.site.clone()))
            .merge(watchkeeper_api::router(api))
            .merge(health(store));
        Ok(self.process.http.wrap(finish(routes)))
    }

    /// Tells where to look.
    fn greet(&self) -> anyhow::Result<()> {
        let (base, metrics) = (self.listen, self.metrics_listen);
        writeln!(
            std::io::stdout(),
            "Watchkeeper {VERSION} is running.\n\
             \n  dashboard    http://{base}/\
             \n  new API key  curl http://{base}/api/generate\
             \n  clients      server URL http://{base}\
             \n  API          http://{base}/docs\
             \n  endpoints    curl http://{base}/api/v1/endpoints\
             \n  metrics      http://{metrics}/metrics\
             \n  data         {}\n",
            self.args.data.display()
        )?;
        Ok(())
    }
}

/// Seals and expires, with the retention that is in force.
async fn keep_up(local: Arc<Local>, mut settings: watch::Receiver<Settings>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let retention = settings.borrow_and_update().retention;
        let round = shutdown.child_token();
        let work = maintain(local.process.store.clone(), retention, local.metrics.clone(), round.clone());
        tokio::pin!(work);
        tokio::select! {
            () = &mut work => return,
            changed = settings.changed() => {
                round.cancel();
                // A seal under way is finished, not torn.
                work.await;
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Lets probes ask what the settings let them.
async fn keep_rules(probers: Probers, mut settings: watch::Receiver<Settings>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = settings.changed() => if changed.is_err() { return },
        }
        probers.set_rules(settings.borrow_and_update().rules.clone());
    }
}

/// Builds new routes when settings change that routes go by; requests under way end on the old ones. Routes
/// that stay go on counting what each key and network may ask.
async fn swap_routers(
    local: Arc<Local>,
    mut settings: watch::Receiver<Settings>,
    (mut routed, router): (Settings, watch::Sender<Router>),
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = settings.changed() => if changed.is_err() { return },
        }
        let wanted = settings.borrow_and_update().clone();
        if wanted.routes_as(&routed) {
            continue;
        }
        match local.router(&wanted).await {
            Ok(routes) => {
                drop(router.send_replace(routes));
                routed = wanted;
            }
            Err(error) => tracing::error!("the changed settings are not in force: {error:#}"),
        }
    }
}
