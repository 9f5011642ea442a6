//! The project's own programs, as this build made them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::paths;

/// The path of a program of the workspace, as `watchkeeper` or `watchkeeper-operator`, from the same
/// target directory as the running test. Built first when it is not there.
///
/// `cargo test` of another package does not rebuild it: build the workspace's programs before.
///
/// # Errors
/// When it is not there and cannot be built.
pub fn find(name: &str) -> Result<PathBuf> {
    // Tests run in parallel; one of them builds.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);

    let test = std::env::current_exe()?;
    // <target>/<profile>/deps/<test>, or <target>/<profile>/<program> for a program of ours.
    let profile = test.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    let profile = profile.context("a test outside a target directory")?;
    let program = profile.join(name);
    if program.exists() {
        return Ok(program);
    }
    let target = profile.parent().context("a profile outside a target directory")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(paths::workspace()).args(["build", "--bin", name]).arg("--target-dir").arg(target);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().context("cargo")?;
    if !status.success() || !program.exists() {
        bail!("cargo build --bin {name}: {status}, and no {}", program.display());
    }
    Ok(program)
}
