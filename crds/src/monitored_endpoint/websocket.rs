//! The WebSocket probe.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, Header, TlsOptions};

/// Opens a WebSocket, and sends and expects a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebSocketProbe {
    /// What to open.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^wss?://[^/?#\\\\s]+[^\\\\s]*$')")
        .message("url must begin with ws:// or wss:// and name a host"))]
    pub url: String,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<Header>,
    /// Text message to send once it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub send: Option<String>,
    /// Regular expression that a message of the server must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expect: Option<String>,
    /// How TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: Connect,
}
