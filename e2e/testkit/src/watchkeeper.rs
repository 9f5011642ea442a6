//! `watchkeeper local` and `watchkeeper logger` as a user would run them.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::ports::free_port;
use crate::process::Spec;
use crate::program;
use crate::rundir::RunDir;
use crate::service::Service;

/// How to start it.
#[derive(Debug)]
pub struct Local {
    command: &'static str,
    data: Option<PathBuf>,
    // Program and log are known when it starts only.
    change: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Argument(OsString),
    Environment(OsString, OsString),
}

impl Local {
    /// Reads a file or a directory of manifests (`-f`).
    #[must_use]
    pub fn manifest(self, path: impl AsRef<Path>) -> Self {
        self.arg("-f").arg(path.as_ref())
    }

    /// Keeps its data here instead of in a fresh directory that goes with it.
    #[must_use]
    pub fn data(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data = Some(directory.into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.change.push(Change::Argument(argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable. Those of this process that begin with `WATCHKEEPER_` are not
    /// handed on.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (name, value) = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.change.push(Change::Environment(name, value));
        self
    }

    /// Keeps its data in a PostgreSQL database instead of in files.
    #[must_use]
    pub fn database(self, url: &str) -> Self {
        self.env("WATCHKEEPER_DATABASE_URL", url)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be built, or ends or takes more than 30 seconds before it is ready; the
    /// message holds the end of its log.
    pub fn start(self) -> Result<Watchkeeper> {
        let directory = RunDir::new("watchkeeper")?;
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (listen, metrics) = (address(free_port()?), address(free_port()?));
        let data = self.data.unwrap_or_else(|| directory.path().join("data"));
        let log = directory.path().join("watchkeeper.log");
        let name = format!("watchkeeper {}", self.command);
        let mut spec = Spec::new(name, program::find("watchkeeper")?, log).arg(self.command);
        if self.command == "local" {
            spec = spec.arg("--data").arg(&data);
        }
        if self.command != "checker" {
            spec = spec.args(["--listen", &listen.to_string()]);
        }
        spec = spec.args(["--metrics-listen", &metrics.to_string()]);
        for change in self.change {
            spec = match change {
                Change::Argument(argument) => spec.arg(argument),
                Change::Environment(name, value) => spec.env(name, value),
            };
        }
        let service = Service::start(spec, metrics)?;
        Ok(Watchkeeper { service, listen, data, _directory: directory })
    }
}

/// A running `watchkeeper`. Dropping it kills it.
#[derive(Debug)]
pub struct Watchkeeper {
    // Before the directory, so that it ends first.
    service: Service,
    listen: SocketAddr,
    data: PathBuf,
    _directory: RunDir,
}

impl Watchkeeper {
    /// Everything in one process, on free ports and a fresh data directory.
    #[must_use]
    pub fn local() -> Local {
        Local { command: "local", data: None, change: Vec::new() }
    }

    /// The write path on its own, on free ports, into a PostgreSQL database.
    #[must_use]
    pub fn logger(database: &str) -> Local {
        Local { command: "logger", data: None, change: Vec::new() }.database(database)
    }

    /// One of the checkers of a PostgreSQL database, which answers on its metrics port alone.
    #[must_use]
    pub fn checker(database: &str) -> Local {
        Local { command: "checker", data: None, change: Vec::new() }.database(database)
    }

    /// The read path on its own over a PostgreSQL database, with its administrator's token in a file.
    #[must_use]
    pub fn api(database: &str, token: &Path) -> Local {
        Local { command: "api", data: None, change: Vec::new() }
            .database(database)
            .arg("--admin-token-file")
            .arg(token)
    }

    /// Where the services answer, as `http://127.0.0.1:18000`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }
}

impl Deref for Watchkeeper {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
