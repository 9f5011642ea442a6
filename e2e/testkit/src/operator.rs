//! `watchkeeper-operator run`, outside the cluster that it works on.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::ops::Deref;

use anyhow::Result;

use crate::cluster::ControlPlane;
use crate::ports::free_port;
use crate::process::Spec;
use crate::program;
use crate::rundir::RunDir;
use crate::service::Service;

/// How to start it.
#[derive(Debug)]
pub struct Start {
    directory: RunDir,
    spec: Spec,
    namespaces: String,
    metrics: SocketAddr,
}

/// A running operator. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    // Before the directory, so that it ends first.
    service: Service,
    _directory: RunDir,
}

impl Operator {
    /// An operator that serves one namespace, keeps its Lease there and is who the service account
    /// `account` of that namespace is, with no more rights than that has; the administrator when
    /// `None`.
    ///
    /// # Errors
    /// When it cannot be built or its kubeconfig cannot be written.
    pub fn of(cluster: &ControlPlane, namespace: &str, account: Option<&str>) -> Result<Start> {
        let directory = RunDir::new("operator")?;
        let kubeconfig = match account {
            Some(account) => {
                let path = directory.path().join("kubeconfig");
                cluster.kubeconfig_as_service_account(&path, namespace, account)?;
                path
            }
            None => cluster.kubeconfig().to_path_buf(),
        };
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = directory.path().join("operator.log");
        let spec = Spec::new("watchkeeper-operator", program::find("watchkeeper-operator")?, log)
            .arg("run")
            .args(["--metrics-listen", &metrics.to_string()])
            .args(["--lease-namespace", namespace])
            .env("KUBECONFIG", kubeconfig);
        let namespaces = namespace.to_owned();
        Ok(Start { directory, spec, namespaces, metrics })
    }
}

impl Start {
    /// Serves other namespaces: a list separated by commas, or `all`.
    #[must_use]
    pub fn serving(mut self, namespaces: &str) -> Self {
        namespaces.clone_into(&mut self.namespaces);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.spec = self.spec.arg(argument);
        self
    }

    /// Sets an environment variable. Those of this process that begin with `WATCHKEEPER_` are not
    /// handed on.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.spec = self.spec.env(name, value);
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or takes more than 30 seconds before it is ready; the message holds the end of
    /// its log.
    pub fn start(self) -> Result<Operator> {
        let spec = self.spec.args(["--namespaces", &self.namespaces]);
        let service = Service::start(spec, self.metrics)?;
        Ok(Operator { service, _directory: self.directory })
    }
}

impl Deref for Operator {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
