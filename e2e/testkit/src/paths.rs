//! Where things are: the checkout, the cache, and the scripts that fill it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the checkout.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The directory for things that are expensive to make and live outside the checkout.
///
/// # Errors
/// When neither `WATCHKEEPER_CACHE` nor `HOME` is set.
pub fn cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("WATCHKEEPER_CACHE").filter(|value| !value.is_empty()) {
        return Ok(cache.into());
    }
    let home = std::env::var_os("HOME").context("neither WATCHKEEPER_CACHE nor HOME is set")?;
    Ok(Path::new(&home).join(".cache/watchkeeper"))
}

/// The directory of programs that `e2e/cluster/build.sh` builds, as
/// `kubernetes` or `helm`. The first
/// call on a machine takes minutes, later ones milliseconds.
///
/// # Errors
/// When the script fails; its own output, on this process's stderr, says why.
pub fn built(what: &str) -> Result<PathBuf> {
    script("build.sh", what)
}

/// The directory of a Debian program that `e2e/cluster/deps.sh` finds or fetches, as `etcd` or
/// `postgres`.
///
/// # Errors
/// As [`built`].
pub fn packaged(what: &str) -> Result<PathBuf> {
    script("deps.sh", what)
}

fn script(name: &str, argument: &str) -> Result<PathBuf> {
    let path = workspace().join("e2e/cluster").join(name);
    let output = Command::new(&path)
        .arg(argument)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", path.display()))?;
    if !output.status.success() {
        bail!("{} {argument}: {}", path.display(), output.status);
    }
    let directory = String::from_utf8(output.stdout).with_context(|| format!("{name} {argument}: output"))?;
    Ok(directory.trim_end().into())
}
