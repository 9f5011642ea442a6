//! What is spoken over TLS, and credentials: against real servers of each protocol.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;
use watchkeeper_store::{
    ConnectOptions, DnsProbe, DnsTransport, HttpAuth, HttpProbe, HttpVersion, Probe, StartTls, TcpProbe,
    TlsOptions,
};

use super::testing::{self, Behind, Own, acceptor, listen, message, step};
use crate::Outcome;

const TIMEOUT: Duration = Duration::from_secs(5);

async fn ask(probe: Probe, conditions: &[&str]) -> Outcome {
    testing::ask(&probe, conditions, TIMEOUT).await
}

/// A web server that tells the version of HTTP that it was asked in; returns its port.
async fn web(acceptor: TlsAcceptor) -> u16 {
    let (listener, port) = listen().await;
    let router = Router::new().route("/", get(async |request: Request| format!("{:?}", request.version())));
    tokio::spawn(async move { axum::serve(Behind(listener, acceptor), router).await });
    port
}

fn https(port: u16, tls: TlsOptions) -> HttpProbe {
    HttpProbe { tls, ..HttpProbe::new(format!("https://own.test:{port}/")) }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_one() {
    let (own, client) = (Own::new("own.test"), Own::new("client.test"));
    let port = web(acceptor(&own, Some(&client), &[])).await;
    let shown = TlsOptions {
        client_certificate: Some(client.pem.clone()),
        client_key: Some(client.key.serialize_pem()),
        ..own.trusted()
    };
    let known = ask(Probe::Http(https(port, shown.clone())), &[]).await;
    assert!(known.ok, "{known:?}");
    let unknown = ask(Probe::Http(https(port, own.trusted())), &[]).await;
    assert!(!unknown.ok, "{unknown:?}");
    let keyless = TlsOptions { client_key: None, ..shown };
    let keyless = ask(Probe::Http(https(port, keyless)), &[]).await;
    assert!(message(&keyless).contains("a client certificate needs its key"), "{keyless:?}");
}

#[tokio::test]
async fn the_version_of_http_is_agreed_on_or_insisted_on() {
    let own = Own::new("own.test");
    let both = web(acceptor(&own, None, &["h2", "http/1.1"])).await;
    let old = web(acceptor(&own, None, &["http/1.1"])).await;
    for (port, version, body) in [
        (both, HttpVersion::Auto, "HTTP/2.0"),
        (both, HttpVersion::Http1, "HTTP/1.1"),
        (both, HttpVersion::Http2, "HTTP/2.0"),
        (old, HttpVersion::Auto, "HTTP/1.1"),
    ] {
        let probe = HttpProbe { version, ..https(port, own.trusted()) };
        let outcome = ask(Probe::Http(probe), &[&format!("[BODY] == {body}")]).await;
        assert!(outcome.ok, "{version:?}: {outcome:?}");
    }
    let probe = HttpProbe { version: HttpVersion::Http2, ..https(old, own.trusted()) };
    let refused = ask(Probe::Http(probe), &[]).await;
    assert!(!refused.ok && !message(&refused).is_empty(), "{refused:?}");
}

#[tokio::test]
async fn credentials_are_sent_and_wrong_ones_are_down() {
    let (listener, port) = listen().await;
    let router = Router::new().route(
        "/{scheme}",
        get(async |request: Request| {
            let wanted = match request.uri().path() {
                "/basic" => "Basic YW5uOmEgOiBi",
                _ => "Bearer t0ken",
            };
            let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            if sent == Some(wanted) { http::StatusCode::OK } else { http::StatusCode::UNAUTHORIZED }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    let basic = |password: &str| HttpAuth::Basic { username: "ann".into(), password: password.into() };
    let bearer = |token: &str| HttpAuth::Bearer { token: token.into() };
    for (path, auth, ok) in [
        ("basic", Some(basic("a : b")), true),
        ("basic", Some(basic("other")), false),
        ("basic", None, false),
        ("bearer", Some(bearer("t0ken")), true),
        ("bearer", Some(bearer("s3cret")), false),
    ] {
        let probe = HttpProbe { auth, ..HttpProbe::new(format!("http://own.test:{port}/{path}")) };
        let outcome = ask(Probe::Http(probe), &[]).await;
        assert_eq!((outcome.ok, outcome.status), (ok, Some(if ok { 200 } else { 401 })), "{path}");
        assert!(!message(&outcome).contains("s3cret"), "{outcome:?}");
    }
    let in_url = HttpProbe::new(format!("http://ann:a%20:%20b@own.test:{port}/basic"));
    assert!(ask(Probe::Http(in_url), &[]).await.ok);
}

#[tokio::test]
async fn a_mail_server_goes_on_in_tls() {
    let own = Own::new("own.test");
    let acceptor = acceptor(&own, None, &[]);
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut socket = BufReader::new(socket);
                for (answer, line) in [("220 own.test\r\n", "EHLO"), ("250 STARTTLS\r\n", "STARTTLS")] {
                    socket.write_all(answer.as_bytes()).await.expect("sent");
                    let mut heard = String::new();
                    socket.read_line(&mut heard).await.expect("a line");
                    assert!(heard.starts_with(line), "{heard}");
                }
                socket.write_all(b"220 go on\r\n").await.expect("sent");
                let mut stream = BufReader::new(acceptor.accept(socket.into_inner()).await.expect("TLS"));
                let mut heard = String::new();
                stream.read_line(&mut heard).await.expect("a line");
                stream.write_all(format!("250 {heard}").as_bytes()).await.expect("sent");
            });
        }
    });
    let probe = Probe::Tcp(TcpProbe {
        address: format!("own.test:{port}"),
        conversation: vec![step(None, Some("NOOP")), step(Some("^250 NOOP"), None)],
        starttls: Some(StartTls::Smtp),
        tls: Some(own.trusted()),
        connect: ConnectOptions::default(),
    });
    let outcome = ask(probe, &["[CERTIFICATE_EXPIRATION] > 24h"]).await;
    assert!(outcome.ok, "{outcome:?}");
    assert_eq!(outcome.seen.chain.map(|chain| chain.names), Some(vec!["own.test".to_owned()]));
}

#[tokio::test]
async fn a_name_is_asked_for_over_tls() {
    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::{RData, Record, rdata::A};

    let own = Own::new("own.test");
    let acceptor = acceptor(&own, None, &[]);
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let length = stream.read_u16().await.expect("a length");
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.expect("a query");
            let query = Message::from_vec(&query).expect("a query");
            let name = query.queries[0].name.clone();
            let mut answer = query.into_response();
            answer.metadata.message_type = MessageType::Response;
            answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 9))));
            let bytes = answer.to_vec().expect("bytes");
            stream.write_u16(u16::try_from(bytes.len()).expect("short")).await.expect("sent");
            stream.write_all(&bytes).await.expect("sent");
        }
    });
    let probe = |tls: TlsOptions| {
        Probe::Dns(DnsProbe {
            server: Some(format!("own.test:{port}")),
            transport: DnsTransport::Tls,
            name: "a.test".into(),
            record_type: "A".into(),
            expected: vec!["192.0.2.9".into()],
            exact: true,
            rcodes: Vec::new(),
            tls,
            connect: ConnectOptions::default(),
        })
    };
    let outcome = ask(probe(own.trusted()), &["[DNS_RCODE] == NOERROR"]).await;
    assert!(outcome.ok, "{outcome:?}");
    let unknown = ask(probe(TlsOptions::default()), &[]).await;
    assert!(message(&unknown).starts_with("TLS: "), "{unknown:?}");
}
