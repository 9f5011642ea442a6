//! Prometheus' own tool.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use watchkeeper_testkit::paths;

/// Whether `promtool check metrics` is content with an exposition, and all that it says.
///
/// # Errors
/// When promtool cannot be run.
pub fn check_metrics(metrics: &str) -> Result<(bool, String)> {
    let mut promtool = promtool()?;
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn()?;
    child.stdin.take().context("promtool has no standard input")?.write_all(metrics.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8([output.stdout, output.stderr].concat())?))
}

/// Whether `promtool check rules` is content with files of rules, and all that it says.
///
/// # Errors
/// When promtool cannot be run.
pub fn check_rules(files: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<(bool, String)> {
    run(promtool()?.args(["check", "rules"]).args(files))
}

/// Whether `promtool check config` is content with a configuration, and all that it says.
///
/// # Errors
/// When promtool cannot be run.
pub fn check_config(file: &Path) -> Result<(bool, String)> {
    run(promtool()?.args(["check", "config"]).arg(file))
}

/// Whether the rules do what a file for `promtool test rules` expects, and all that it says.
///
/// # Errors
/// When promtool cannot be run.
pub fn test_rules(file: &Path) -> Result<(bool, String)> {
    run(promtool()?.args(["test", "rules"]).arg(file))
}

fn promtool() -> Result<Command> {
    Ok(Command::new(paths::packaged("prometheus")?.join("promtool")))
}

fn run(command: &mut Command) -> Result<(bool, String)> {
    let output = command.stdin(Stdio::null()).output()?;
    Ok((output.status.success(), String::from_utf8([output.stdout, output.stderr].concat())?))
}
