//! The TLS probe.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, StartTls, TlsOptions};
use crate::durations::TimeSpan;

/// Shakes hands for TLS and judges the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsProbe {
    /// Whom to connect to, as `host:port`.
    #[schemars(length(min = 3, max = 260))]
    #[x_kube(validation = Rule::new("self.matches('^([^:\\\\[\\\\]\\\\s/]+|\\\\[[0-9a-fA-F:.]+\\\\]):[0-9]{1,5}$')")
        .message("write the address as host:port or [ipv6]:port"))]
    pub address: String,
    /// Begins without TLS and goes on with it, as this protocol does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starttls: Option<StartTls>,
    /// How TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<TlsOptions>,
    /// Names that the certificate must be valid for, besides the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
    /// Shortest time that the server's own certificate must still be valid, as `720h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<TimeSpan>,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: Connect,
}
