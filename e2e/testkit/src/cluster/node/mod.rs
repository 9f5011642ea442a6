//! A whole cluster: the control plane and a node on which pods really run.
//!
//! containerd, kubelet, kube-proxy and CoreDNS run in a network namespace of the cluster's own, and
//! pods get volumes, Services and names. It needs root. The machine reaches pods and Services by
//! their addresses.

mod configuration;
mod launch;

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;

pub use launch::{LaunchedNode, image, image_tagged, launch};

use super::ControlPlane;
use super::network::Network;
use crate::paths;
use crate::process::Daemon;
use crate::rundir::RunDir;

/// The name of the only node.
pub const NODE: &str = "node";

/// A cluster of this process's own, whatever `WATCHKEEPER_KUBECONFIG` names: what harms the node
/// harms nobody's.
#[derive(Debug)]
pub struct Cluster {
    plane: ControlPlane,
    network: Network,
    kubelet: Mutex<Option<Daemon>>,
    // After the processes, which write into it.
    directory: RunDir,
}

impl Deref for Cluster {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.plane
    }
}

impl Cluster {
    /// The cluster that this process's tests share, started by the first who asks (half a minute;
    /// more on a machine where its programs have yet to be built). It is gone soon after this
    /// process, however that ends.
    ///
    /// # Errors
    /// When it could not be started, every time with the first reason.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}")));
        shared.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// A cluster of one's own, for tests that harm it. Ends when dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> Result<Self> {
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
            bail!("a node needs root, for its network and its pods: be root");
        }
        let directory = RunDir::new_node()?;
        // A `static` is never dropped, and a killed process drops nothing.
        Command::new("setsid")
            .arg(remover())
            .args(["--when-gone", &std::process::id().to_string()])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("setsid")?;
        let launched = super::on_a_runtime(|| launch(directory.path(), false))?;
        let LaunchedNode { plane, network, daemons, kubelet } = launched;
        let mut processes = plane.processes;
        processes.extend(daemons);
        let plane = ControlPlane {
            kubeconfig: plane.kubeconfig,
            kubectl: plane.kubectl,
            audit_log: Some(plane.audit_log),
            processes,
            directory: None,
        };
        Ok(Self { plane, network, kubelet: Mutex::new(Some(kubelet)), directory })
    }

    /// Makes the images of an archive known to the node.
    ///
    /// # Errors
    /// When containerd refuses it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        launch::import(self.directory(), archive)
    }

    /// This machine's address, as pods see it: for servers that tests run beside the cluster.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        self.network.host
    }

    /// Where the cluster keeps everything: logs, volumes, images.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends the kubelet and every container as if the machine had lost its power, and starts the
    /// kubelet again, which finds its pods dead.
    ///
    /// # Errors
    /// When the kubelet does not come back.
    pub fn reboot_node(&self) -> Result<()> {
        let mut kubelet = self.kubelet.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kubelet) = kubelet.take() {
            kubelet.kill9()?;
        }
        launch::kill_containers(&self.network, "")?;
        *kubelet = Some(launch::kubelet(self.directory(), &self.network, false)?);
        Ok(())
    }

    /// `kill -9` of every process of a pod, without a word to anybody: the kubelet finds out.
    ///
    /// # Errors
    /// When nothing of it runs.
    pub fn kill_pod(&self, pod: &Pod) -> Result<()> {
        let uid = pod.metadata.uid.as_deref().context("a pod without a uid")?;
        launch::kill_containers(&self.network, uid)
    }
}

/// The script that removes a cluster.
pub(crate) fn remover() -> PathBuf {
    paths::workspace().join("e2e/cluster/remove.sh")
}

/// Removes the cluster of a directory with all that runs of it.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    let output = Command::new(remover()).arg(directory).output().context("remove.sh")?;
    if !output.status.success() {
        bail!("removing {}: {}", directory.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
