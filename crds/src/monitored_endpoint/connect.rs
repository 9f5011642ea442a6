//! What all probes over a connection share.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueSource;

/// How TLS is spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.clientCertificate) == has(self.clientKey)")
    .message("set clientCertificate and clientKey together"))]
pub struct TlsOptions {
    /// Takes any certificate; its expiry is known all the same.
    #[serde(default)]
    pub skip_verification: bool,
    /// Certificates in PEM to trust in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<ValueSource>,
    /// Name to send and to look for in the certificate, in place of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// Own certificate chain in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ValueSource>,
    /// Its private key in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<ValueSource>,
}

/// Which addresses of a host are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    /// IP version.
    #[serde(default)]
    pub family: IpFamily,
    /// Any: one address must take a connection, and the next is tried when one is dead. All: each must.
    #[serde(default)]
    pub addresses: AddressPolicy,
}

/// IP version of the addresses that are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    #[default]
    Any,
    IPv4,
    IPv6,
}

/// How many of a host's addresses must take a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AddressPolicy {
    #[default]
    Any,
    All,
}

/// Protocol whose upgrade to TLS comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StartTls {
    #[serde(rename = "SMTP")]
    Smtp,
    #[serde(rename = "IMAP")]
    Imap,
    #[serde(rename = "POP3")]
    Pop3,
    #[serde(rename = "FTP")]
    Ftp,
    #[serde(rename = "PostgreSQL")]
    Postgres,
}
