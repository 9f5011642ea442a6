//! A real Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager.
//!
//! RBAC and pod security admission are on, the garbage collector and the controllers of workloads
//! run, and the project's kinds are installed. There is no node, so no pod ever starts.

mod audit;
mod crds;
mod kubeconfig;
mod launch;
mod network;
mod node;
mod pki;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};

pub use crate::process::Daemon;
use crate::rundir::RunDir;
pub use audit::{Account, ObjectRef, Request, Status};
pub use crds::files as crd_files;
pub use launch::{Launched, launch};
pub use node::{Cluster, LaunchedNode, image, image_tagged, launch as launch_node};
pub use site::Site;

pub(crate) use node::remove as remove_node;

/// A control plane for tests: one that was started for this process, or the one that
/// `WATCHKEEPER_KUBECONFIG` names.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    audit_log: Option<PathBuf>,
    processes: Vec<(&'static str, Daemon)>,
    // After the processes, which write into it.
    directory: Option<RunDir>,
}

impl ControlPlane {
    /// The control plane that this process's tests share, started by the first who asks (a few
    /// seconds; minutes on a machine where Kubernetes has yet to be built). Each test takes its own
    /// [`ControlPlane::namespace`].
    ///
    /// # Errors
    /// When it could not be started, every time with the first reason.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}")));
        shared.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// A control plane of one's own, for tests that harm it. Ends when dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> Result<Self> {
        on_a_runtime(Self::find_or_launch)
    }

    async fn find_or_launch() -> Result<Self> {
        if let Some(kubeconfig) = std::env::var_os("WATCHKEEPER_KUBECONFIG").filter(|value| !value.is_empty())
        {
            let kubeconfig = PathBuf::from(kubeconfig);
            crds::install(&client_of(&kubeconfig, |_| ()).await?).await?;
            let kubectl = "kubectl".into();
            return Ok(Self { kubeconfig, kubectl, audit_log: None, processes: Vec::new(), directory: None });
        }
        let directory = RunDir::new("control-plane")?;
        let launched = launch(directory.path(), &Site::loopback(), false).await?;
        Ok(Self {
            kubeconfig: launched.kubeconfig,
            kubectl: launched.kubectl,
            audit_log: Some(launched.audit_log),
            processes: launched.processes,
            directory: Some(directory),
        })
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with every right. It belongs to the runtime that it is made in.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client> {
        client_of(&self.kubeconfig, |_| ()).await
    }

    /// A client that may do what `user` may do, who is in `groups` too.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client> {
        client_of(&self.kubeconfig, |who| {
            who.impersonate = Some(user.to_owned());
            who.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
        })
        .await
    }

    /// A client that may do what a service account may do.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client_as_service_account(&self, namespace: &str, name: &str) -> Result<Client> {
        let groups = groups_of_service_account(namespace);
        let groups = groups.each_ref().map(String::as_str);
        self.client_as(&format!("system:serviceaccount:{namespace}:{name}"), &groups).await
    }

    /// Writes a kubeconfig whose user may do what a service account may do.
    ///
    /// # Errors
    /// When the administrator's cannot be read, or the file not written.
    pub fn kubeconfig_as_service_account(&self, path: &Path, namespace: &str, name: &str) -> Result<()> {
        let mut config = Kubeconfig::read_from(&self.kubeconfig)?;
        for who in config.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
            who.impersonate = Some(format!("system:serviceaccount:{namespace}:{name}"));
            who.impersonate_groups = Some(groups_of_service_account(namespace).to_vec());
        }
        // What the file says of the namespace is where the program believes to run.
        for context in config.contexts.iter_mut().filter_map(|named| named.context.as_mut()) {
            context.namespace = Some(namespace.to_owned());
        }
        kubeconfig::save(path, &serde_json::to_string_pretty(&config)?)
    }

    /// Makes a namespace that nobody else has, named after `prefix`, where pods must be restricted
    /// as pod security admission understands it, and gives its name.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let labels = BTreeMap::from(
            [("pod-security.kubernetes.io/enforce", "restricted"), ("watchkeeper.dev/test", "true")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let metadata = ObjectMeta {
            generate_name: Some(format!("{prefix}-")),
            labels: Some(labels),
            ..Default::default()
        };
        let api: Api<Namespace> = Api::all(self.client().await?);
        let made = api.create(&PostParams::default(), &Namespace { metadata, ..Default::default() }).await?;
        Ok(made.name_any())
    }

    /// `kubectl` of the control plane's own version, as administrator.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        self.aim(&mut command);
        command
    }

    /// Points a client of the cluster, as `helm`, at this one as administrator. What it learns is
    /// kept with the cluster: the next one on the same port has nothing to do with it.
    pub fn aim(&self, command: &mut Command) {
        command.env("KUBECONFIG", &self.kubeconfig);
        if let Some(directory) = &self.directory {
            command.env("KUBECACHEDIR", directory.path().join("client-cache"));
        }
    }

    /// Every request that has been answered so far, oldest first, save those of the control plane
    /// itself. A record is there before its answer goes out.
    ///
    /// # Errors
    /// When the log cannot be read, and on a cluster that was not started here.
    pub fn requests(&self) -> Result<Vec<Request>> {
        audit::read(
            self.audit_log.as_deref().context("a cluster that is not ours keeps its audit log to itself")?,
        )
    }

    /// One of `etcd`, `kube-apiserver` and `kube-controller-manager`, to freeze it and the like.
    ///
    /// # Errors
    /// When there is none by that name.
    pub fn process(&self, name: &str) -> Result<&Daemon> {
        let found = self.processes.iter().find(|(own, _)| *own == name);
        found.map(|(_, daemon)| daemon).with_context(|| format!("no process {name}"))
    }
}

/// Runs a future to its end on a thread of its own, since the caller's may already drive a runtime.
fn on_a_runtime<T: Send, F: Future<Output = Result<T>>>(work: impl FnOnce() -> F + Send) -> Result<T> {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work());
    std::thread::scope(|scope| scope.spawn(run).join())
        .map_err(|_| anyhow!("starting the cluster panicked"))?
}

fn groups_of_service_account(namespace: &str) -> [String; 3] {
    let own = format!("system:serviceaccounts:{namespace}");
    ["system:serviceaccounts".to_owned(), own, "system:authenticated".to_owned()]
}

async fn client_of(kubeconfig: &Path, change: impl FnOnce(&mut AuthInfo)) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    change(&mut config.auth_info);
    Ok(Client::try_from(config)?)
}
