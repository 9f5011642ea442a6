//! Starts a cluster that stays: what `e2e/cluster/up.sh` runs.
//!
//! Prints the administrator's kubeconfig and the path of `kubectl`, a line each.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use watchkeeper_testkit::cluster::{LaunchedNode, launch_node};

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("usage: watchkeeper-cluster DIRECTORY")?;
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let LaunchedNode { plane, daemons, kubelet, .. } = runtime.block_on(launch_node(&directory, true))?;
    let daemons = plane.processes.into_iter().chain(daemons).map(|(_, daemon)| daemon);
    daemons.chain([kubelet]).for_each(|daemon| daemon.leave_running());
    println!("{}", plane.kubeconfig.display());
    println!("{}", plane.kubectl.display());
    Ok(())
}
