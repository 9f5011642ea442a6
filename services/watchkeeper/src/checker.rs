//! `watchkeeper checker`: the probes on their own.

use std::{path::Path, time::Duration};

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;
use watchkeeper_checker::{ChangeHandle, CheckerDeps, CheckerOptions, Probers, blackbox};
use watchkeeper_runtime::http::{Limits, bind, serve, timely};

use crate::{
    cli::{CheckerArgs, ProbeArgs},
    notify,
    process::{Process, holder, required_postgres, vital},
};

pub async fn run(args: CheckerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let options = required_postgres(args.process.database_ca.as_deref())?;
    let process = Process::start("checker", args.process.metrics_listen, &options, &shutdown).await?;
    let probers = args.probes.probers(args.probes.rules())?;
    let deps = deps(&process, &args.probes, &probers, ChangeHandle::new());
    blackbox(&args.probes, &probers, &shutdown).await?;
    let notifier = vital(&shutdown, notify::deliver(&process, shutdown.clone()));
    process.started();
    let errands = vital(&shutdown, errands(&process, &probers, shutdown.clone()));
    watchkeeper_checker::run(deps, shutdown).await?;
    notifier.await??;
    errands.await?;
    process.finish().await;
    Ok(())
}

/// Does what APIs ask for beside the schedule.
pub fn errands(
    process: &Process,
    probers: &Probers,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    watchkeeper_checker::run_errands(process.store.clone(), probers.clone(), shutdown)
}

/// What a checker works with in this process.
pub fn deps(
    process: &Process,
    args: &ProbeArgs,
    probers: &Probers,
    changes: ChangeHandle,
) -> CheckerDeps<watchkeeper_store::Store> {
    // Of the embedded store there is one process: the one before it is dead, and nobody waits for its end.
    let name = if process.store.is_embedded() { "embedded".to_owned() } else { holder() };
    let usual = CheckerOptions::new(name);
    let options = CheckerOptions {
        concurrency: args.probe_concurrency.unwrap_or(usual.concurrency),
        heartbeat: args.checker_heartbeat,
        series: args.probe_series.unwrap_or(usual.series),
        ..usual
    };
    CheckerDeps {
        probers: probers.clone(),
        backend: process.store.clone(),
        registry: process.registry.clone(),
        options,
        changes,
    }
}

/// Reads a file of modules for `/probe`.
fn modules(path: &Path) -> anyhow::Result<blackbox::Modules> {
    let file = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    let config: blackbox::ModulesConfig =
        serde_yaml::from_str(&text).with_context(|| format!("{file} cannot be understood"))?;
    blackbox::Modules::new(config).map_err(|why| anyhow!("{file} cannot be understood: {why}"))
}

/// Serves `/probe`, if an address for it is named.
pub async fn blackbox(
    args: &ProbeArgs,
    probers: &Probers,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(address) = args.blackbox_listen else { return Ok(()) };
    let modules = args.blackbox_modules.as_deref().map(modules).transpose()?.unwrap_or_default();
    let router = blackbox::router(probers.clone(), modules);
    let listener = bind(address).await.context("--blackbox-listen")?;
    let longest = Duration::from_secs(125); // longer than any probe through it
    let router = timely(router, longest);
    let limits = Limits {
        connections: args.probe_concurrency.unwrap_or(Limits::default().connections),
        ..Limits::default()
    };
    tokio::spawn(serve(listener, router, limits, shutdown.clone()));
    Ok(())
}
