//! Probes, one translation a type.

use watchkeeper_crds::monitored_endpoint as crd;
use watchkeeper_store::{
    AddressPolicy, ConnectOptions, DnsProbe, DnsTransport, Exchange, GrpcProbe, HeartbeatProbe, HttpAuth,
    HttpProbe, HttpVersion, IcmpProbe, IpFamily, Probe, StartTls, TcpProbe, TlsOptions, TlsProbe,
    WebSocketProbe,
};

use super::SpecError;

/// Shortest and longest token of a heartbeat.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=256;

/// Whether this may be the token of a heartbeat.
#[must_use]
pub fn is_heartbeat_token(token: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    TOKEN.contains(&token.len()) && token.bytes().all(plain)
}

/// The one probe of a specification whose secrets are in place.
pub(super) fn probe(spec: &watchkeeper_crds::MonitoredEndpointSpec) -> Result<Probe, SpecError> {
    if let Some(http) = &spec.http {
        return http_probe(http).map(Probe::Http);
    }
    if let Some(tcp) = &spec.tcp {
        return tcp_probe(tcp).map(Probe::Tcp);
    }
    if let Some(tls) = &spec.tls {
        return Ok(Probe::Tls(TlsProbe {
            address: tls.address.clone(),
            starttls: tls.starttls.map(starttls),
            options: tls_options(tls.options.as_ref()),
            names: tls.names.clone(),
            valid_for: tls.valid_for.as_ref().map(|time| time.get()).unwrap_or_default(),
            connect: connect(tls.connect),
        }));
    }
    if let Some(dns) = &spec.dns {
        return Ok(Probe::Dns(DnsProbe {
            server: dns.server.clone(),
            transport: match dns.transport {
                crd::DnsTransport::Udp => DnsTransport::Udp,
                crd::DnsTransport::Tcp => DnsTransport::Tcp,
                crd::DnsTransport::Tls => DnsTransport::Tls,
            },
            name: dns.name.clone(),
            record_type: dns.record_type.as_str().into(),
            expected: dns.expected.clone(),
            exact: dns.exact,
            rcodes: dns.rcodes.clone(),
            tls: tls_options(dns.tls.as_ref()),
            connect: connect(dns.connect),
        }));
    }
    if let Some(icmp) = &spec.icmp {
        return Ok(Probe::Icmp(IcmpProbe {
            host: icmp.host.clone(),
            count: u32::try_from(icmp.count).unwrap_or(1),
            payload_bytes: u32::try_from(icmp.payload_bytes).unwrap_or_default(),
            connect: connect(icmp.connect),
        }));
    }
    if let Some(grpc) = &spec.grpc {
        return Ok(Probe::Grpc(GrpcProbe {
            address: grpc.address.clone(),
            service: grpc.service.clone(),
            metadata: headers(&grpc.metadata),
            tls: grpc.tls.as_ref().map(|options| tls_options(Some(options))),
            connect: connect(grpc.connect),
        }));
    }
    if let Some(websocket) = &spec.websocket {
        expression("spec.websocket.expect", websocket.expect.as_deref())?;
        return Ok(Probe::WebSocket(WebSocketProbe {
            url: websocket.url.clone(),
            headers: headers(&websocket.headers),
            send: websocket.send.clone(),
            expect: websocket.expect.clone(),
            tls: tls_options(websocket.tls.as_ref()),
            connect: connect(websocket.connect),
        }));
    }
    if let Some(heartbeat) = &spec.heartbeat {
        let token = value(Some(&heartbeat.token)).unwrap_or_default();
        if !is_heartbeat_token(&token) {
            return Err(SpecError {
                field: "spec.heartbeat.token".into(),
                message: "a token has 16 to 256 letters, digits, - and _; make one by `openssl rand -hex 24`"
                    .into(),
            });
        }
        let grace = heartbeat.grace.as_ref().map(|time| time.get()).unwrap_or_default();
        return Ok(Probe::Heartbeat(HeartbeatProbe { token, grace }));
    }
    Err(SpecError { field: "spec".into(), message: "set exactly one probe".into() })
}

