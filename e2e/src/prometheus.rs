//! A real Prometheus.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use watchkeeper_testkit::ports::free_port;
use watchkeeper_testkit::process::{Daemon, Spec};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::{http, paths};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running Prometheus. Dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    // Before the directory, so that it ends first.
    _daemon: Daemon,
    _directory: RunDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one with a configuration and waits until it is ready.
    ///
    /// # Errors
    /// When it refuses the configuration or takes too long; the message holds the end of its log.
    pub fn start(configuration: &Value) -> Result<Self> {
        let directory = RunDir::new("prometheus")?;
        let file = directory.path().join("prometheus.yaml");
        // JSON is YAML too.
        fs::write(&file, configuration.to_string())?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let program = paths::packaged("prometheus")?.join("prometheus");
        let daemon = Spec::new("prometheus", program, directory.path().join("prometheus.log"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .spawn()?;
        daemon
            .wait_ready(PATIENCE, || http::get(address, "/-/ready").is_ok_and(|(status, _)| status == 200))?;
        Ok(Self { _daemon: daemon, _directory: directory, address })
    }

    /// The `data` of an answer of its HTTP API.
    ///
    /// # Errors
    /// When it refuses, with its reason.
    pub fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = http::get(self.address, path)?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(serde_json::from_str::<Value>(&body)?["data"].take())
    }

    /// What an expression gives now: its series, each with its labels and value.
    ///
    /// # Errors
    /// When it is no expression.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut data = self.get(&format!("/api/v1/query?query={escaped}"))?;
        Ok(data["result"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }
}
