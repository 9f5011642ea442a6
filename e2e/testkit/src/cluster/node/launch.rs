//! Starting a cluster with a node.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

use super::{NODE, configuration};
use crate::cluster::client_of;
use crate::cluster::launch::{Launched, launch as launch_plane, path_flags};
use crate::cluster::network::Network;
use crate::cluster::site::{Account, Site};
use crate::process::{Daemon, Spec};
use crate::{http, paths, wait};

const READY: Duration = Duration::from_secs(120);

const ACCOUNTS: [Account; 5] = [
    Account { file: "kubelet", user: "system:node:node", group: "system:nodes" },
    Account { file: "kube-scheduler", user: "system:kube-scheduler", group: "" },
    Account { file: "kube-proxy", user: "system:kube-proxy", group: "" },
    Account { file: "coredns", user: "system:coredns", group: "" },
    // Stands for a storage's own operator, which may do as much.
    Account { file: "storage", user: "storage", group: "system:masters" },
];

/// A running cluster.
#[derive(Debug)]
pub struct LaunchedNode {
    /// Its control plane.
    pub plane: Launched,
    /// Where it lives.
    pub network: Network,
    /// The node's programs with their names, in the order in which they were started, but for:
    pub daemons: Vec<(&'static str, Daemon)>,
    /// The kubelet.
    pub kubelet: Daemon,
}

/// Starts a cluster in `directory`. A `detached` one outlives this process.
///
/// # Errors
/// When this is not root, a program is missing and cannot be had, or does not get ready. What was
/// started is left for `remove.sh`.
pub async fn launch(directory: &Path, detached: bool) -> Result<LaunchedNode> {
    let packages = Packages::find()?;
    let network = Network::create(|name| Ok(fs::write(directory.join("network"), name)?))?;
    let plane = launch_plane(directory, &Site::of_network(&network, &ACCOUNTS), detached).await?;
    for name in ["cni", "addresses", "volumes", "volume-plugins", "pod-logs"] {
        fs::create_dir_all(directory.join(name))?;
    }
    let starter = Starter { directory, network: &network, detached };
    let containerd = starter.containerd(&packages)?;
    import(directory, &image("pause")?)?;
    apply(&plane, &configuration::objects(&network))?;
    let mut daemons = vec![("containerd", containerd)];
    for (name, daemon) in [
        ("kube-scheduler", starter.scheduler()?),
        ("kube-proxy", starter.proxy(&packages)?),
        ("coredns", starter.coredns()?),
        ("storage", starter.storage()?),
    ] {
        daemons.push((name, daemon));
    }
    let kubelet = kubelet(directory, &network, detached)?;
    let client = client_of(&plane.kubeconfig, |_| ()).await?;
    wait_for_node(&client, &kubelet).await?;
    let dns = &daemons[3].1;
    dns.wait_ready(READY, || {
        let ready = SocketAddr::from((network.node, 8181));
        http::get(ready, "/ready").is_ok_and(|(status, _)| status == 200)
    })?;
    Ok(LaunchedNode { plane, network, daemons, kubelet })
}

/// Where programs from packages are.
struct Packages {
    containerd: PathBuf,
    runc: PathBuf,
    cni: PathBuf,
    network: PathBuf,
}

impl Packages {
    fn find() -> Result<Self> {
        Ok(Self {
            containerd: paths::packaged("containerd")?,
            runc: paths::packaged("runc")?,
            cni: paths::packaged("cni")?,
            network: paths::packaged("network")?,
        })
    }

    /// Where programs look for the programs that they run.
    fn search_path(&self) -> String {
        let own = [&self.containerd, &self.runc, &self.network].map(|path| path.display().to_string());
        format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", own.join(":"))
    }
}

struct Starter<'a> {
    directory: &'a Path,
    network: &'a Network,
    detached: bool,
}

