//! `MonitoredEndpoint`: one thing that an installation watches.

mod alerts;
mod assertion;
mod connect;
mod dns;
mod grpc;
mod heartbeat;
mod http;
mod icmp;
mod slo;
mod status;
mod tcp;
mod tls;
mod value;
mod websocket;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durations::TimeSpan;

pub use alerts::{Alerts, Escalation, Flapping, MaintenanceWindow};
pub use assertion::{AssertionComparison, AssertionSource, AssertionSpec, Severity};
pub use connect::{AddressPolicy, Connect, IpFamily, StartTls, TlsOptions};
pub use dns::{DnsProbe, DnsTransport, RecordType};
pub use grpc::GrpcProbe;
pub use heartbeat::HeartbeatProbe;
pub use http::{BasicAuth, Header, HeaderSource, HttpAuth, HttpMethod, HttpProbe, HttpVersion};
pub use icmp::IcmpProbe;
pub use slo::Slo;
pub use status::{CertificateStatus, EndpointState, LastCheck, MonitoredEndpointStatus, Uptime};
pub use tcp::{Exchange, TcpProbe};
pub use tls::TlsProbe;
pub use value::{Slot, ValueSource};
pub use websocket::WebSocketProbe;

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
        description = "Up, Degraded, Down, Unknown, Maintenance or Suspended"
    ),
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".status.target",
        description = "What is asked"
    ),
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
    validation = Rule::new("[has(self.http), has(self.tcp), has(self.tls), has(self.dns), has(self.icmp), has(self.grpc), has(self.websocket), has(self.heartbeat)].exists_one(set, set)")
        .message("set exactly one probe: http, tcp, tls, dns, icmp, grpc, websocket or heartbeat"),
    validation = Rule::new("!has(self.heartbeat) || !has(self.assertions)")
        .message("a heartbeat has no answer that assertions could look at: leave them out"),
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
    /// When a state counts as changed, and who is told.
    #[serde(default)]
    pub alerts: Alerts,
    /// Times when bad checks are expected: nobody is told of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance: Vec<MaintenanceWindow>,
    /// Endpoints without which this one cannot be up, as `name` or `namespace/name`: while one of them is down,
    /// nobody is told of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 317),
            regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")
        )
    )]
    pub depends_on: Vec<String>,
    /// Stops checking and keeps what is known.
    #[serde(default)]
    pub suspended: bool,
    /// How much of the time it should be up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// Asks an HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// Opens a TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// Shakes hands for TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsProbe>,
    /// Asks a DNS server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsProbe>,
    /// Sends ICMP echo requests; the checker needs its group in net.ipv4.ping_group_range, or CAP_NET_RAW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpProbe>,
    /// Calls a gRPC server's health service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcProbe>,
    /// Opens a WebSocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketProbe>,
    /// Waits for the endpoint to call by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<HeartbeatProbe>,
    /// What must hold of an answer besides the probe's own terms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub assertions: Vec<AssertionSpec>,
}

impl MonitoredEndpointSpec {
    /// What is asked, in one line, whatever the probe.
    #[must_use]
    pub fn target(&self) -> String {
        let probes = [
            self.http.as_ref().map(|probe| &probe.url),
            self.tcp.as_ref().map(|probe| &probe.address),
            self.tls.as_ref().map(|probe| &probe.address),
            self.dns.as_ref().map(|probe| &probe.name),
            self.icmp.as_ref().map(|probe| &probe.host),
            self.grpc.as_ref().map(|probe| &probe.address),
            self.websocket.as_ref().map(|probe| &probe.url),
        ];
        probes.into_iter().flatten().next().cloned().unwrap_or_default()
    }
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
    /// Repeats only attempts without an answer; an answer that is not as expected stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_answer_only: bool,
    /// Doubles the pause from attempt to attempt, up to a minute, and shortens or lengthens each by up to a half at random.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exponential: bool,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 0, backoff: default_backoff(), no_answer_only: false, exponential: false }
    }
}

fn default_backoff() -> TimeSpan {
    TimeSpan::from_secs(1)
}

#[cfg(test)]
mod tests;
