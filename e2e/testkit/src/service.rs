//! What is common to the project's own processes: they tell their health on the metrics port, and
//! tests kill them and bring them back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http;
use crate::process::{Daemon, Spec};

const PATIENCE: Duration = Duration::from_secs(30);

/// A process that can be ended and started again with the same arguments. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    daemon: Mutex<Option<Daemon>>,
    spec: Spec,
    metrics: SocketAddr,
}

impl Service {
    /// Starts it and waits until it is ready, by what it says on its metrics port.
    pub(crate) fn start(spec: Spec, metrics: SocketAddr) -> Result<Self> {
        let service =
            Self { daemon: Mutex::new(None), spec: spec_without_the_developers_settings(spec), metrics };
        service.resume()?;
        Ok(service)
    }

    /// Where metrics and health are, as `http://127.0.0.1:18001`.
    #[must_use]
    pub fn metrics_url(&self) -> String {
        format!("http://{}", self.metrics)
    }

    /// Everything that it tells Prometheus.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> Result<String> {
        Ok(http::get(self.metrics, "/metrics")?.1)
    }

    /// The file with everything that it has logged, over all its lives.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.spec.log()
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&self) -> Result<()> {
        let mut slot = self.daemon();
        slot.as_ref().context("it does not run")?.kill9()?;
        *slot = None;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and gives whether it said that all was well.
    ///
    /// # Errors
    /// When it does not run, or does not end within 30 seconds.
    pub fn stop(&self) -> Result<bool> {
        let mut slot = self.daemon();
        let status = slot.as_ref().context("it does not run")?.terminate(PATIENCE)?;
        *slot = None;
        Ok(status.success())
    }

    /// Starts it again with the same arguments and data, after ending it when it runs.
    ///
    /// # Errors
    /// When it is not ready within 30 seconds; the message holds the end of its log.
    pub fn restart(&self) -> Result<()> {
        if self.daemon().is_some() {
            self.stop()?;
        }
        self.resume()
    }

    /// Acts on the process, to freeze it or to send it signals.
    ///
    /// # Errors
    /// When it does not run, and what `act` gives.
    pub fn with_process<T>(&self, act: impl FnOnce(&Daemon) -> Result<T>) -> Result<T> {
        act(self.daemon().as_ref().context("it does not run")?)
    }

    fn resume(&self) -> Result<()> {
        let mut slot = self.daemon();
        let daemon = self.spec.clone().spawn()?;
        daemon.wait_ready(PATIENCE, || {
            http::get(self.metrics, "/readyz").is_ok_and(|(status, _)| status == 200)
        })?;
        *slot = Some(daemon);
        Ok(())
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a developer has set for their own installation is not for tests.
fn spec_without_the_developers_settings(mut spec: Spec) -> Spec {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WATCHKEEPER_") && !spec.sets(&name) {
            spec = spec.env_remove(name);
        }
    }
    spec
}
