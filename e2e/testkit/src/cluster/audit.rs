//! What the API server was asked: one record a request, from its own audit log.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

/// The audit policy: everyone but the control plane itself is recorded, once a request.
pub(super) const POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager"]
  - level: None
    userGroups: ["system:serviceaccounts:kube-system"]
  - level: Metadata
"#;

/// One request that the API server has answered. A watch is recorded when it ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// As `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The path and query.
    #[serde(rename = "requestURI")]
    pub uri: String,
    /// Who asked.
    pub user: Account,
    /// For whom, when they impersonated somebody.
    pub impersonated_user: Option<Account>,
    /// The program, by its own account.
    #[serde(default)]
    pub user_agent: String,
    /// What it was about; absent for paths outside the API.
    pub object_ref: Option<ObjectRef>,
    /// The answer.
    pub response_status: Option<Status>,
    /// When it came, RFC 3339 with microseconds.
    pub request_received_timestamp: String,
}

/// Somebody who asks.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// As `system:serviceaccount:<namespace>:<name>`.
    pub username: String,
}

/// What a request was about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// The plural, as `deployments`.
    pub resource: String,
    /// Empty for all, and for what has none.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// As `apps`; empty for the core group.
    pub api_group: String,
    /// As `status`; empty for the object itself.
    pub subresource: String,
}

/// The answer to a request.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
}

impl Request {
    /// Whether it would change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// The one on whose behalf it was made.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.impersonated_user.as_ref().unwrap_or(&self.user).username
    }

    /// The answer's HTTP status, 0 when none was recorded.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }
}

/// Reads the whole log, oldest first.
///
/// # Errors
/// When it cannot be read or a whole line is no record.
pub(super) fn read(log: &Path) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    let mut reader = BufReader::new(File::open(log)?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        // The last line may be in the middle of being written.
        if !line.ends_with('\n') {
            break;
        }
        requests.push(serde_json::from_str(&line)?);
        line.clear();
    }
    Ok(requests)
}
