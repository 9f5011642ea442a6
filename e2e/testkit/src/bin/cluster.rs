//! Starts a control plane that stays: what `e2e/cluster/up.sh` runs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use watchkeeper_testkit::cluster::launch;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("usage: watchkeeper-cluster DIRECTORY")?;
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let launched = runtime.block_on(launch(&directory, true))?;
    for (name, daemon) in launched.processes {
        fs::write(directory.join(format!("{name}.pid")), daemon.pid().to_string())?;
        daemon.leave_running();
    }
    println!("{}", launched.kubeconfig.display());
    println!("{}", launched.kubectl.display());
    Ok(())
}
