//! `watchkeeper checker`: the probes on their own.

use tokio_util::sync::CancellationToken;
use watchkeeper_checker::{ChangeHandle, CheckerDeps, CheckerOptions};

use crate::{
    cli::{CheckerArgs, ProbeArgs},
    process::{Process, holder, required_postgres},
};

pub async fn run(args: CheckerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let options = required_postgres(args.process.database_ca.as_deref())?;
    let process = Process::start("checker", args.process.metrics_listen, &options, &shutdown).await?;
    let deps = deps(&process, &args.probes, ChangeHandle::new());
    process.started();
    watchkeeper_checker::run(deps, shutdown).await?;
    process.finish().await;
    Ok(())
}

/// What a checker works with in this process.
pub fn deps(
    process: &Process,
    args: &ProbeArgs,
    changes: ChangeHandle,
) -> CheckerDeps<watchkeeper_store::Store> {
    let options = CheckerOptions {
        allow: args.probe_allow.clone(),
        concurrency: args.probe_concurrency,
        ..CheckerOptions::new(holder())
    };
    CheckerDeps { backend: process.store.clone(), registry: process.registry.clone(), options, changes }
}