impl Starter<'_> {
    fn spec(&self, name: &str, program: PathBuf) -> Spec {
        Spec::new(name, program, self.directory.join(format!("{name}.log")))
            .detached(self.detached)
            .network(Some(&self.network.name))
            // Not the tests' own, whatever that is.
            .env_remove("KUBECONFIG")
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn kubeconfig(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.kubeconfig"))
    }

    fn containerd(&self, packages: &Packages) -> Result<Daemon> {
        let file =
            self.write("containerd.toml", &configuration::containerd(self.directory, &packages.cni))?;
        let cni = configuration::cni(self.directory, self.network);
        self.write("cni/10-watchkeeper.conflist", &serde_json::to_string_pretty(&cni)?)?;
        let daemon = self
            .spec("containerd", packages.containerd.join("containerd"))
            .arg("--config")
            .arg(file)
            .env("PATH", packages.search_path())
            .spawn()?;
        let socket = self.directory.join("containerd.sock");
        daemon.wait_ready(READY, || {
            let version = ctr(&socket).and_then(|mut ctr| Ok(ctr.arg("version").output()?));
            version.is_ok_and(|output| output.status.success())
        })?;
        Ok(daemon)
    }

    fn scheduler(&self) -> Result<Daemon> {
        let program = paths::built("node")?.join("kube-scheduler");
        self.spec("kube-scheduler", program)
            .args(path_flags(&[("kubeconfig", &self.kubeconfig("kube-scheduler"))]))
            .args(["--leader-elect=false", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400"])
            .spawn()
    }

    fn proxy(&self, packages: &Packages) -> Result<Daemon> {
        let configuration = configuration::proxy(self.directory, self.network);
        let file = self.write("kube-proxy.yaml", &serde_json::to_string_pretty(&configuration)?)?;
        self.spec("kube-proxy", paths::built("node")?.join("kube-proxy"))
            .args(path_flags(&[("config", &file)]))
            .env("PATH", packages.search_path())
            .spawn()
    }

    fn coredns(&self) -> Result<Daemon> {
        self.write("hosts", "")?;
        let file = self.write("Corefile", &configuration::corefile(self.directory, self.network))?;
        self.spec("coredns", paths::built("coredns")?.join("coredns")).arg("-conf").arg(file).spawn()
    }

    fn storage(&self) -> Result<Daemon> {
        let (kubeconfig, volumes) = (self.kubeconfig("storage"), self.directory.join("volumes"));
        self.spec("storage", paths::built("storage")?.join("storage"))
            .args(path_flags(&[("kubeconfig", &kubeconfig), ("directory", &volumes)]))
            .arg(format!("--node={NODE}"))
            .spawn()
    }
}

/// Starts the kubelet.
///
/// # Errors
/// When it cannot be started.
pub fn kubelet(directory: &Path, network: &Network, detached: bool) -> Result<Daemon> {
    // Its own resolver is the cluster's: pods that ask for the node's get it too.
    fs::write(directory.join("resolv.conf"), format!("nameserver {}\n", network.node))?;
    let file = directory.join("kubelet.yaml");
    let configuration = configuration::kubelet(directory, network);
    fs::write(&file, serde_json::to_string_pretty(&configuration)?)?;
    make_control_groups(&network.name)?;
    keep_settings()?;
    let starter = Starter { directory, network, detached };
    let (kubeconfig, root) = (starter.kubeconfig("kubelet"), directory.join("kubelet"));
    let certificates = root.join("pki");
    let paths =
        [("config", &file), ("kubeconfig", &kubeconfig), ("root-dir", &root), ("cert-dir", &certificates)];
    starter
        .spec("kubelet", paths::built("node")?.join("kubelet"))
        .args(path_flags(&paths))
        .args([format!("--hostname-override={NODE}"), format!("--node-ip={}", network.node)])
        .env("PATH", Packages::find()?.search_path())
        .spawn()
}

/// The kubelet changes settings of the whole machine; `remove.sh` gives it back those of before.
fn keep_settings() -> Result<()> {
    let status = Command::new(super::remover()).arg("--keep-settings").status().context("remove.sh")?;
    if !status.success() {
        bail!("the machine's settings cannot be kept: {status}");
    }
    Ok(())
}

/// The kubelet makes groups below this one, but not this one.
fn make_control_groups(name: &str) -> Result<()> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").context("/sys/fs/cgroup")?;
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Ok(fs::create_dir_all(format!("/sys/fs/cgroup/{name}"))?);
    }
    for hierarchy in hierarchies {
        let path = hierarchy?.path();
        if path.is_dir() {
            let own = path.join(name);
            fs::create_dir_all(&own).with_context(|| own.display().to_string())?;
            // A new group of this hierarchy takes no process before it has these.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(inherited) = fs::read_to_string(path.join(file)) {
                    fs::write(own.join(file), inherited.trim())?;
                }
            }
        }
    }
    Ok(())
}