fn http_probe(http: &crd::HttpProbe) -> Result<HttpProbe, SpecError> {
    let auth = http.auth.as_ref().and_then(|auth| match (&auth.basic, &auth.bearer) {
        (Some(basic), _) => Some(HttpAuth::Basic {
            username: basic.username.clone(),
            password: value(Some(&basic.password)).unwrap_or_default(),
        }),
        (None, bearer) => value(bearer.as_ref()).map(|token| HttpAuth::Bearer { token }),
    });
    Ok(HttpProbe {
        method: http.method.as_str().into(),
        headers: headers(&http.headers),
        body: http.body.clone(),
        expected_status: http.expected_status.clone(),
        follow_redirects: http.follow_redirects,
        max_redirects: u32::try_from(http.max_redirects).unwrap_or_default(),
        auth,
        tls: tls_options(http.tls.as_ref()),
        version: match http.version {
            crd::HttpVersion::Auto => HttpVersion::Auto,
            crd::HttpVersion::Http1 => HttpVersion::Http1,
            crd::HttpVersion::Http2 => HttpVersion::Http2,
        },
        max_body_bytes: u64::try_from(http.max_body_bytes).unwrap_or(1),
        connect: connect(http.connect),
        ..HttpProbe::new(&http.url)
    })
}

fn tcp_probe(tcp: &crd::TcpProbe) -> Result<TcpProbe, SpecError> {
    for (index, step) in tcp.conversation.iter().enumerate() {
        expression(&format!("spec.tcp.conversation[{index}].expect"), step.expect.as_deref())?;
    }
    Ok(TcpProbe {
        address: tcp.address.clone(),
        conversation: tcp
            .conversation
            .iter()
            .map(|step| Exchange {
                expect: step.expect.clone(),
                send: step.send.clone(),
                starttls: step.starttls,
            })
            .collect(),
        starttls: tcp.starttls.map(starttls),
        tls: tcp.tls.as_ref().map(|options| tls_options(Some(options))),
        connect: connect(tcp.connect),
    })
}

/// Refuses what is no regular expression.
fn expression(field: &str, text: Option<&str>) -> Result<(), SpecError> {
    match text.map(watchkeeper_assertions::check_regex) {
        Some(Err(message)) => Err(SpecError { field: field.into(), message }),
        _ => Ok(()),
    }
}

fn headers(headers: &[crd::Header]) -> Vec<(String, String)> {
    headers.iter().map(|header| (header.name.clone(), header.value.clone().unwrap_or_default())).collect()
}

fn value(source: Option<&crd::ValueSource>) -> Option<String> {
    source.and_then(|source| source.value.clone())
}

fn tls_options(options: Option<&crd::TlsOptions>) -> TlsOptions {
    let Some(options) = options else { return TlsOptions::default() };
    TlsOptions {
        skip_verification: options.skip_verification,
        ca: value(options.ca.as_ref()),
        server_name: options.server_name.clone(),
        client_certificate: value(options.client_certificate.as_ref()),
        client_key: value(options.client_key.as_ref()),
    }
}

fn connect(connect: crd::Connect) -> ConnectOptions {
    ConnectOptions {
        family: match connect.family {
            crd::IpFamily::Any => IpFamily::Any,
            crd::IpFamily::IPv4 => IpFamily::V4,
            crd::IpFamily::IPv6 => IpFamily::V6,
        },
        addresses: match connect.addresses {
            crd::AddressPolicy::Any => AddressPolicy::Any,
            crd::AddressPolicy::All => AddressPolicy::All,
        },
    }
}

fn starttls(protocol: crd::StartTls) -> StartTls {
    match protocol {
        crd::StartTls::Smtp => StartTls::Smtp,
        crd::StartTls::Imap => StartTls::Imap,
        crd::StartTls::Pop3 => StartTls::Pop3,
        crd::StartTls::Ftp => StartTls::Ftp,
        crd::StartTls::Postgres => StartTls::Postgres,
    }
}
