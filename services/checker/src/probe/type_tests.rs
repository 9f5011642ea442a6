//! Each type of probe against a real server of its protocol.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};
use tokio_tungstenite::tungstenite::Message;
use watchkeeper_store::{
    ConnectOptions, DnsProbe, DnsTransport, Exchange, GrpcProbe, Probe, StartTls, TcpProbe, TlsOptions,
    WebSocketProbe,
};

use super::testing::{self, health, message, step};
use crate::Outcome;

const TIMEOUT: Duration = Duration::from_secs(2);

async fn ask_with(probe: &Probe, conditions: &[&str]) -> Outcome {
    testing::ask(probe, conditions, TIMEOUT).await
}

async fn ask(probe: &Probe) -> Outcome {
    ask_with(probe, &[]).await
}

/// A server that greets, and answers each line as `answer` says.
async fn lines(greeting: &'static str, answer: fn(&str) -> Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = BufReader::new(socket);
                let _ = socket.write_all(greeting.as_bytes()).await;
                let mut line = String::new();
                while socket.read_line(&mut line).await.is_ok_and(|count| count > 0) {
                    match answer(line.trim_end()) {
                        Some(text) => {
                            let _ = socket.write_all(text.as_bytes()).await;
                        }
                        None => return,
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

fn tcp(at: SocketAddr, conversation: Vec<Exchange>) -> TcpProbe {
    TcpProbe {
        address: at.to_string(),
        conversation,
        starttls: None,
        tls: None,
        connect: ConnectOptions::default(),
    }
}

#[tokio::test]
async fn a_tcp_conversation_expects_and_sends() {
    let at = lines("220 mail.test ready\r\n", |line| match line {
        "EHLO me" => Some("250-mail.test\r\n250 OK\r\n"),
        "PING" => Some("PONG 42\r\n"),
        _ => None,
    })
    .await;
    let good = vec![
        step(Some("^220 "), Some("EHLO me")),
        step(Some("^250 "), Some("PING")),
        step(Some("^PONG [0-9]+$"), None),
    ];
    let outcome =
        ask_with(&Probe::Tcp(tcp(at, good)), &["[CONNECTED] == true", "[BODY] == pat(*PONG*)"]).await;
    assert!(outcome.ok, "{outcome:?}");
    let bad = vec![step(Some("^220 "), Some("QUIT")), step(Some("^221"), None)];
    let outcome = ask(&Probe::Tcp(tcp(at, bad))).await;
    assert_eq!(message(&outcome), "the server closed the connection before it said /^221/");
    assert!(outcome.seen.regex_failed);
}

#[tokio::test]
async fn a_closed_port_is_down_unless_that_is_asserted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    drop(listener);
    let probe = Probe::Tcp(tcp(at, Vec::new()));
    assert_eq!(message(&ask(&probe).await), "connection refused");
    let outcome = ask_with(&probe, &["[CONNECTED] == false"]).await;
    assert!(outcome.ok, "{outcome:?}");
    let outcome = ask_with(&probe, &["[CONNECTED] == true"]).await;
    assert_eq!(message(&outcome), "[CONNECTED] (false) == true");
}

#[tokio::test]
async fn starttls_of_each_protocol_is_asked_for_and_a_refusal_told() {
    type Server = (StartTls, &'static str, fn(&str) -> Option<&'static str>, &'static str);
    let servers: [Server; 5] = [
        (
            StartTls::Smtp,
            "220-hello\r\n220 mail\r\n",
            |line| match line {
                "STARTTLS" => Some("454 TLS not available\r\n"),
                _ => Some("250-mail\r\n250 STARTTLS\r\n"),
            },
            "the server answered STARTTLS with `454 TLS not available`, expected 220",
        ),
        (
            StartTls::Imap,
            "* OK ready\r\n",
            |_| Some("* BYE soon\r\na BAD no\r\n"),
            "the server answered STARTTLS with `a BAD no`, expected a OK",
        ),
        (
            StartTls::Pop3,
            "+OK ready\r\n",
            |_| Some("-ERR no\r\n"),
            "the server answered STLS with `-ERR no`, expected +OK",
        ),
        (StartTls::Ftp, "421 busy\r\n", |_| None, "the server greeted with `421 busy`, expected 220"),
        (
            StartTls::Ftp,
            "220-Welcome\r\nto the 220 club\r\n 220 not yet\r\n220 ready\r\n",
            |_| Some("534 no\r\n"),
            "the server answered AUTH TLS with `534 no`, expected 234",
        ),
    ];
    for (protocol, greeting, answer, told) in servers {
        let mut probe = tcp(lines(greeting, answer).await, Vec::new());
        probe.starttls = Some(protocol);
        assert_eq!(message(&ask(&Probe::Tcp(probe)).await), told);
    }
}

/// A DNS server on UDP and TCP that answers what it knows; what is `cut` it answers
/// over TCP alone.
async fn dns_server(cut: bool) -> SocketAddr {
    use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, MX, TXT};
    use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
    use tokio::io::AsyncReadExt;

    fn answer(query: &[u8], truncated: bool) -> Vec<u8> {
        let query = Message::from_vec(query).expect("a query");
        let question = query.queries[0].clone();
        let mut answer = query.into_response();
        answer.metadata.message_type = MessageType::Response;
        if truncated {
            answer.metadata.truncation = true;
            return answer.to_vec().expect("bytes");
        }
        let name = question.name.clone();
        let mut add = |data| {
            answer.add_answer(Record::from_rdata(name.clone(), 60, data));
        };
        match (question.name.to_ascii().as_str(), question.query_type) {
            ("a.test.", RecordType::A) => {
                add(RData::A(A::new(192, 0, 2, 1)));
                add(RData::A(A::new(192, 0, 2, 2)));
            }
            ("a.test.", RecordType::MX) => {
                add(RData::MX(MX::new(10, Name::from_ascii("mail.a.test.").expect("a name"))));
            }
            ("a.test.", RecordType::TXT) => add(RData::TXT(TXT::new(vec!["v=spf1 -all".into()]))),
            ("a.test.", _) => {}
            _ => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer.to_vec().expect("bytes")
    }

    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let at = udp.local_addr().expect("an address");
    let tcp = TcpListener::bind(at).await.expect("the same port");
    tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let _ = udp.send_to(&answer(&buffer[..length], cut), from).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = tcp.accept().await {
            let Ok(length) = socket.read_u16().await else { continue };
            let mut query = vec![0; length.into()];
            if socket.read_exact(&mut query).await.is_ok() {
                let bytes = answer(&query, false);
                let _ = socket.write_u16(u16::try_from(bytes.len()).expect("short")).await;
                let _ = socket.write_all(&bytes).await;
            }
        }
    });
    at
}

fn dns(at: SocketAddr, name: &str, record_type: &str) -> DnsProbe {
    DnsProbe {
        server: Some(at.to_string()),
        transport: DnsTransport::Udp,
        name: name.into(),
        record_type: record_type.into(),
        expected: Vec::new(),
        exact: false,
        rcodes: Vec::new(),
        tls: TlsOptions::default(),
        connect: ConnectOptions::default(),
    }
}

#[tokio::test]
async fn dns_answers_are_compared_with_what_is_expected() {
    let at = dns_server(false).await;
    let mut probe = dns(at, "a.test", "A");
    probe.expected = vec!["192.0.2.1".into()];
    let outcome = ask_with(&Probe::Dns(probe.clone()), &["[DNS_RCODE] == NOERROR"]).await;
    assert!(outcome.ok, "{outcome:?}");
    assert_eq!(outcome.seen.dns.as_ref().map(|dns| dns.answers), Some(2));
    probe.exact = true;
    assert_eq!(
        message(&ask(&Probe::Dns(probe.clone())).await),
        "the answer is 192.0.2.1, 192.0.2.2, expected 192.0.2.1 alone"
    );
    probe.expected = vec!["192.0.2.9".into()];
    assert_eq!(
        message(&ask(&Probe::Dns(probe)).await),
        "the answer is 192.0.2.1, 192.0.2.2, expected 192.0.2.9"
    );
    let mut mx = dns(at, "a.test", "MX");
    mx.expected = vec!["10 MAIL.a.test".into()];
    assert!(ask(&Probe::Dns(mx)).await.ok);
    assert!(ask_with(&Probe::Dns(dns(at, "a.test", "TXT")), &["[BODY] == v=spf1 -all"]).await.ok);
    assert_eq!(message(&ask(&Probe::Dns(dns(at, "a.test", "SRV"))).await), "the name has no SRV record");
    assert_eq!(
        message(&ask(&Probe::Dns(dns(at, "b.test", "A"))).await),
        "the server answered NXDOMAIN, expected NOERROR"
    );
    let mut gone = dns(at, "b.test", "A");
    gone.rcodes = vec!["NXDOMAIN".into()];
    assert!(ask(&Probe::Dns(gone)).await.ok);
    assert!(ask_with(&Probe::Dns(dns(at, "b.test", "A")), &["[DNS_RCODE] == NXDOMAIN"]).await.ok);
}

#[tokio::test]
async fn a_dns_answer_that_was_cut_is_asked_for_over_tcp() {
    let at = dns_server(true).await;
    let outcome = ask(&Probe::Dns(dns(at, "a.test", "A"))).await;
    assert!(outcome.ok, "{outcome:?}");
    let mut tcp = dns(at, "a.test", "A");
    tcp.transport = DnsTransport::Tcp;
    assert!(ask(&Probe::Dns(tcp)).await.ok);
}

#[tokio::test]
async fn a_dns_server_that_is_silent_is_told() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let at = socket.local_addr().expect("an address");
    assert_eq!(message(&ask(&Probe::Dns(dns(at, "a.test", "A"))).await), "no answer within 2s");
}

