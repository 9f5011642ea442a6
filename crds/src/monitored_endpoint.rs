//! `MonitoredEndpoint`: one thing that an installation watches.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{SecretKeyRef, yes};
use crate::durations::TimeSpan;

/// One thing that an AnalyticsInstance watches.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "watchkeeper.dev",
    version = "v1alpha1",
    kind = "MonitoredEndpoint",
    namespaced,
    cel,
    status = "MonitoredEndpointStatus",
    derive = "PartialEq",
    doc = "One thing that an AnalyticsInstance watches.",
    shortname = "wke",
    category = "watchkeeper",
    selectable = ".spec.instanceRef.name",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "Up, Down, Unknown or Suspended"
    ),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.http.url", description = "What is asked"),
    printcolumn(
        name = "Uptime",
        type_ = "string",
        json_path = ".status.uptime['24h']",
        description = "Percent of the last 24 hours"
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.since",
        description = "How long it has been in its state"
    ),
    printcolumn(
        name = "Instance",
        type_ = "string",
        json_path = ".spec.instanceRef.name",
        description = "Who watches it"
    ),
    printcolumn(
        name = "Last Check",
        type_ = "date",
        json_path = ".status.lastCheck.time",
        description = "The newest check that this object knows; refreshed with every change of state and every 15 minutes",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.lastCheck.message",
        description = "What the newest check that this object knows said",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.http)].exists_one(set, set)")
        .message("set exactly one probe: http"),
    validation = Rule::new("duration(self.timeout) <= duration(self.interval)")
        .message("timeout must not be longer than interval")
)]
pub struct MonitoredEndpointSpec {
    /// The installation that watches this endpoint; cannot change.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("instanceRef cannot change: delete this endpoint and create it anew"))]
    pub instance_ref: InstanceRef,
    /// Name to show; the object's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// Group to show it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub group: Option<String>,
    /// Labels of its metrics and of reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Time from one check to the next, at least `1s`.
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')")
        .message("interval must be at least 1s"))]
    pub interval: TimeSpan,
    /// Time after which an unanswered check has failed; at most the interval.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')")
        .message("timeout must be longer than nothing"))]
    pub timeout: TimeSpan,
    /// Attempts after a failed one before a check counts as failed.
    #[serde(default)]
    pub retries: Retries,
    /// Stops checking and keeps what is known.
    #[serde(default)]
    pub suspended: bool,
    /// Asks an HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
}

/// The installation that watches an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRef {
    /// Name of the AnalyticsInstance.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; the endpoint's own when left out. The instance must allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

fn default_interval() -> TimeSpan {
    TimeSpan::from_secs(60)
}

fn default_timeout() -> TimeSpan {
    TimeSpan::from_secs(10)
}

/// Attempts after a failed one before a check counts as failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Number of further attempts.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: i32,
    /// Pause before each further attempt.
    #[serde(default = "default_backoff")]
    pub backoff: TimeSpan,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 0, backoff: default_backoff() }
    }
}

fn default_backoff() -> TimeSpan {
    TimeSpan::from_secs(1)
}

/// Asks an HTTP server and judges its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// What to ask.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#\\\\s]+[^\\\\s]*$')")
        .message("url must begin with http:// or https:// and name a host"))]
    pub url: String,
    /// How to ask.
    #[serde(default)]
    pub method: HttpMethod,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<Header>,
    /// Body to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub body: Option<String>,
    /// Answers that count as up: codes as `200` or classes as `2xx`.
    #[serde(default = "default_expected_status")]
    #[schemars(length(min = 1, max = 32), inner(length(max = 3), regex(pattern = "^[1-5]([0-9][0-9]|xx)$")))]
    pub expected_status: Vec<String>,
    /// Whether redirects are followed; otherwise they are the answer.
    #[serde(default = "yes")]
    pub follow_redirects: bool,
}

fn default_expected_status() -> Vec<String> {
    vec!["2xx".to_owned()]
}

/// Method of an HTTP request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl HttpMethod {
    /// The method as it stands in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// One header of the request: exactly one of `value` and `valueFrom` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.value), has(self.valueFrom)].exists_one(set, set)")
    .message("set exactly one of value and valueFrom"))]
pub struct Header {
    /// Name of the header.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"))]
    pub name: String,
    /// The value itself; for anything secret use `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub value: Option<String>,
    /// Where the value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// Where the value of a header is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSource {
    /// Key of a Secret in the endpoint's namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// What is known about the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonitoredEndpointStatus {
    /// Ready (it is being watched) and Accepted (the instance allows it).
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
}

/// How an endpoint is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndpointState {
    /// It answers as expected.
    Up,
    /// It does not.
    Down,
    /// It has not been checked yet.
    #[default]
    Unknown,
    /// Checking is turned off.
    Suspended,
}

impl EndpointState {
    /// The word that manifests, the database and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Down => "Down",
            Self::Unknown => "Unknown",
            Self::Suspended => "Suspended",
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

#[cfg(test)]
#[path = "monitored_endpoint_tests.rs"]
mod tests;
