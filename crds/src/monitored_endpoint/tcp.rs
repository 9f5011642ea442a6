//! The TCP probe.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, StartTls, TlsOptions};

/// Opens a TCP connection, and says and expects something over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpProbe {
    /// Whom to connect to, as `host:port`.
    #[schemars(length(min = 3, max = 260))]
    #[x_kube(validation = Rule::new("self.matches('^([^:\\\\[\\\\]\\\\s/]+|\\\\[[0-9a-fA-F:.]+\\\\]):[0-9]{1,5}$')")
        .message("write the address as host:port or [ipv6]:port"))]
    pub address: String,
    /// What is expected and sent, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub conversation: Vec<Exchange>,
    /// Begins without TLS and goes on with it, as this protocol does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starttls: Option<StartTls>,
    /// Speaks TLS: from the first byte, or after the upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: Connect,
}

/// One step of a conversation: first what is expected, then what is sent, then TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// Regular expression that a line of the server must match; other lines are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expect: Option<String>,
    /// Line to send; its end (CR LF) is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub send: Option<String>,
    /// Whether TLS starts after this step.
    #[serde(default)]
    pub starttls: bool,
}