/// [`health`] without TLS.
async fn grpc_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, health()).await });
    address
}

#[tokio::test]
async fn a_grpc_server_serves_or_says_why_not() {
    let at = grpc_server().await;
    let probe = |service: &str| {
        Probe::Grpc(GrpcProbe {
            address: at.to_string(),
            service: service.into(),
            metadata: Vec::new(),
            tls: None,
            connect: ConnectOptions::default(),
        })
    };
    let outcome = ask_with(&probe(""), &["[BODY].status == SERVING"]).await;
    assert!(outcome.ok, "{outcome:?}");
    assert_eq!(message(&ask(&probe("n")).await), "the service is NOT_SERVING");
    assert_eq!(message(&ask(&probe("x")).await), "gRPC status NOT_FOUND");
}

#[tokio::test]
async fn a_websocket_is_opened_and_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(socket).await.expect("a handshake");
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    let _ = socket.send(Message::text(format!("you said {text}"))).await;
                }
            });
        }
    });
    let mut probe = WebSocketProbe {
        url: format!("ws://{at}/echo"),
        headers: Vec::new(),
        send: Some("hello".into()),
        expect: Some("said hello$".into()),
        tls: TlsOptions::default(),
        connect: ConnectOptions::default(),
    };
    let outcome = ask_with(&Probe::WebSocket(probe.clone()), &["[BODY] == pat(you*)"]).await;
    assert!(outcome.ok, "{outcome:?}");
    probe.expect = Some("^nothing$".into());
    let outcome = ask(&Probe::WebSocket(probe.clone())).await;
    assert!(!outcome.ok && outcome.seen.regex_failed, "{outcome:?}");
    let plain = grpc_server().await;
    probe.url = format!("ws://{plain}/nowhere");
    assert_eq!(message(&ask(&Probe::WebSocket(probe)).await), "status 404, expected 101");
}