async fn wait_for_node(client: &Client, kubelet: &Daemon) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let ready = wait::until_async("the node is ready", READY, async || {
        if let Some(status) = kubelet.exited()? {
            bail!("the kubelet ended: {status}");
        }
        let node = nodes.get_opt(NODE).await?;
        let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions);
        let is_ready = |conditions: Vec<k8s_openapi::api::core::v1::NodeCondition>| {
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        Ok(conditions.is_some_and(is_ready).then_some(()))
    });
    ready.await.with_context(|| format!("the end of the kubelet's log:\n{}", kubelet.log_tail()))
}

/// The archive of one of the project's images, built first when it has changed.
///
/// # Errors
/// When it cannot be built.
pub fn image(name: &str) -> Result<PathBuf> {
    image_tagged(name, "dev")
}

/// As [`image`], under another tag: the next version, for what it matters to the cluster.
///
/// # Errors
/// When it cannot be built.
pub fn image_tagged(name: &str, tag: &str) -> Result<PathBuf> {
    let script = paths::workspace().join("e2e/images/build.sh");
    let output = Command::new(&script)
        .args(["--tag", tag, name])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| script.display().to_string())?;
    if !output.status.success() {
        bail!("{} {name}: {}", script.display(), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().into())
}

/// Gives the node of `directory` the images of an archive.
///
/// # Errors
/// When containerd refuses it.
pub fn import(directory: &Path, archive: &Path) -> Result<()> {
    let mut command = ctr(&directory.join("containerd.sock"))?;
    let output = command.args(["--namespace", "k8s.io", "images", "import"]).arg(archive).output()?;
    if !output.status.success() {
        bail!("importing {}: {}", archive.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn ctr(socket: &Path) -> Result<Command> {
    let mut command = Command::new(paths::packaged("containerd")?.join("ctr"));
    command.arg("--address").arg(socket).stdin(Stdio::null());
    Ok(command)
}

/// Kills (SIGKILL) every process of every control group below the network's own whose path has `part`
/// in it, as the uid of a pod or nothing for all.
///
/// # Errors
/// When there is none, or they cannot be found.
pub fn kill_containers(network: &Network, part: &str) -> Result<()> {
    let script = r#"
pids="$(find /sys/fs/cgroup -path "*/$1/*$2*" -name cgroup.procs -exec cat {} + | sort -u)"
[ -n "$pids" ] || { echo 'no process' >&2; exit 1; }
# One that has ended in between is as dead as can be.
kill -9 $pids || true"#;
    let output = Command::new("sh").args(["-c", script, "sh", &network.name, part]).output()?;
    if !output.status.success() {
        bail!("killing containers: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn apply(plane: &Launched, objects: &str) -> Result<()> {
    let mut child = Command::new(&plane.kubectl)
        .args(["apply", "--server-side", "-f", "-"])
        .env("KUBECONFIG", &plane.kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("kubectl")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(objects.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
