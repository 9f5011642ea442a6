//! The data directory: one process at a time, readable by its owner alone.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use uuid::Uuid;
use watchkeeper_runtime::secret::Secret;
use watchkeeper_store::Options;

/// Makes a data directory, readable by its owner alone, if it is not there.
fn make(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the data directory {}", path.display()))
}

fn sqlite(path: &Path) -> Options {
    Options::sqlite(path.join("watchkeeper.db"))
}

/// The embedded store of a data directory that a running process may be using: what the jobs of a
/// website do is safe beside it.
pub fn shared_store(path: &Path) -> anyhow::Result<Options> {
    make(path)?;
    Ok(sqlite(path))
}

/// A data directory that no other process uses for as long as this value lives.
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Opens the directory, and makes it if need be.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        make(path)?;
        let lock = path.join("lock");
        let file = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another watchkeeper uses the data directory {}; stop it, or choose another with --data",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", lock.display()))
            }
        }
    }

    /// The embedded store.
    pub fn sqlite(&self) -> Options {
        sqlite(&self.path)
    }

    /// Where hits wait while Postgres is away.
    pub fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// The administrator's token, made at the first start.
    pub fn admin_token(&self) -> anyhow::Result<Secret> {
        let token = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.secret("admin-token", token)
    }

    /// The key of a project whose Secret is not among the manifests, made when first needed.
    pub fn project_key(&self, name: &str) -> anyhow::Result<Uuid> {
        let file = format!("project-{name}.key");
        let secret = self.secret(&file, || Uuid::new_v4().to_string())?;
        secret
            .expose()
            .parse()
            .with_context(|| format!("{} does not hold a UUID", self.path.join(file).display()))
    }

    fn secret(&self, name: &str, make: impl FnOnce() -> String) -> anyhow::Result<Secret> {
        let path = self.path.join(name);
        if !path.exists() {
            // Whole or not at all: a half of it would be taken for the secret from then on.
            let new = self.path.join(format!("{name}.new"));
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)
                .and_then(|mut file| file.write_all(make().as_bytes()).and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&new, &path))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Secret::from_file(&path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_made_once_and_are_their_owners_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("data");
        let data = DataDirectory::open(&path).expect("open");
        let key = data.project_key("shop").expect("key");
        let token = data.admin_token().expect("token");
        assert!(DataDirectory::open(&path).is_err(), "a second process was let in");
        drop(data);
        let data = DataDirectory::open(&path).expect("open again");
        assert_eq!(data.project_key("shop").expect("key"), key);
        assert_eq!(data.admin_token().expect("token").expose(), token.expose());
        let mode = fs::metadata(path.join("admin-token")).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_secret_that_was_half_written_is_made_anew() {
        let directory = tempfile::tempdir().expect("directory");
        let data = DataDirectory::open(directory.path()).expect("open");
        fs::write(directory.path().join("project-shop.key.new"), "0000").expect("write");
        let key = data.project_key("shop").expect("key");
        assert_eq!(data.project_key("shop").expect("key"), key);
    }
}
