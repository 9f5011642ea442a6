//! What is known about an endpoint.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known about the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonitoredEndpointStatus {
    /// Ready (it is being watched; NotObserved is the reason when no checks come) and Accepted (the instance allows it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<EndpointState>,
    /// When it came into this state, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub since: Option<String>,
    /// The newest check known here; refreshed with every change of state and every 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<LastCheck>,
    /// Percent of time up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Uptime>,
    /// What is asked, in one line, whatever the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The certificate that the newest check known here was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
}

/// A certificate that a check was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// When it expires, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub not_after: String,
}

/// How an endpoint is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndpointState {
    /// It answers as expected.
    Up,
    /// It does not.
    Down,
    /// It answers, and not as well as it should.
    Degraded,
    /// It has not been checked yet, or not for too long: then nobody knows how it is.
    #[default]
    Unknown,
    /// Checking is turned off.
    Suspended,
    /// It is being worked on, as a window of its spec says; nobody is told how it is.
    Maintenance,
}

impl EndpointState {
    /// The word that manifests, the database and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Down => "Down",
            Self::Unknown => "Unknown",
            Self::Degraded => "Degraded",
            Self::Suspended => "Suspended",
            Self::Maintenance => "Maintenance",
        }
    }
}

/// One check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastCheck {
    /// When it began, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Whether the answer was as expected.
    pub ok: bool,
    /// Status code of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// What went wrong, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Percent of time up, as `99.95`; left out while nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uptime {
    /// Of the last 24 hours.
    #[serde(rename = "24h", default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Of the last 7 days.
    #[serde(rename = "7d", default, skip_serializing_if = "Option::is_none")]
    pub week: Option<String>,
    /// Of the last 30 days.
    #[serde(rename = "30d", default, skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
}
