//! Starting etcd, the API server and the controller manager.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use super::pki::{PROXY, Pki};
use super::site::{Account, Site};
use super::{audit, client_of, crds, kubeconfig};
use crate::http;
use crate::paths;
use crate::ports::free_port;
use crate::process::{Daemon, Spec};
use crate::wait;

const READY: Duration = Duration::from_secs(90);
const ATTEMPTS: u32 = 3;
// The groups decide: the one may do everything, the other what its built-in role says.
const ADMIN: Account = Account { file: "", user: "admin", group: "system:masters" };
const MANAGER: Account = Account { file: "manager", user: "system:kube-controller-manager", group: "" };

/// A running control plane; the processes in the order in which they were started.
#[derive(Debug)]
pub struct Launched {
    /// The administrator's.
    pub kubeconfig: PathBuf,
    /// The API server's audit log.
    pub audit_log: PathBuf,
    /// `kubectl` of the same version.
    pub kubectl: PathBuf,
    /// `etcd`, `kube-apiserver` and `kube-controller-manager` with their names.
    pub processes: Vec<(&'static str, Daemon)>,
}

struct Launcher<'a> {
    directory: &'a Path,
    programs: PathBuf,
    detached: bool,
    site: &'a Site,
    pki: Pki,
}

/// Starts a control plane in `directory` at `site`, on the loopback interface with the project's kinds
/// installed: a whole cluster gets them from the chart. `detached` ones outlive this process.
///
/// # Errors
/// When a program is missing and cannot be built, or does not get ready.
pub async fn launch(directory: &Path, site: &Site, detached: bool) -> Result<Launched> {
    let pki = Pki::create(directory, &[site.address, site.first_service])?;
    let launcher = Launcher { directory, programs: paths::built("kubernetes")?, detached, site, pki };
    // Not that of an earlier life, and not filled twice.
    let _ = fs::remove_file(launcher.file("audit.log"));
    let (etcd, etcd_port) = retried(|| launcher.etcd())?;
    let accounts: Vec<_> = [ADMIN, MANAGER].iter().chain(&site.accounts).map(|who| (who, token())).collect();
    let line = |(who, token): &(&Account, String)| format!("{token},{0},{0},\"{1}\"\n", who.user, who.group);
    fs::write(launcher.file("tokens.csv"), accounts.iter().map(line).collect::<String>())?;
    fs::write(launcher.file("audit-policy.yaml"), audit::POLICY)?;
    let (apiserver, port) = retried(|| launcher.apiserver(etcd_port))?;

    let address = SocketAddr::from((site.address, port));
    for (who, token) in &accounts {
        kubeconfig::write(&launcher.kubeconfig(who), address, &launcher.pki.ca, who.user, token)?;
    }
    let kubeconfig = launcher.kubeconfig(&ADMIN);
    let client = client_of(&kubeconfig, |_| ()).await?;
    wait_for_apiserver(&client, &apiserver).await?;
    if site.namespace.is_none() {
        // Before the controller manager: its garbage collector learns of new kinds every 30 s only.
        crds::install(&client).await?;
    }
    let manager = launcher.controller_manager()?;
    wait_for_manager(&client, &manager).await?;
    Ok(Launched {
        kubeconfig,
        audit_log: launcher.file("audit.log"),
        kubectl: launcher.programs.join("kubectl"),
        processes: vec![("etcd", etcd), ("kube-apiserver", apiserver), ("kube-controller-manager", manager)],
    })
}

fn token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Another process may take a port between our finding it free and the server's binding it.
fn retried<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match start() {
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// Every one of its own checks has passed, so RBAC's built-in roles exist too.
async fn wait_for_apiserver(client: &Client, apiserver: &Daemon) -> Result<()> {
    let answers = async || {
        let request = ::http::Request::get("/readyz").body(Vec::new())?;
        Ok(client.request_text(request).await.ok().filter(|answer| answer == "ok"))
    };
    wait_while_running("the API server is ready", apiserver, answers).await
}

/// Once the controllers run, each namespace has its service account.
async fn wait_for_manager(client: &Client, manager: &Daemon) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = async || Ok(accounts.get_opt("default").await?);
    wait_while_running("the controllers work", manager, account).await
}

