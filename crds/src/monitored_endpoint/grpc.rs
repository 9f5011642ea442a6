//! The gRPC probe.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, Header, TlsOptions};

/// Calls `grpc.health.v1.Health/Check`; SERVING is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcProbe {
    /// Whom to connect to, as `host:port`.
    #[schemars(length(min = 3, max = 260))]
    #[x_kube(validation = Rule::new("self.matches('^([^:\\\\[\\\\]\\\\s/]+|\\\\[[0-9a-fA-F:.]+\\\\]):[0-9]{1,5}$')")
        .message("write the address as host:port or [ipv6]:port"))]
    pub address: String,
    /// Service to ask for; the server as a whole when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 127))]
    pub service: String,
    /// Metadata to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub metadata: Vec<Header>,
    /// Speaks TLS; plain text when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: Connect,
}
