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

use crate::fixed_host::FixedHost;

// An interpreter that loads a framework on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// A Python with `requests`, as `e2e/clients/setup.sh` installs it.
///
/// # Errors
/// When the script fails; its own output, on this process's stderr, says why.
pub fn python() -> Result<PathBuf> {
    Ok(Installed::of(&["python"])?.place("python")?.to_owned())
}

/// What an application is run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// A file of `e2e/clients/python`, with the package `api-analytics`.
    Python(&'static str),
    /// The same, with the package of that name in its place.
    PythonWith(&'static str, &'static str),
    /// A file of `e2e/clients/node`.
    Node(&'static str),
    /// A program of `e2e/clients/rust` or of a folder beside it.
    Rust(&'static str),
    /// A program of `e2e/clients/go`.
    Go(&'static str),
}

/// Where an application's hits go.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// To the server at this URL, which the client is told.
    Told(&'a str),
    /// To the host that the client insists on, in whose place this stands.
    Fixed(&'a FixedHost),
}

/// What a client is told of its visitors' privacy.
#[derive(Debug, Clone, Copy)]
pub struct Privacy {
    /// 1: addresses only serve to know the country; 2: they are not even sent.
    pub level: u8,
    /// The header by which the application knows its users, for clients with a hook for their names.
    pub user_id_header: &'static str,
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
        Self::of(&[])
    }

    /// Installs those of some languages, all without any.
    fn of(languages: &[&str]) -> Result<Self> {
        let script = paths::workspace().join("e2e/clients/setup.sh");
        let output =
            Command::new(&script).args(languages).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
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

    /// Starts an application that logs to `target` under `key`, with its client's defaults where there is
    /// no `privacy`; its output goes to `<name>.log` in `logs`.
    ///
    /// # Errors
    /// When it does not start to listen.
    pub fn start(
        &self,
        name: &str,
        runtime: Runtime,
        target: Target<'_>,
        key: &str,
        privacy: Option<Privacy>,
        logs: &Path,
    ) -> Result<App> {
        let port = free_port()?;
        let log = logs.join(format!("{name}.log"));
        let spec = match runtime {
            Runtime::Python(file) => self.python(name, file, log)?,
            Runtime::PythonWith(package, file) => {
                self.python(name, file, log)?.env("PYTHONPATH", self.place(&format!("python-{package}"))?)
            }
            Runtime::Node(file) => {
                Spec::new(name, self.place("node")?, log).arg(self.place("node-apps")?.join(file))
            }
            Runtime::Rust(program) => Spec::new(name, self.place("rust")?.join(program), log),
            Runtime::Go(program) => Spec::new(name, self.place("go")?.join(program), log),
        };
        let spec = match target {
            Target::Told(server) => spec.env("WATCHKEEPER_URL", server),
            Target::Fixed(host) => {
                spec.env("HTTPS_PROXY", host.proxy()).env("SSL_CERT_FILE", host.certificate())
            }
        };
        let spec = match privacy {
            Some(Privacy { level, user_id_header }) => {
                spec.env("PRIVACY_LEVEL", level.to_string()).env("USER_ID_HEADER", user_id_header)
            }
            None => spec,
        };
        let daemon = spec
            .env("API_KEY", key)
            .env("PORT", port.to_string())
            // The Python package writes local times without a zone, and they are taken as UTC.
            .env("TZ", "UTC")
            .env("NO_PROXY", "127.0.0.1")
            .spawn()?;
        daemon.wait_ready(READY, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(App { port, daemon })
    }

    fn python(&self, name: &str, file: &str, log: PathBuf) -> Result<Spec> {
        let file = paths::workspace().join("e2e/clients/python").join(file);
        Ok(Spec::new(name, self.place("python")?, log).arg("-B").arg(file))
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
