//! How an endpoint is probed: one struct a type, as stored. Values of headers,
//! credentials, tokens and private keys are secrets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How an endpoint is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// By HTTP request.
    Http(HttpProbe),
    /// By TCP connection.
    Tcp(TcpProbe),
    /// By TLS handshake.
    Tls(TlsProbe),
    /// By DNS question.
    Dns(DnsProbe),
    /// By ICMP echo.
    Icmp(IcmpProbe),
    /// By gRPC health check.
    Grpc(GrpcProbe),
    /// By WebSocket.
    WebSocket(WebSocketProbe),
    /// By waiting for the endpoint to call.
    Heartbeat(HeartbeatProbe),
}

impl Probe {
    /// The word for its type, as shown and as in manifests.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Tls(_) => "tls",
            Self::Dns(_) => "dns",
            Self::Icmp(_) => "icmp",
            Self::Grpc(_) => "grpc",
            Self::WebSocket(_) => "websocket",
            Self::Heartbeat(_) => "heartbeat",
        }
    }

    /// What is asked: a URL, an address or a name; nothing for a heartbeat.
    pub fn target(&self) -> &str {
        match self {
            Self::Http(probe) => &probe.url,
            Self::Tcp(probe) => &probe.address,
            Self::Tls(probe) => &probe.address,
            Self::Dns(probe) => &probe.name,
            Self::Icmp(probe) => &probe.host,
            Self::Grpc(probe) => &probe.address,
            Self::WebSocket(probe) => &probe.url,
            Self::Heartbeat(_) => "",
        }
    }
}

/// An HTTP request to send, and what answers are good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Absolute URL, http or https.
    pub url: String,
    /// Method, upper case.
    pub method: String,
    /// Headers to send; values may be secrets.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Body to send.
    #[serde(default)]
    pub body: Option<String>,
    /// Whether the body is JSON that goes with POST, PUT and PATCH alone, labelled as what it is unless
    /// a header says otherwise.
    #[serde(default)]
    pub json_body: bool,
    /// Good statuses: `200`, `2xx` or `200-299`.
    pub expected_status: Vec<String>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether a target that refuses HEAD is asked again by GET.
    #[serde(default)]
    pub head_falls_back_to_get: bool,
    /// Most redirects that are followed.
    #[serde(default = "default_max_redirects")]
    pub max_redirects: u32,
    /// Credentials for the configured server.
    #[serde(default)]
    pub auth: Option<HttpAuth>,
    /// How TLS is spoken.
    #[serde(default)]
    pub tls: TlsOptions,
    /// Versions of HTTP that are offered.
    #[serde(default)]
    pub version: HttpVersion,
    /// Most bytes of the body that are read; a longer body is cut for the
    /// assertions.
    #[serde(default = "default_max_body_bytes")]
    pub max_body_bytes: u64,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: ConnectOptions,
}

impl HttpProbe {
    /// A GET of `url` that expects 2xx and follows redirects.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "GET".into(),
            headers: Vec::new(),
            body: None,
            json_body: false,
            expected_status: vec!["2xx".into()],
            follow_redirects: true,
            head_falls_back_to_get: false,
            max_redirects: default_max_redirects(),
            auth: None,
            tls: TlsOptions::default(),
            version: HttpVersion::default(),
            max_body_bytes: default_max_body_bytes(),
            connect: ConnectOptions::default(),
        }
    }
}

impl HttpProbe {
    /// The body that goes out.
    pub fn sent_body(&self) -> Option<&str> {
        let goes = !self.json_body || matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        self.body.as_deref().filter(|_| goes)
    }

    /// The `Content-Type` that goes out with the body, where no header of the probe says one.
    pub fn sent_content_type(&self) -> Option<&'static str> {
        let labelled = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        (self.json_body && !labelled && self.sent_body().is_some()).then_some("application/json")
    }
}

const fn default_max_redirects() -> u32 {
    10
}

const fn default_max_body_bytes() -> u64 {
    1024 * 1024
}

/// Credentials of an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpAuth {
    /// RFC 7617.
    Basic {
        /// User name, without a colon.
        username: String,
        /// Password.
        password: String,
    },
    /// RFC 6750.
    Bearer {
        /// The token alone.
        token: String,
    },
}

/// Versions of HTTP that are offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/2 and HTTP/1.1 over TLS, HTTP/1.1 without.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone; without TLS by prior knowledge.
    Http2,
}

/// How TLS is spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsOptions {
    /// Whether any certificate is taken.
    #[serde(default)]
    pub skip_verification: bool,
    /// Certificates (PEM) to trust in place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// Name to send and to look for in the certificate, in place of the host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Own certificate chain (PEM).
    #[serde(default)]
    pub client_certificate: Option<String>,
    /// Its private key (PEM).
    #[serde(default)]
    pub client_key: Option<String>,
}

