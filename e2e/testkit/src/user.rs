//! Whom to run a server as that refuses to be root.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};

/// A user to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

/// The first of `names` that the machine knows; `None` when this process is not root, and so needs
/// to be nobody else.
///
/// # Errors
/// When this is root and the machine knows none of them.
pub fn unprivileged(names: &[&str]) -> Result<Option<User>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let known = names.iter().find_map(|name| find(&accounts, name));
    match known {
        Some(user) => Ok(Some(user)),
        None => bail!("no user to run as among {}", names.join(", ")),
    }
}

fn find(accounts: &str, name: &str) -> Option<User> {
    let mut lines = accounts.lines().map(|line| line.split(':'));
    // name:password:uid:gid:...
    let mut fields = lines.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(User { uid, gid })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\nnobody2:x:1:2::/:/bin/sh\nnobody:x:65534:65533::/:/bin/sh\n";
        let user = find(accounts, "nobody").unwrap();
        assert_eq!((user.uid, user.gid), (65534, 65533));
        assert_eq!(find(accounts, "postgres"), None);
    }
}
