//! Child processes that die with the test process, however it ends.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::user::User;
use crate::wait;

const TAIL: usize = 40;

/// How to start a daemon.
#[derive(Debug, Clone)]
pub struct Spec {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    log: PathBuf,
    user: Option<User>,
    network: Option<String>,
    detached: bool,
    death_signal: &'static str,
}

impl Spec {
    /// `program`, called `name` in messages, writing its output at the end of the file `log`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            log: log.into(),
            user: None,
            network: None,
            detached: false,
            death_signal: "KILL",
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Keeps an environment variable of this process from the child.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Whether it says anything about an environment variable.
    #[must_use]
    pub fn sets(&self, name: &OsStr) -> bool {
        self.environment.iter().any(|(own, _)| own == name)
    }

    /// The file that its output goes to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Runs as another user; needs root.
    #[must_use]
    pub fn user(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Runs in the network namespace of that name; needs root.
    #[must_use]
    pub fn network(mut self, namespace: Option<&str>) -> Self {
        self.network = namespace.map(str::to_owned);
        self
    }

    /// Gets a session of its own and may outlive this process: see [`Daemon::leave_running`].
    #[must_use]
    pub fn detached(mut self, detached: bool) -> Self {
        self.detached = detached;
        self
    }

    /// What it gets when this process dies, `KILL` unless set: a server that has something of the
    /// machine's to give back may prefer another.
    #[must_use]
    pub fn death_signal(mut self, signal: &'static str) -> Self {
        self.death_signal = signal;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn spawn(self) -> Result<Daemon> {
        if !self.program.exists() {
            bail!("{}: there is no {}", self.name, self.program.display());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| self.log.display().to_string())?;
        let mut command = self.command();
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let child = spawn_from_lasting_thread(command).with_context(|| format!("starting {}", self.name))?;
        Ok(Daemon { pid: child.id(), name: self.name, log: self.log, left: false, child: Mutex::new(child) })
    }

    /// The program behind the wrappers that set who it is and when it dies.
    fn command(&self) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if self.detached {
            words.push("setsid".into());
        }
        if self.user.is_some() || !self.detached {
            words.push("setpriv".into());
        }
        if let Some(user) = self.user {
            words.extend([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)].map(Into::into));
            words.push("--clear-groups".into());
        }
        if !self.detached {
            words.extend(["--pdeathsig", self.death_signal].map(Into::into));
        }
        if words.last().is_some_and(|word| word != "setsid") {
            words.push("--".into());
        }
        if let Some(network) = &self.network {
            // Not `ip netns exec`, which changes the view of mounts too.
            words.extend(
                ["nsenter".to_owned(), format!("--net=/run/netns/{network}"), "--".into()].map(Into::into),
            );
        }
        words.push(self.program.clone().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

/// The kernel sends the signal of `--pdeathsig` when the *thread* that started the child ends, and a
/// test's thread ends with its test. So all children are started by one thread that never ends.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static THREAD: OnceLock<Result<Mutex<mpsc::Sender<Job>>, String>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        let work = move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        };
        let thread = std::thread::Builder::new().name("testkit-spawner".into()).spawn(work);
        thread.map(|_| Mutex::new(sender)).map_err(|error| error.to_string())
    });
    let sender = thread.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    let (answer, result) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes has ended");
    lock(sender).send((command, answer)).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    pid: u32,
    log: PathBuf,
    left: bool,
    child: Mutex<Child>,
}

impl Daemon {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file of its output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let Ok(file) = fs::File::open(&self.log) else {
            return String::new();
        };
        let mut tail = VecDeque::with_capacity(TAIL);
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(String::from_utf8_lossy(&line).into_owned());
        }
        Vec::from(tail).join("\n")
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }

    /// Waits until `probe` says that it is ready.
    ///
    /// # Errors
    /// When it ends before, or `limit` passes: the message holds the end of its log.
    pub fn wait_ready(&self, limit: Duration, mut probe: impl FnMut() -> bool) -> Result<()> {
        let ready = wait::until(&format!("{} is ready", self.name), limit, || {
            if let Some(status) = self.exited()? {
                bail!("{} ended before it was ready: {status}", self.name);
            }
            Ok(probe().then_some(()))
        });
        ready.map_err(|error| anyhow!("{error}\nthe end of {}:\n{}", self.log.display(), self.log_tail()))
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When `limit` passes before.
    pub fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        wait::until(&format!("{} ends", self.name), limit, || self.exited())
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill9(&self) -> Result<()> {
        let mut child = lock(&self.child);
        if child.try_wait()?.is_none() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM), and waits.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn terminate(&self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        self.signal("TERM")?;
        self.wait_exit(limit)
    }

    /// Stops it and its children in their tracks (SIGSTOP): sockets stay open, nothing answers.
    ///
    /// # Errors
    /// When it has ended.
    pub fn freeze(&self) -> Result<()> {
        // The parent first, so that it makes no more children meanwhile.
        self.signal("STOP")?;
        for child in children(self.pid) {
            // One that has ended in between is as still as can be.
            let _ = send("STOP", child);
        }
        Ok(())
    }

    /// Lets it and its children go on after [`Daemon::freeze`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn thaw(&self) -> Result<()> {
        for child in children(self.pid) {
            let _ = send("CONT", child);
        }
        self.signal("CONT")
    }

    /// The ids of its children.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        children(self.pid)
    }

    /// Forgets it without ending it.
    pub fn leave_running(mut self) {
        self.left = true;
    }

    /// Sends a signal by its name, as `HUP` or `INT`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: &str) -> Result<()> {
        // Held, so that the process is not reaped and its number reused in between.
        let mut child = lock(&self.child);
        if let Some(status) = child.try_wait()? {
            bail!("{} has ended: {status}", self.name);
        }
        send(signal, self.pid)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.left {
            let _ = self.kill9();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(signal: &str, pid: u32) -> Result<()> {
    // The shell's own `kill` is on every machine; the program is not.
    let output = Command::new("sh").arg("-c").arg(format!("kill -{signal} {pid}")).output()?;
    if !output.status.success() {
        bail!("kill -{signal} {pid}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