/// Which addresses of a host are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectOptions {
    /// IP version.
    #[serde(default)]
    pub family: IpFamily,
    /// How many of the addresses must take a connection.
    #[serde(default)]
    pub addresses: AddressPolicy,
}

/// IP version of the addresses that are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpFamily {
    /// Both, in the resolver's order.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// How many of a host's addresses must take a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressPolicy {
    /// One: the next is tried when one is dead.
    #[default]
    Any,
    /// Each of them.
    All,
}

/// A TCP connection and what is said over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpProbe {
    /// `host:port`; IPv6 in brackets.
    pub address: String,
    /// What is expected and sent, in order.
    #[serde(default)]
    pub conversation: Vec<Exchange>,
    /// Protocol whose upgrade to TLS comes first.
    #[serde(default)]
    pub starttls: Option<StartTls>,
    /// TLS from the first byte, or after `starttls` or the step that begins it; without, only after these.
    #[serde(default)]
    pub tls: Option<TlsOptions>,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: ConnectOptions,
}

/// One step of a conversation: first what is expected, then what is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Regular expression that a line from the server must match; other lines are skipped.
    #[serde(default)]
    pub expect: Option<String>,
    /// Text to send; a line end is added.
    #[serde(default)]
    pub send: Option<String>,
    /// Whether TLS starts after this step.
    #[serde(default)]
    pub starttls: bool,
}

/// Protocols that upgrade a connection to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartTls {
    /// RFC 3207.
    Smtp,
    /// RFC 9051.
    Imap,
    /// RFC 2595.
    Pop3,
    /// RFC 4217.
    Ftp,
    /// `SSLRequest` of PostgreSQL's protocol 3.
    Postgres,
}

/// A TLS handshake and what the certificate must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsProbe {
    /// `host:port`; IPv6 in brackets.
    pub address: String,
    /// Protocol whose upgrade to TLS comes first.
    #[serde(default)]
    pub starttls: Option<StartTls>,
    /// How TLS is spoken.
    #[serde(default)]
    pub options: TlsOptions,
    /// Names that the certificate must be valid for, besides the one asked for.
    #[serde(default)]
    pub names: Vec<String>,
    /// Shortest time that the server's own certificate must still be valid.
    #[serde(default)]
    pub valid_for: Duration,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: ConnectOptions,
}

/// A DNS question and what answers are good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsProbe {
    /// Server as `host`, `host:port` or `[ip6]:port`; the system's first when absent.
    #[serde(default)]
    pub server: Option<String>,
    /// How the server is asked.
    #[serde(default)]
    pub transport: DnsTransport,
    /// Name asked for.
    pub name: String,
    /// Type of record asked for, as `AAAA`.
    pub record_type: String,
    /// Texts of records that must be among the answers, compared without case
    /// and final dot; none means any answer.
    #[serde(default)]
    pub expected: Vec<String>,
    /// Whether other records than the expected ones make the check bad.
    #[serde(default)]
    pub exact: bool,
    /// Good response codes, as `NOERROR`; NOERROR when empty.
    #[serde(default)]
    pub rcodes: Vec<String>,
    /// How TLS is spoken to the server.
    #[serde(default)]
    pub tls: TlsOptions,
    /// IP version in which the server is asked.
    #[serde(default)]
    pub connect: ConnectOptions,
}

/// How a DNS server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsTransport {
    /// UDP, and TCP when the answer was cut.
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// TLS (RFC 7858).
    Tls,
}

/// ICMP echo requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpProbe {
    /// Name or address.
    pub host: String,
    /// Number of requests; one answer makes the check good.
    pub count: u32,
    /// Bytes of data in each.
    pub payload_bytes: u32,
    /// IP version.
    #[serde(default)]
    pub connect: ConnectOptions,
}

/// A call of `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcProbe {
    /// `host:port`; IPv6 in brackets.
    pub address: String,
    /// Service asked for; the server as a whole when empty.
    #[serde(default)]
    pub service: String,
    /// Metadata to send; values may be secrets.
    #[serde(default)]
    pub metadata: Vec<(String, String)>,
    /// How TLS is spoken; plain text when absent.
    #[serde(default)]
    pub tls: Option<TlsOptions>,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: ConnectOptions,
}

/// A WebSocket and what is said over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSocketProbe {
    /// Absolute URL, ws or wss.
    pub url: String,
    /// Headers of the handshake; values may be secrets.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Text message to send once open.
    #[serde(default)]
    pub send: Option<String>,
    /// Regular expression that a message from the server must match.
    #[serde(default)]
    pub expect: Option<String>,
    /// How TLS is spoken.
    #[serde(default)]
    pub tls: TlsOptions,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: ConnectOptions,
}

/// Calls that the endpoint itself makes, one every interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatProbe {
    /// Secret that names the endpoint in a call.
    pub token: String,
    /// Time past the interval before a missing call counts as bad.
    #[serde(default)]
    pub grace: Duration,
}
