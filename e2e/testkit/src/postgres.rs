//! A PostgreSQL server of the tests' own.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::paths;
use crate::ports::free_port;
use crate::process::{Daemon, Spec};
use crate::rundir::RunDir;
use crate::user::{self, User};
use crate::wait;

const SUPERUSER: &str = "watchkeeper";
const READY: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 3;

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether a commit waits for the disk. Off is faster, and proves nothing about crashes.
    pub fsync: bool,
    /// More settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// MiB of the disk that it has to itself, for tests that fill it; needs root.
    pub disk: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { fsync: true, settings: Vec::new(), disk: None }
    }
}

/// A server on a free port of 127.0.0.1, with a password, in a directory that goes with it.
#[derive(Debug)]
pub struct Postgres {
    // Before the directory, so that the server ends first.
    daemon: Mutex<Option<Daemon>>,
    bin: PathBuf,
    port: u16,
    password: String,
    user: Option<User>,
    options: Options,
    databases: AtomicU32,
    directory: RunDir,
}

impl Postgres {
    /// The server that this process's tests share, started by the first who asks. Each test takes
    /// its own [`Postgres::database`].
    ///
    /// # Errors
    /// When it could not be started, every time with the first reason.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        let shared =
            SHARED.get_or_init(|| Self::start(Options::default()).map_err(|error| format!("{error:#}")));
        shared.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// A server of one's own, for tests that stop, kill or freeze it. Ends when dropped.
    ///
    /// # Errors
    /// When PostgreSQL is not there and cannot be installed, or does not start.
    pub fn start(options: Options) -> Result<Self> {
        let bin = paths::packaged("postgres")?;
        let user = user::unprivileged(&["postgres", "nobody"])?;
        let directory = match options.disk {
            Some(mebibytes) => RunDir::new_small("postgres", mebibytes),
            None if user.is_some() => RunDir::new_public("postgres"),
            None => RunDir::new("postgres"),
        }?;
        if let Some(User { uid, gid }) = user {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid))?;
        }
        let password = uuid::Uuid::new_v4().simple().to_string();
        let mut server = Self {
            daemon: Mutex::new(None),
            bin,
            port: 0,
            password,
            user,
            options,
            databases: AtomicU32::new(0),
            directory,
        };
        server.initialise()?;
        let mut attempt = 1;
        loop {
            server.port = free_port()?;
            match server.resume() {
                // Another process may have taken the port meanwhile.
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                result => return result.map(|()| server),
            }
        }
    }

    /// A new empty database, as a URL with the superuser's name and password.
    ///
    /// # Errors
    /// When the server does not make it.
    pub fn database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.client("createdb", &[&name])?;
        Ok(self.url(&name))
    }

    /// The URL of a database by its name.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements with `psql` in the database of `url` and gives what it prints: unaligned,
    /// without headings, columns separated by `|`.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn psql(&self, url: &str, statements: &str) -> Result<String> {
        self.client("psql", &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statements, url])
    }

    /// Runs the statements of a file, such as a dump, in the database of `url`.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn load(&self, url: &str, file: &Path) -> Result<()> {
        let file = file.to_str().context("a path that is no text")?;
        self.client("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, url]).map(drop)
    }

    /// Shuts it down in good order; clients are cut off.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self) -> Result<()> {
        self.running(|daemon| {
            daemon.signal("INT")?;
            daemon.wait_exit(READY).map(drop)
        })?;
        *self.daemon() = None;
        Ok(())
    }

    /// Starts it again on the same port and data after [`Postgres::stop`] or [`Postgres::kill9`].
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn resume(&self) -> Result<()> {
        let mut slot = self.daemon();
        let mut spec = Spec::new("postgres", self.bin.join("postgres"), self.log())
            .arg("-D")
            .arg(self.data())
            .arg("-p")
            .arg(self.port.to_string())
            .user(self.user)
            // Unlike KILL, this lets it give its shared memory back.
            .death_signal("QUIT");
        let fsync = if self.options.fsync { "on" } else { "off" };
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("max_connections", "500"),
            ("fsync", fsync),
        ];
        let settings = self.options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.into_iter().chain(settings) {
            spec = spec.arg("-c").arg(format!("{name}={value}"));
        }
        let daemon = spec.spawn()?;
        daemon.wait_ready(READY, || {
            let asked = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status();
            asked.is_ok_and(|status| status.success())
        })?;
        *slot = Some(daemon);
        Ok(())
    }

    /// `kill -9` of the server, as when the power fails except that written pages stay written.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&self) -> Result<()> {
        let mut slot = self.daemon();
        let daemon = slot.as_ref().context("the server does not run")?;
        let children = daemon.children();
        daemon.kill9()?;
        *slot = None;
        // They notice and end by themselves; until then they hold the data directory.
        wait::until("the killed server's children end", READY, || {
            let left = children.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists());
            Ok((!left).then_some(()))
        })
    }

    /// Stops every one of its processes in its tracks: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.running(Daemon::freeze)
    }

    /// Goes on after [`Postgres::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.running(Daemon::thaw)
    }

    /// Fills its own disk to the last byte.
    ///
    /// # Errors
    /// When it has none of its own.
    pub fn fill_disk(&self) -> Result<()> {
        self.options.disk.context("the server has no disk of its own")?;
        let mut file = fs::File::create(self.ballast())?;
        let zeros = vec![0; 1 << 16];
        loop {
            match file.write_all(&zeros) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes room again after [`Postgres::fill_disk`].
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free_disk(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("the disk was not filled")
    }

    /// Whether its process has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.daemon().as_ref().is_none_or(|daemon| daemon.exited().map_or(true, |status| status.is_some()))
    }

    fn ballast(&self) -> PathBuf {
        self.directory.path().join("ballast")
    }

    fn initialise(&self) -> Result<()> {
        let password = self.directory.path().join("password");
        fs::write(&password, &self.password)?;
        if let Some(User { uid, gid }) = self.user {
            std::os::unix::fs::chown(&password, Some(uid), Some(gid))?;
        }
        let mut pwfile = OsString::from("--pwfile=");
        pwfile.push(&password);
        let daemon = Spec::new("initdb", self.bin.join("initdb"), self.log())
            .arg("-D")
            .arg(self.data())
            .args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(pwfile)
            .user(self.user)
            .spawn()?;
        let status = daemon.wait_exit(READY)?;
        if !status.success() {
            bail!("initdb: {status}\n{}", daemon.log_tail());
        }
        Ok(())
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.bin.join(program))
            .args(arguments)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGPASSWORD", &self.password)
            .stdin(Stdio::null())
            .output()
            .with_context(|| program.to_owned())?;
        if !output.status.success() {
            bail!("{program}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    fn running(&self, act: impl FnOnce(&Daemon) -> Result<()>) -> Result<()> {
        act(self.daemon().as_ref().context("the server does not run")?)
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("postgres.log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon().as_ref() {
            // Asked first, since a server that is killed leaves its shared memory behind.
            let _ = daemon.thaw();
            let _ = daemon.signal("QUIT");
            let _ = daemon.wait_exit(Duration::from_secs(10));
        }
    }
}
