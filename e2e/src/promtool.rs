//! Prometheus' own tool.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use watchkeeper_testkit::paths;

/// Whether `promtool check metrics` is content with an exposition, and all that it says.
///
/// # Errors
/// When promtool cannot be run.
pub fn check_metrics(metrics: &str) -> Result<(bool, String)> {
    let mut promtool = Command::new(paths::packaged("prometheus")?.join("promtool"));
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn()?;
    child.stdin.take().context("promtool has no standard input")?.write_all(metrics.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8([output.stdout, output.stderr].concat())?))
}
