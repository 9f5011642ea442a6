//! Starting etcd, the API server and the controller manager.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use super::pki::Pki;
use super::{audit, client_of, crds, kubeconfig};
use crate::http;
use crate::paths;
use crate::ports::free_port;
use crate::process::{Daemon, Spec};
use crate::wait;

const READY: Duration = Duration::from_secs(90);
const ATTEMPTS: u32 = 3;
const ADMIN: &str = "admin";

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
    pki: Pki,
}

/// Starts a control plane in `directory`, with the project's kinds installed. `detached` ones
/// outlive this process.
///
/// # Errors
/// When a program is missing and cannot be built, or does not get ready.
pub async fn launch(directory: &Path, detached: bool) -> Result<Launched> {
    let launcher =
        Launcher { directory, programs: paths::built("kubernetes")?, detached, pki: Pki::create(directory)? };
    // Not that of an earlier life, and not filled twice.
    let _ = fs::remove_file(launcher.file("audit.log"));
    let (etcd, etcd_port) = retried(|| launcher.etcd())?;
    let token = uuid::Uuid::new_v4().simple().to_string();
    let manager_token = uuid::Uuid::new_v4().simple().to_string();
    // The groups decide: the one may do everything, the other what its built-in role says.
    let tokens = format!(
        "{token},{ADMIN},{ADMIN},\"system:masters\"\n{manager_token},system:kube-controller-manager,manager,\n"
    );
    fs::write(launcher.file("tokens.csv"), tokens)?;
    fs::write(launcher.file("audit-policy.yaml"), audit::POLICY)?;
    let (apiserver, port) = retried(|| launcher.apiserver(etcd_port))?;

    let (kubeconfig, manager_config) = (launcher.file("kubeconfig"), launcher.file("manager.kubeconfig"));
    kubeconfig::write(&kubeconfig, port, &launcher.pki.ca, ADMIN, &token)?;
    kubeconfig::write(&manager_config, port, &launcher.pki.ca, "manager", &manager_token)?;
    let client = client_of(&kubeconfig, |_| ()).await?;
    wait_for_apiserver(&client, &apiserver).await?;
    // Before the controller manager: its garbage collector learns of new kinds every 30 s only.
    crds::install(&client).await?;
    let manager = launcher.controller_manager(&manager_config)?;
    wait_for_manager(&client, &manager).await?;
    Ok(Launched {
        kubeconfig,
        audit_log: launcher.file("audit.log"),
        kubectl: launcher.programs.join("kubectl"),
        processes: vec![("etcd", etcd), ("kube-apiserver", apiserver), ("kube-controller-manager", manager)],
    })
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

    fn spec(&self, name: &str, programs: &Path) -> Spec {
        Spec::new(name, programs.join(name), self.file(&format!("{name}.log"))).detached(self.detached)
    }

    fn etcd(&self) -> Result<(Daemon, u16)> {
        let (port, peer) = (free_port()?, free_port()?);
        let data = self.file("etcd");
        // What an attempt that failed has left would not fit the new ports.
        let _ = fs::remove_dir_all(&data);
        let [client, peer] = [port, peer].map(|port| format!("http://127.0.0.1:{port}"));
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
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        daemon.wait_ready(READY, || http::get(address, "/health").is_ok_and(|(status, _)| status == 200))?;
        Ok((daemon, port))
    }

    fn apiserver(&self, etcd_port: u16) -> Result<(Daemon, u16)> {
        let port = free_port()?;
        let paths = [
            ("tls-cert-file", &self.pki.server),
            ("tls-private-key-file", &self.pki.server_key),
            ("service-account-key-file", &self.pki.service_account_public_key),
            ("service-account-signing-key-file", &self.pki.service_account_key),
            ("token-auth-file", &self.file("tokens.csv")),
            ("audit-policy-file", &self.file("audit-policy.yaml")),
            ("audit-log-path", &self.file("audit.log")),
        ];
        let daemon = self
            .spec("kube-apiserver", &self.programs)
            .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
            .arg(format!("--secure-port={port}"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            // The address of the loopback interface may not stand in an Endpoints object.
            .arg("--endpoint-reconciler-type=none")
            .arg("--service-cluster-ip-range=10.96.0.0/16")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .args(["--authorization-mode=RBAC", "--allow-privileged=true", "--profiling=false"])
            // In MB: enough for any test, bounded where the control plane stays up for weeks.
            .args(["--audit-log-maxsize=1000", "--audit-log-maxbackup=1"])
            .args(path_flags(&paths))
            .spawn()?;
        daemon.wait_ready(READY, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok((daemon, port))
    }

    fn controller_manager(&self, kubeconfig: &Path) -> Result<Daemon> {
        let kubeconfig = kubeconfig.to_path_buf();
        let paths = [
            ("kubeconfig", &kubeconfig),
            ("service-account-private-key-file", &self.pki.service_account_key),
            ("root-ca-file", &self.pki.ca),
        ];
        self.spec("kube-controller-manager", &self.programs)
            .args(path_flags(&paths))
            .args(["--leader-elect=false", "--use-service-account-credentials=true"])
            // Asked through the API only, so it needs no port of its own.
            .arg("--secure-port=0")
            .args(["--kube-api-qps=500", "--kube-api-burst=1000", "--pvclaimbinder-sync-period=1s"])
            .args(["--service-cluster-ip-range=10.96.0.0/16", "--profiling=false"])
            .spawn()
    }
}

fn path_flags(paths: &[(&str, &PathBuf)]) -> Vec<OsString> {
    let flag = |(name, path): &(&str, &PathBuf)| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(path);
        flag
    };
    paths.iter().map(flag).collect()
}
