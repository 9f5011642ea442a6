//! Copies uap-core's `regexes.yaml` out of the `ua-parser` package into
//! `OUT_DIR`, so that the expressions are always those of the version in
//! `Cargo.lock` and none of them has to live in this repository. Tests learn
//! from `UAP_CORE` where uap-core's own cases lie.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PACKAGE: &str = "ua-parser";
const REGEXES: &str = "uap-core/regexes.yaml";

fn main() -> Result<()> {
    let crate_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let lock = lock_file(&crate_dir)?;

    println!("cargo:rerun-if-changed=build.rs");
    // Another version of the package means another path, which only the lock
    // file gives away.
    println!("cargo:rerun-if-changed={}", lock.display());

    let regexes = locate(&crate_dir, &out_dir, &lock)?;
    println!("cargo:rerun-if-changed={}", regexes.display());
    let text =
        fs::read(&regexes).map_err(|error| format!("{} cannot be read: {error}", regexes.display()))?;
    fs::write(out_dir.join("regexes.yaml"), text)?;
    let uap_core = regexes.parent().ok_or("the expressions lie in no directory")?;
    println!("cargo:rustc-env=UAP_CORE={}", uap_core.display());
    Ok(())
}

fn lock_file(crate_dir: &Path) -> Result<PathBuf> {
    crate_dir
        .ancestors()
        .map(|dir| dir.join("Cargo.lock"))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("no Cargo.lock in or above {}", crate_dir.display()).into())
}

/// Asks Cargo where the package's sources lie.
///
/// The question is asked about a scratch package that depends on this one
/// package only: about the whole workspace Cargo would want to have every
/// member's dependencies at hand, of which a build of a single crate on a
/// fresh machine has downloaded but a part.
fn locate(crate_dir: &Path, out_dir: &Path, lock: &Path) -> Result<PathBuf> {
    let locked = fs::read_to_string(lock)?;
    let version = locked_version(&locked)?;
    let scratch = out_dir.join("locate");
    fs::create_dir_all(&scratch)?;
    fs::copy(lock, scratch.join("Cargo.lock"))?;
    fs::write(scratch.join("lib.rs"), "")?;
    let manifest = scratch.join("Cargo.toml");
    fs::write(
        &manifest,
        format!(
            "[workspace]\n\
             [package]\nname = \"locate\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [lib]\npath = \"lib.rs\"\n\
             [dependencies]\n{PACKAGE} = \"={version}\"\n"
        ),
    )?;

    let target = env::var("TARGET")?;
    let output = Command::new(env::var("CARGO")?)
        // Cargo looks for its configuration (vendored sources, mirrors) from
        // the working directory upwards.
        .current_dir(crate_dir)
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(["--filter-platform", &target])
        .arg("--manifest-path")
        .arg(&manifest)
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "`cargo metadata` cannot tell where {PACKAGE} {version} lies:\n{}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }

    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let found = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == PACKAGE)
        .and_then(|package| package["manifest_path"].as_str())
        .map(|manifest| Path::new(manifest).with_file_name(REGEXES))
        .ok_or_else(|| format!("`cargo metadata` does not list {PACKAGE}"))?;
    if !found.is_file() {
        return Err(
            format!("{PACKAGE} {version} carries no {REGEXES} (looked for {})", found.display()).into()
        );
    }
    Ok(found)
}

/// The package's version in a lock file, where a package's name line is
/// followed by its version line.
fn locked_version(lock: &str) -> Result<&str> {
    let name = format!("name = \"{PACKAGE}\"");
    lock.lines()
        .skip_while(|line| *line != name)
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \""))
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(|| format!("Cargo.lock names no version of {PACKAGE}").into())
}
