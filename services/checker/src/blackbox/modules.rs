//! Modules of `/probe` that an installation configures, written as blackbox_exporter has them. What that
//! has and this has not is refused by its name, so that no module does less than it says.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use watchkeeper_assertions::{check_regex, parse};
use watchkeeper_store::{
    Assertion, ConnectOptions, DnsProbe, DnsTransport, Exchange, GrpcProbe, HttpAuth, HttpProbe, HttpVersion,
    IcmpProbe, IpFamily, Probe, Severity, TcpProbe, TlsOptions, WebSocketProbe,
};

use super::{url_of, without_port};
use crate::result::{ExpectedStatus, Outcome};

/// Largest payload of an echo request, bytes.
const MAX_PAYLOAD: u32 = 65_507;

/// Modules by name.
#[derive(Default)]
pub struct Modules(BTreeMap<String, Module>);

impl Modules {
    /// The modules of a configuration; files that it names are read now.
    ///
    /// # Errors
    /// Which field cannot be understood, and why.
    pub fn new(config: ModulesConfig) -> Result<Self, String> {
        let modules = config.modules.into_iter().map(|(name, module)| match module.read() {
            Ok(module) => Ok((name, module)),
            Err(why) => Err(format!("modules.{name}.{why}")),
        });
        modules.collect::<Result<_, String>>().map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Module> {
        self.0.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A module that was understood.
pub(super) struct Module {
    /// The probe, but for whom it asks.
    probe: Probe,
    pub assertions: Vec<Assertion>,
    pub timeout: Option<Duration>,
    /// Whether the answer must come over TLS, or must not.
    tls: Option<bool>,
    /// Good versions of HTTP; all when there is none.
    versions: Vec<String>,
}

impl Module {
    fn of(probe: Probe) -> Self {
        Self { probe, assertions: Vec::new(), timeout: None, tls: None, versions: Vec::new() }
    }

    /// The probe of a target, which is asked for `hostname` where there is one.
    pub fn probe(&self, target: &str, hostname: Option<&str>) -> Probe {
        let named = |tls: &mut TlsOptions| {
            if tls.server_name.is_none() {
                tls.server_name = hostname.map(without_port);
            }
        };
        let mut probe = self.probe.clone();
        match &mut probe {
            Probe::Http(probe) => {
                probe.url = url_of(target);
                named(&mut probe.tls);
                if let Some(hostname) = hostname {
                    probe.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
                    probe.headers.push(("Host".to_owned(), hostname.to_owned()));
                }
            }
            Probe::Tcp(probe) => {
                target.clone_into(&mut probe.address);
                probe.tls.iter_mut().for_each(named);
            }
            Probe::Dns(probe) => {
                probe.server = Some(target.to_owned());
                named(&mut probe.tls);
            }
            Probe::Icmp(probe) => target.clone_into(&mut probe.host),
            Probe::Grpc(probe) => {
                target.clone_into(&mut probe.address);
                probe.tls.iter_mut().for_each(named);
            }
            Probe::WebSocket(probe) => {
                target.clone_into(&mut probe.url);
                named(&mut probe.tls);
            }
            Probe::Tls(_) | Probe::Heartbeat(_) => {}
        }
        probe
    }

    /// Judges what endpoints have no words for: whether there was TLS, and the version of HTTP.
    pub fn judge(&self, outcome: &mut Outcome) {
        if !outcome.ok {
            return;
        }
        let tls = outcome.seen.tls.is_some();
        let version = outcome.seen.http_version.map(|version| format!("{version:?}")).unwrap_or_default();
        let why = if self.tls.is_some_and(|wanted| wanted != tls) {
            format!("the answer came with{} TLS", if tls { "" } else { "out" })
        } else if !self.versions.is_empty() && !self.versions.contains(&version) {
            format!("the answer is {version}, expected {}", self.versions.join(", "))
        } else {
            return;
        };
        outcome.ok = false;
        outcome.degraded = false;
        outcome.message = Some(why);
    }
}

/// The configuration of modules, as blackbox_exporter writes it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModulesConfig {
    modules: BTreeMap<String, ModuleConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleConfig {
    prober: Prober,
    timeout: Option<String>,
    #[serde(default)]
    http: Http,
    #[serde(default)]
    tcp: Tcp,
    #[serde(default)]
    icmp: Icmp,
    #[serde(default)]
    dns: Dns,
    #[serde(default)]
    grpc: Grpc,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Prober {
    Http,
    Tcp,
    Icmp,
    Dns,
    Grpc,
    WebSocket,
}

impl ModuleConfig {
    fn read(self) -> Result<Module, String> {
        let timeout = self.timeout.as_deref().map(timeout).transpose()?;
        let module = match self.prober {
            Prober::Http => self.http.read()?,
            Prober::Tcp => Module::of(self.tcp.read()?),
            Prober::Icmp => Module::of(self.icmp.read()?),
            Prober::Dns => Module::of(self.dns.read()?),
            Prober::Grpc => Module::of(self.grpc.read()?),
            Prober::WebSocket => Module::of(Probe::WebSocket(WebSocketProbe {
                url: String::new(),
                headers: Vec::new(),
                send: None,
                expect: None,
                tls: TlsOptions::default(),
                connect: ConnectOptions::default(),
            })),
        };
        Ok(Module { timeout, ..module })
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| format!("timeout: `{text}` is no length of time: write it as 5s"))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    valid_status_codes: Vec<u16>,
    valid_http_versions: Vec<String>,
    method: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    follow_redirects: Option<bool>,
    enable_http2: Option<bool>,
    fail_if_ssl: bool,
    fail_if_not_ssl: bool,
    fail_if_body_matches_regexp: Vec<String>,
    fail_if_body_not_matches_regexp: Vec<String>,
    fail_if_header_matches: Vec<HeaderMatch>,
    fail_if_header_not_matches: Vec<HeaderMatch>,
    basic_auth: Option<BasicAuth>,
    bearer_token: Option<String>,
    tls_config: Tls,
    preferred_ip_protocol: Option<Protocol>,
    ip_protocol_fallback: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderMatch {
    header: String,
    regexp: String,
    #[serde(default)]
    allow_missing: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicAuth {
    username: String,
    #[serde(default)]
    password: String,
}

impl Http {
    fn read(self) -> Result<Module, String> {
        let assertions = self.assertions()?;
        let tls = match (self.fail_if_ssl, self.fail_if_not_ssl) {
            (false, false) => None,
            (ssl, not_ssl) if ssl != not_ssl => Some(not_ssl),
            _ => return Err("http.fail_if_ssl: nothing is good together with fail_if_not_ssl".into()),
        };
        let auth = match (self.basic_auth, self.bearer_token) {
            (None, None) => None,
            (Some(BasicAuth { username, password }), None) => Some(HttpAuth::Basic { username, password }),
            (None, Some(token)) => Some(HttpAuth::Bearer { token }),
            _ => return Err("http.basic_auth: it does not go together with bearer_token".into()),
        };
        let mut probe = HttpProbe::new("");
        if !self.valid_status_codes.is_empty() {
            probe.expected_status = self.valid_status_codes.iter().map(u16::to_string).collect();
            ExpectedStatus::parse(&probe.expected_status)
                .map_err(|why| format!("http.valid_status_codes: {why}"))?;
        }
        if let Some(method) = self.method {
            probe.method = method;
        }
        if self.enable_http2 == Some(false) {
            probe.version = HttpVersion::Http1;
        }
        probe.headers = self.headers.into_iter().collect();
        probe.body = self.body;
        probe.follow_redirects = self.follow_redirects.unwrap_or(true);
        probe.auth = auth;
        probe.tls = self.tls_config.read("http")?;
        probe.connect = connect(self.preferred_ip_protocol, self.ip_protocol_fallback);
        let module = Module::of(Probe::Http(probe));
        Ok(Module { assertions, tls, versions: self.valid_http_versions, ..module })
    }

    /// What must hold of the body and the headers.
    fn assertions(&self) -> Result<Vec<Assertion>, String> {
        let mut conditions = Vec::new();
        for text in &self.fail_if_body_matches_regexp {
            conditions.push(format!("[BODY] != regex({text})"));
        }
        for text in &self.fail_if_body_not_matches_regexp {
            conditions.push(format!("[BODY] == regex({text})"));
        }
        for HeaderMatch { header, regexp, allow_missing } in &self.fail_if_header_matches {
            conditions.push(format!("[HEADER].{header} != regex({regexp})"));
            if !allow_missing {
                conditions.push(format!("has([HEADER].{header}) == true"));
            }
        }
        for HeaderMatch { header, regexp, allow_missing } in &self.fail_if_header_not_matches {
            if *allow_missing {
                return Err("http.fail_if_header_not_matches: allow_missing is not supported here".into());
            }
            conditions.push(format!("[HEADER].{header} == regex({regexp})"));
        }
        let assertion = |condition: String| match parse(&condition) {
            Ok(_) => Ok(Assertion { condition, severity: Severity::Down }),
            Err(error) => Err(format!("http: `{condition}` {error}")),
        };
        conditions.into_iter().map(assertion).collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tcp {
    query_response: Vec<QueryResponse>,
    tls: bool,
    tls_config: Tls,
    preferred_ip_protocol: Option<Protocol>,
    ip_protocol_fallback: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QueryResponse {
    expect: Option<String>,
    send: Option<String>,
    starttls: bool,
}

impl Tcp {
    fn read(self) -> Result<Probe, String> {
        let options = self.tls_config.read("tcp")?;
        let later = self.query_response.iter().any(|step| step.starttls);
        if self.tls && later {
            return Err(
                "tcp.tls: it begins TLS at once, and a step with starttls later: leave one out".into()
            );
        }
        let tls = self.tls || later;
        if !tls && options != TlsOptions::default() {
            return Err(
                "tcp.tls_config: it needs `tls: true` or a step with `starttls: true` beside it".into()
            );
        }
        let steps = self.query_response.into_iter().enumerate();
        let conversation = steps.map(|(index, step)| step.read(index)).collect::<Result<_, String>>()?;
        Ok(Probe::Tcp(TcpProbe {
            address: String::new(),
            conversation,
            starttls: None,
            tls: tls.then_some(options),
            connect: connect(self.preferred_ip_protocol, self.ip_protocol_fallback),
        }))
    }
}

impl QueryResponse {
    fn read(self, index: usize) -> Result<Exchange, String> {
        let field = |name: &str, why: &str| format!("tcp.query_response[{index}].{name}: {why}");
        if let Some(expect) = &self.expect {
            check_regex(expect).map_err(|why| field("expect", &why))?;
        }
        if self.send.as_ref().is_some_and(|send| send.contains("${")) {
            return Err(field("send", "parts of what came before cannot be sent"));
        }
        let send = self.send.filter(|send| !send.is_empty());
        // The end of a line is added to what is sent.
        let send = send.map(|send| send.trim_end_matches(['\r', '\n']).to_owned());
        Ok(Exchange { expect: self.expect, send, starttls: self.starttls })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Icmp {
    payload_size: Option<u32>,
    preferred_ip_protocol: Option<Protocol>,
    ip_protocol_fallback: Option<bool>,
}

impl Icmp {
    fn read(self) -> Result<Probe, String> {
        let payload_bytes = self.payload_size.filter(|size| *size > 0).unwrap_or(28);
        if payload_bytes > MAX_PAYLOAD {
            return Err(format!("icmp.payload_size: at most {MAX_PAYLOAD} bytes fit into a request"));
        }
        let connect = connect(self.preferred_ip_protocol, self.ip_protocol_fallback);
        Ok(Probe::Icmp(IcmpProbe { host: String::new(), count: 1, payload_bytes, connect }))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Dns {
    query_name: String,
    query_type: String,
    transport_protocol: Option<Transport>,
    dns_over_tls: bool,
    tls_config: Tls,
    valid_rcodes: Vec<String>,
    preferred_ip_protocol: Option<Protocol>,
    ip_protocol_fallback: Option<bool>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Udp,
    Tcp,
}

impl Dns {
    fn read(self) -> Result<Probe, String> {
        for (field, value) in [("query_name", &self.query_name), ("query_type", &self.query_type)] {
            if value.is_empty() {
                return Err(format!("dns.{field}: say what to ask for"));
            }
        }
        let transport = match (self.dns_over_tls, self.transport_protocol.unwrap_or(Transport::Udp)) {
            (true, Transport::Tcp) => DnsTransport::Tls,
            (true, Transport::Udp) => return Err("dns.dns_over_tls: it needs transport_protocol: tcp".into()),
            (false, Transport::Tcp) => DnsTransport::Tcp,
            (false, Transport::Udp) => DnsTransport::Udp,
        };
        // A code that is named expects no records, as blackbox_exporter does not.
        let usual = || vec!["NOERROR".to_owned()];
        Ok(Probe::Dns(DnsProbe {
            server: None,
            transport,
            name: self.query_name,
            record_type: self.query_type,
            expected: Vec::new(),
            exact: false,
            rcodes: if self.valid_rcodes.is_empty() { usual() } else { self.valid_rcodes },
            tls: self.tls_config.read("dns")?,
            connect: connect(self.preferred_ip_protocol, self.ip_protocol_fallback),
        }))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Grpc {
    service: String,
    tls: bool,
    tls_config: Tls,
    preferred_ip_protocol: Option<Protocol>,
    ip_protocol_fallback: Option<bool>,
}

impl Grpc {
    fn read(self) -> Result<Probe, String> {
        let options = self.tls_config.read("grpc")?;
        Ok(Probe::Grpc(GrpcProbe {
            address: String::new(),
            service: self.service,
            metadata: Vec::new(),
            tls: self.tls.then_some(options),
            connect: connect(self.preferred_ip_protocol, self.ip_protocol_fallback),
        }))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    insecure_skip_verify: bool,
    server_name: Option<String>,
    ca_file: Option<String>,
    cert_file: Option<String>,
    key_file: Option<String>,
}

impl Tls {
    fn read(self, of: &str) -> Result<TlsOptions, String> {
        let file = |path: Option<String>| {
            path.map(|path| {
                std::fs::read_to_string(&path)
                    .map_err(|error| format!("{of}.tls_config: {path} cannot be read: {error}"))
            })
            .transpose()
        };
        Ok(TlsOptions {
            skip_verification: self.insecure_skip_verify,
            ca: file(self.ca_file)?,
            server_name: self.server_name.filter(|name| !name.is_empty()),
            client_certificate: file(self.cert_file)?,
            client_key: file(self.key_file)?,
        })
    }
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Ip4,
    Ip6,
}

/// A version of IP that may not be fallen back from is the only one; otherwise whichever the network has.
fn connect(preferred: Option<Protocol>, fallback: Option<bool>) -> ConnectOptions {
    let family = match (preferred.unwrap_or(Protocol::Ip6), fallback.unwrap_or(true)) {
        (_, true) => IpFamily::Any,
        (Protocol::Ip4, false) => IpFamily::V4,
        (Protocol::Ip6, false) => IpFamily::V6,
    };
    ConnectOptions { family, ..ConnectOptions::default() }
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
