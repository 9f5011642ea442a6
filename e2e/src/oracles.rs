//! Judges that we did not write (`e2e/oracles`): a validator of OpenAPI documents, a
//! feed reader, and DuckDB.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use watchkeeper_testkit::paths;

/// A Python with the judges.
#[derive(Debug)]
pub struct Oracles {
    python: PathBuf,
}

impl Oracles {
    /// Installs them, or finds them installed.
    ///
    /// # Errors
    /// When the script fails; its own output, on this process's stderr, says why.
    pub fn new() -> Result<Self> {
        let script = folder().join("setup.sh");
        let output = Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| script.display().to_string())?;
        if !output.status.success() {
            bail!("{}: {}", script.display(), output.status);
        }
        Ok(Self { python: String::from_utf8(output.stdout)?.trim().into() })
    }

    /// Judges an OpenAPI document.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn judge_openapi(&self, document: &str) -> Result<()> {
        let mut command = Command::new(&self.python);
        command.arg(folder().join("openapi.py"));
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("no standard input")?.write_all(document.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// What a feed reader makes of a feed: its dialect, title and entries.
    ///
    /// # Errors
    /// When it finds the feed malformed; the message says where.
    pub fn read_feed(&self, feed: &str) -> Result<Value> {
        let mut command = Command::new(&self.python);
        command.arg(folder().join("feed.py"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("no standard input")?.write_all(feed.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The rows of a statement over a Parquet file, which it calls `hits`.
    ///
    /// # Errors
    /// When DuckDB does not take the file or the statement.
    pub fn query_parquet(&self, file: &Path, statement: &str) -> Result<Value> {
        let script = folder().join("parquet.py");
        let output = Command::new(&self.python).arg(script).arg(file).arg(statement).output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn folder() -> PathBuf {
    paths::workspace().join("e2e/oracles")
}
