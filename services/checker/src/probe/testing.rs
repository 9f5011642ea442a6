//! What the tests of probes share: asking as an operator does, servers' certificates, and networks that a
//! test has for itself.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use hickory_resolver::proto::op::{Message, MessageType};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use watchkeeper_store::{
    Assertion, ConnectOptions, DnsProbe, DnsTransport, Exchange, GrpcProbe, HttpProbe, IcmpProbe, Probe,
    Severity, StartTls, TcpProbe, TlsOptions, TlsProbe, WebSocketProbe,
};

use super::Probers;
use crate::Outcome;
use crate::guard::{GuardRules, Trust};

/// Probes this machine, whatever the name, under conditions that make it down.
pub async fn ask(probe: &Probe, conditions: &[&str], timeout: Duration) -> Outcome {
    let probers = Probers::told(GuardRules::default(), |_| vec![IpAddr::from([127, 0, 0, 1])]);
    let assertions: Vec<Assertion> = conditions
        .iter()
        .map(|condition| Assertion { condition: (*condition).into(), severity: Severity::Down })
        .collect();
    probers.probe(Trust::Operator, "", probe, &assertions, timeout).await
}

pub fn message(outcome: &Outcome) -> &str {
    outcome.message.as_deref().unwrap_or_default()
}

/// A step of a conversation.
pub fn step(expect: Option<&str>, send: Option<&str>) -> Exchange {
    Exchange { expect: expect.map(Into::into), send: send.map(Into::into), starttls: false }
}

/// Probes of every type that asks, of a host and port, by TLS and without.
pub fn every_type(host: &str, port: u16, connect: ConnectOptions) -> Vec<Probe> {
    let options = TlsOptions::default;
    let address = format!("{host}:{port}");
    let dns = |transport| {
        Probe::Dns(DnsProbe {
            server: Some(address.clone()),
            transport,
            name: "public.example".into(),
            record_type: "A".into(),
            expected: Vec::new(),
            exact: false,
            rcodes: Vec::new(),
            tls: options(),
            connect,
        })
    };
    let tcp = |starttls| {
        let (address, conversation) = (address.clone(), Vec::new());
        Probe::Tcp(TcpProbe { address, conversation, starttls, tls: None, connect })
    };
    let grpc = |tls| {
        let (address, service, metadata) = (address.clone(), String::new(), Vec::new());
        Probe::Grpc(GrpcProbe { address, service, metadata, tls, connect })
    };
    let http =
        |scheme: &str| Probe::Http(HttpProbe { connect, ..HttpProbe::new(format!("{scheme}://{address}/")) });
    let websocket = |scheme: &str| {
        let (url, headers) = (format!("{scheme}://{address}/"), Vec::new());
        Probe::WebSocket(WebSocketProbe { url, headers, send: None, expect: None, tls: options(), connect })
    };
    vec![
        http("http"),
        http("https"),
        tcp(None),
        tcp(Some(StartTls::Smtp)),
        Probe::Tls(TlsProbe {
            address: address.clone(),
            starttls: None,
            options: options(),
            names: Vec::new(),
            valid_for: Duration::ZERO,
            connect,
        }),
        dns(DnsTransport::Udp),
        dns(DnsTransport::Tcp),
        dns(DnsTransport::Tls),
        Probe::Icmp(IcmpProbe { host: host.into(), count: 1, payload_bytes: 8, connect }),
        grpc(None),
        grpc(Some(options())),
        websocket("ws"),
        websocket("wss"),
    ]
}

/// A certificate that vouches for itself.
pub struct Own {
    pub certificate: CertificateDer<'static>,
    pub pem: String,
    pub key: KeyPair,
    /// What a server sends along.
    pub others: Vec<CertificateDer<'static>>,
}

impl Own {
    pub fn new(name: &str) -> Self {
        Self::with(name, |_| ())
    }