async fn wait_while_running<T>(
    what: &str,
    daemon: &Daemon,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<()> {
    let ready = wait::until_async(what, READY, async || {
        if let Some(status) = daemon.exited()? {
            bail!("it ended: {status}");
        }
        probe().await
    });
    ready.await.map(drop).with_context(|| format!("{what}; the end of its log:\n{}", daemon.log_tail()))
}

impl Launcher<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The administrator's is `kubeconfig`.
    fn kubeconfig(&self, who: &Account) -> PathBuf {
        self.file([who.file, "kubeconfig"].join(".").trim_start_matches('.'))
    }

    fn spec(&self, name: &str, programs: &Path) -> Spec {
        Spec::new(name, programs.join(name), self.file(&format!("{name}.log")))
            .detached(self.detached)
            .network(self.site.namespace.as_deref())
    }

    /// One that nothing listens on; in a namespace of our own every one is free.
    fn port(&self, usual: u16) -> Result<u16> {
        if self.site.namespace.is_some() { Ok(usual) } else { free_port() }
    }

    fn etcd(&self) -> Result<(Daemon, u16)> {
        let (port, peer) = (self.port(2379)?, self.port(2380)?);
        let data = self.file("etcd");
        // What an attempt that failed has left would not fit the new ports.
        let _ = fs::remove_dir_all(&data);
        // Nobody but the API server asks it, and readiness is asked from outside its namespace.
        let host = self.site.address;
        let [client, peer] = [port, peer].map(|port| format!("http://{host}:{port}"));
        let daemon = self
            .spec("etcd", &paths::packaged("etcd")?)
            .arg("--data-dir")
            .arg(&data)
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=default={peer}"))
            // The data is worth nothing after a crash of the machine.
            .arg("--unsafe-no-fsync")
            .spawn()?;
        let address = SocketAddr::from((host, port));
        daemon.wait_ready(READY, || http::get(address, "/health").is_ok_and(|(status, _)| status == 200))?;
        Ok((daemon, port))
    }

    fn apiserver(&self, etcd_port: u16) -> Result<(Daemon, u16)> {
        let port = self.port(6443)?;
        let address = self.site.address;
        let paths = [
            ("tls-cert-file", &self.pki.server),
            ("tls-private-key-file", &self.pki.server_key),
            ("service-account-key-file", &self.pki.service_account_public_key),
            ("service-account-signing-key-file", &self.pki.service_account_key),
            ("token-auth-file", &self.file("tokens.csv")),
            ("audit-policy-file", &self.file("audit-policy.yaml")),
            ("audit-log-path", &self.file("audit.log")),
            ("client-ca-file", &self.pki.ca),
            ("kubelet-client-certificate", &self.pki.kubelet_client),
            ("kubelet-client-key", &self.pki.kubelet_client_key),
            ("requestheader-client-ca-file", &self.pki.ca),
            ("proxy-client-cert-file", &self.pki.proxy_client),
            ("proxy-client-key-file", &self.pki.proxy_client_key),
        ];
        let daemon = self
            .spec("kube-apiserver", &self.programs)
            .arg(format!("--etcd-servers=http://{address}:{etcd_port}"))
            .arg(format!("--secure-port={port}"))
            .arg(format!("--bind-address={address}"))
            .arg(format!("--advertise-address={address}"))
            // The address of the loopback interface may not stand in an Endpoints object.
            .args(address.is_loopback().then_some("--endpoint-reconciler-type=none"))
            .arg(format!("--service-cluster-ip-range={}", self.site.services))
            // The node's name is in no DNS.
            .arg("--kubelet-preferred-address-types=InternalIP")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .args(["--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false"])
            // For extensions of the API, as that of metrics.
            .arg(format!("--requestheader-allowed-names={PROXY}"))
            .args([
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
            ])
            .arg("--requestheader-extra-headers-prefix=X-Remote-Extra-")
            // In MB: enough for any test, bounded where the control plane stays up for weeks.
            .args(["--audit-log-maxsize=1000", "--audit-log-maxbackup=1"])
            .args(path_flags(&paths))
            .spawn()?;
        daemon.wait_ready(READY, || TcpStream::connect((address, port)).is_ok())?;
        Ok((daemon, port))
    }

    fn controller_manager(&self) -> Result<Daemon> {
        let paths = [
            ("kubeconfig", &self.kubeconfig(&MANAGER)),
            ("service-account-private-key-file", &self.pki.service_account_key),
            ("root-ca-file", &self.pki.ca),
        ];
        self.spec("kube-controller-manager", &self.programs)
            .args(path_flags(&paths))
            .args(["--leader-elect=false", "--use-service-account-credentials=true"])
            // Asked through the API only, so it needs no port of its own.
            .arg("--secure-port=0")
            .args(["--kube-api-qps=500", "--kube-api-burst=1000", "--pvclaimbinder-sync-period=1s"])
            // Tests do not wait for minutes until an autoscaler believes that there is less to do.
            .arg("--horizontal-pod-autoscaler-sync-period=5s")
            .arg("--horizontal-pod-autoscaler-downscale-stabilization=15s")
            .arg(format!("--service-cluster-ip-range={}", self.site.services))
            .arg("--profiling=false")
            .spawn()
    }
}

pub(super) fn path_flags(paths: &[(&str, &PathBuf)]) -> Vec<OsString> {
    let flag = |(name, path): &(&str, &PathBuf)| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(path);
        flag
    };
    paths.iter().map(flag).collect()
}
