//! Directories of running servers, which do not outlive their owner for long.
//!
//! A killed test process cannot tidy up, and neither does a `static`. So each directory's name says
//! whose it is, and the next process that makes one removes those of the dead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::paths;

/// A fresh directory, removed when dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    remove: fn(&Path),
}

impl RunDir {
    /// Makes `run/<label>-<pid>-<start>-<n>` in the cache.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(label: &str) -> Result<Self> {
        Self::new_in(&paths::cache()?.join("run"), label, remove_files)
    }

    /// As [`RunDir::new`], for a cluster with a node: what runs in it goes with it.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new_node() -> Result<Self> {
        let remove = |path: &Path| drop(crate::cluster::remove_node(path));
        Self::new_in(&paths::cache()?.join("nodes"), "n", remove)
    }

    /// As [`RunDir::new`], in the system's directory for temporary files: for a server that runs as
    /// another user, who may not be let into a home directory.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new_public(label: &str) -> Result<Self> {
        use std::os::unix::fs::MetadataExt;
        // Each user has their own, since one could not write to another's.
        let uid = fs::metadata("/proc/self")?.uid();
        Self::new_in(&std::env::temp_dir().join(format!("watchkeeper-run-{uid}")), label, remove_files)
    }

    /// As [`RunDir::new_public`], on a file system in memory of this many MiB, which can get full.
    ///
    /// # Errors
    /// When the directory cannot be made, or this process may not mount (it must be root).
    pub fn new_small(label: &str, mebibytes: u32) -> Result<Self> {
        let remove = |path: &Path| {
            let _ = Command::new("umount").arg("--lazy").arg(path).status();
            remove_files(path);
        };
        let directory = Self::new_in(&std::env::temp_dir().join("watchkeeper-run-small"), label, remove)?;
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "watchkeeper-test"])
            .arg(directory.path())
            .status()
            .context("mount")?;
        if !mounted.success() {
            bail!("mount of a small file system: {mounted}; is this root?");
        }
        Ok(directory)
    }

    fn new_in(root: &Path, label: &str, remove: fn(&Path)) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(root).with_context(|| root.display().to_string())?;
        remove_leftovers(root, remove);
        let pid = std::process::id();
        let start = start_time(pid).context("this process's start time")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{label}-{pid}-{start}-{number}"));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path, remove })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // A failing test's logs are worth keeping until the next run.
        if !std::thread::panicking() {
            (self.remove)(&self.path);
        }
    }
}

fn remove_files(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

fn remove_leftovers(root: &Path, remove: fn(&Path)) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(owner).is_some_and(|(pid, start)| start_time(pid) != Some(start)) {
            remove(&entry.path());
        }
    }
}

/// The owner's pid and start time from a directory's name; the time tells a process from a later
/// one that got its pid.
fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.rsplitn(4, '-').skip(1);
    let start = parts.next()?.parse().ok()?;
    let pid = parts.next()?.parse().ok()?;
    Some((pid, start))
}

/// When a process started, in ticks since boot; `None` when there is none.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_owners_directory_goes_and_a_living_ones_stays() {
        let root = RunDir::new("rundir-test").unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let left = root.path().join(format!("postgres-{dead}-1-0"));
        let stranger = root.path().join("cluster");
        fs::create_dir_all(left.join("data")).unwrap();
        fs::create_dir(&stranger).unwrap();

        let first = RunDir::new_in(root.path(), "a-b", remove_files).unwrap();
        let second = RunDir::new_in(root.path(), "a-b", remove_files).unwrap();

        assert!(!left.exists());
        assert!(stranger.exists() && first.path().exists() && second.path().exists());
        let path = first.path().to_path_buf();
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn the_owner_is_read_from_the_name() {
        assert_eq!(owner("control-plane-12-345-0"), Some((12, 345)));
        assert_eq!(owner("cluster"), None);
    }
}