    /// One that differs from an ordinary one.
    pub fn with(name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
        adjust(&mut params);
        let made = params.self_signed(&key).expect("a certificate");
        Self { certificate: made.der().clone(), pem: made.pem(), key, others: Vec::new() }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    /// What a client trusts that trusts this alone.
    pub fn trusted(&self) -> TlsOptions {
        TlsOptions { ca: Some(self.pem.clone()), ..TlsOptions::default() }
    }
}

/// A server's side of TLS, which takes clients with the certificate of `client` alone, where there is one.
pub fn acceptor(own: &Own, client: Option<&Own>, protocols: &[&str]) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.certificate.clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let chain = std::iter::once(&own.certificate).chain(&own.others).cloned().collect();
    let mut config = builder.with_single_cert(chain, own.key()).expect("a configuration");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A listener behind TLS, for `axum::serve`.
pub struct Behind(pub TcpListener, pub TlsAcceptor);

impl axum::serve::Listener for Behind {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((socket, from)) = self.0.accept().await else { continue };
            if let Ok(stream) = self.1.accept(socket).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A port of this machine.
pub async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// What a name server says by name (as `a.test.`) and type: nothing at all, or these records.
type Zone = dyn Fn(&str, RecordType) -> Option<Vec<RData>> + Send + Sync;

/// A name server over UDP and TCP that answers after a while as `zone` says.
pub async fn name_server(
    at: &str,
    pause: Duration,
    zone: impl Fn(&str, RecordType) -> Option<Vec<RData>> + Send + Sync + 'static,
) -> SocketAddr {
    let zone: Arc<Zone> = Arc::new(zone);
    let mut bound = None;
    for _ in 0..16 {
        let udp = UdpSocket::bind(at).await.expect("a port");
        let address = udp.local_addr().expect("an address");
        // Somebody may have the port over TCP.
        if let Ok(tcp) = TcpListener::bind(address).await {
            bound = Some((udp, tcp, address));
            break;
        }
    }
    let (udp, tcp, address) = bound.expect("a port over both");
    let (udp, over_udp) = (Arc::new(udp), Arc::clone(&zone));
    tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let Some(answer) = answer(&buffer[..length], &over_udp) else { continue };
            let udp = Arc::clone(&udp);
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let _ = udp.send_to(&answer, from).await;
            });
        }
    });
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = tcp.accept().await {
            let Ok(length) = socket.read_u16().await else { continue };
            let mut query = vec![0; length.into()];
            if socket.read_exact(&mut query).await.is_err() {
                continue;
            }
            let Some(answer) = answer(&query, &zone) else { continue };
            tokio::time::sleep(pause).await;
            let _ = socket.write_u16(u16::try_from(answer.len()).expect("short")).await;
            let _ = socket.write_all(&answer).await;
        }
    });
    address
}

fn answer(query: &[u8], zone: &Arc<Zone>) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).expect("a query");
    let question = query.queries[0].clone();
    let records = zone(&question.name.to_ascii().to_lowercase(), question.query_type)?;
    let mut response = query.into_response();
    response.metadata.message_type = MessageType::Response;
    for data in records {
        response.add_answer(Record::from_rdata(question.name.clone(), 60, data));
    }
    Some(response.to_vec().expect("bytes"))
}

/// A gRPC server whose health is as the first byte of the asked service's name says: good without any,
/// bad of `n…`, and of others nothing is known.
pub fn health() -> Router {
    Router::new().route(
        "/grpc.health.v1.Health/Check",
        post(|body: Bytes| async move {
            // Framing: a flag, four bytes of length, then field 1 with its length.
            let (state, status) = match body.get(7) {
                None => (1, "0"),
                Some(b'n') => (2, "0"),
                Some(_) => (0, "5"),
            };
            let mut trailers = axum::http::HeaderMap::new();
            trailers.insert("grpc-status", status.parse().expect("a value"));
            let frame = Bytes::from(vec![0, 0, 0, 0, 2, 8, state]);
            let body = http_body_util::StreamBody::new(futures::stream::iter([
                Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(frame)),
                Ok(hyper::body::Frame::trailers(trailers)),
            ]));
            Response::builder()
                .header("content-type", "application/grpc")
                .body(axum::body::Body::new(body))
                .expect("a response")
        }),
    )
}

/// An address whose queue for connections is full for as long as it is kept: it answers nobody, and refuses
/// nobody either.
pub struct BlackHole {
    at: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    pub fn ip(&self) -> IpAddr {
        self.at.ip()
    }
}

/// A black hole at this port, of an address of its own.
pub async fn black_hole(port: u16) -> BlackHole {
    let at = SocketAddr::from(([127, 0, 0, 9], port));
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&at.into()).expect("a port");
    listener.listen(0).expect("a queue");
    let mut queue = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(at)).await {
        queue.push(connected.expect("a place in the queue"));
        assert!(queue.len() < 16, "the queue has no end");
    }
    BlackHole { at, _listener: listener, _queue: queue }
}

/// Names the test that runs in a network of its own.
const INSIDE: &str = "WATCHKEEPER_TEST_IN_OWN_NETWORK";

/// Whether this is a network that the test of this name has for itself. Where it is not, the test runs
/// again in one, with `setup` (a shell's commands) before it, and must be good there.
pub fn in_own_network(test: &str, setup: &str) -> bool {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if std::fs::metadata("/proc/self").expect("this process").uid() != 0 {
        // Whoever is nobody here may be root of a world of their own.
        command.args(["--user", "--map-root-user"]);
    }
    let script = format!("set -e\nPATH=$PATH:/usr/sbin:/sbin\nip link set lo up\n{setup}\nexec \"$@\"");
    let program = std::env::current_exe().expect("this program");
    let output = command
        .args(["sh", "-c", &script, "sh"])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, test)
        .output()
        .expect("unshare of util-linux");
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{test}: {told}");
    false
}
