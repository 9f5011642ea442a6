//! The third-party client libraries of `e2e/clients`, each inside a small application of its own
//! framework, as real processes.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use watchkeeper_testkit::paths;
use watchkeeper_testkit::ports::free_port;
use watchkeeper_testkit::process::{Daemon, Spec};

// An interpreter that loads a framework on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// What an application is run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// A file of `e2e/clients/python`.
    Python(&'static str),
    /// A file of `e2e/clients/node`.
    Node(&'static str),
    /// The program of `e2e/clients/rust`.
    Rust,
    /// The program of `e2e/clients/go`.
    Go,
}

/// Where `e2e/clients/setup.sh` has put things.
#[derive(Debug)]
pub struct Installed(BTreeMap<String, PathBuf>);

impl Installed {
    /// Installs all client libraries, or finds them installed.
    ///
    /// # Errors
    /// When the script fails; its own output, on this process's stderr, says why.
    pub fn new() -> Result<Self> {
        let script = paths::workspace().join("e2e/clients/setup.sh");
        let output = Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| script.display().to_string())?;
        if !output.status.success() {
            bail!("{}: {}", script.display(), output.status);
        }
        let lines = String::from_utf8(output.stdout)?;
        let places = lines.lines().filter_map(|line| line.split_once('='));
        Ok(Self(places.map(|(name, path)| (name.to_owned(), path.into())).collect()))
    }

    fn place(&self, name: &str) -> Result<&Path> {
        self.0.get(name).map(PathBuf::as_path).with_context(|| format!("setup.sh names no {name}"))
    }

    /// Starts an application that logs to the server at `server` under `key`; its output goes to
    /// `<name>.log` in `logs`.
    ///
    /// # Errors
    /// When it does not start to listen.
    pub fn start(&self, name: &str, runtime: Runtime, server: &str, key: &str, logs: &Path) -> Result<App> {
        let port = free_port()?;
        let log = logs.join(format!("{name}.log"));
        let spec = match runtime {
            Runtime::Python(file) => {
                let file = paths::workspace().join("e2e/clients/python").join(file);
                Spec::new(name, self.place("python")?, log).arg("-B").arg(file)
            }
            Runtime::Node(file) => {
                Spec::new(name, self.place("node")?, log).arg(self.place("node-apps")?.join(file))
            }
            Runtime::Rust => Spec::new(name, self.place("rust")?, log),
            Runtime::Go => Spec::new(name, self.place("go")?, log),
        };
        let daemon = spec
            .env("WATCHKEEPER_URL", server)
            .env("API_KEY", key)
            .env("PORT", port.to_string())
            // The Python package writes local times without a zone, and they are taken as UTC.
            .env("TZ", "UTC")
            .env("NO_PROXY", "127.0.0.1")
            .spawn()?;
        daemon.wait_ready(READY, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(App { port, daemon })
    }
}

/// A running application. Ends when dropped.
#[derive(Debug)]
pub struct App {
    port: u16,
    daemon: Daemon,
}

impl App {
    /// Its address, as `127.0.0.1:1234`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The last lines of its output, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.daemon.log_tail()
    }
}
