//! The heartbeat: the endpoint calls by itself.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ValueSource;
use crate::durations::TimeSpan;

/// Waits for the endpoint to call `/api/v1/heartbeats/<token>` once every interval. A call that does not
/// come in time is a failed check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatProbe {
    /// Secret that names the endpoint in a call: 16 to 256 letters, digits, `-` and `_`.
    pub token: ValueSource,
    /// Time past the interval before a call counts as missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<TimeSpan>,
}
