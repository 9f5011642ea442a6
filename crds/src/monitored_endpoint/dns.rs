//! The DNS probe.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, TlsOptions};

/// Asks a DNS server and judges its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsProbe {
    /// Server, as `host` or `host:port`; the system's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 260))]
    pub server: Option<String>,
    /// How the server is asked; over UDP, an answer that was cut is asked for again over TCP.
    #[serde(default)]
    pub transport: DnsTransport,
    /// Name to ask for; for PTR an address will do.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Type of record.
    #[serde(rename = "type", default)]
    pub record_type: RecordType,
    /// Records that must be among the answers, as text; none means that any will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 1024)))]
    pub expected: Vec<String>,
    /// Whether there must be no other records.
    #[serde(default)]
    pub exact: bool,
    /// Response codes that count as up; NOERROR with at least one record when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 16), regex(pattern = "^[A-Z]+$")))]
    pub rcodes: Vec<String>,
    /// How TLS is spoken to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,
    /// IP version in which the server is asked.
    #[serde(default)]
    pub connect: Connect,
}

/// How a DNS server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsTransport {
    #[default]
    Udp,
    Tcp,
    Tls,
}

/// Type of a DNS record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    #[default]
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Txt,
    Srv,
    Ptr,
    Soa,
    Caa,
}

impl RecordType {
    /// The type as DNS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Txt => "TXT",
            Self::Srv => "SRV",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Caa => "CAA",
        }
    }
}
