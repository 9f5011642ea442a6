//! The file that tells `kubectl` and every other client where a cluster is and who they are.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

/// Writes `path` for the API server at `address`, whose certificate comes from the authority in the
/// file `ca`, with a bearer token. Only its owner may read it.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(path: &Path, address: SocketAddr, ca: &Path, user: &str, token: &str) -> Result<()> {
    let server = format!("https://{address}");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "watchkeeper-test", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "watchkeeper-test", "context": {"cluster": "watchkeeper-test", "user": user}}],
        "current-context": "watchkeeper-test",
    });
    // JSON is YAML too.
    save(path, &serde_json::to_string_pretty(&config)?)
}

/// Writes a kubeconfig that only its owner may read, since there is a token in it.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, text: &str) -> Result<()> {
    // Removed first: the mode is only given to a file that is made.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
