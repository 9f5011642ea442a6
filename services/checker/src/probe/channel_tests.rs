//! gRPC and WebSocket over TLS, and what is sent with them.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use watchkeeper_store::{ConnectOptions, GrpcProbe, Probe, TlsOptions, WebSocketProbe};

use super::testing::{self, Behind, Own, acceptor, listen, message};
use crate::Outcome;

async fn ask(probe: Probe, conditions: &[&str]) -> Outcome {
    testing::ask(&probe, conditions, Duration::from_secs(5)).await
}

/// The health of `shop.Ledger`, for whoever shows the token.
async fn check(headers: HeaderMap, request: Bytes) -> Response {
    let known = headers.get("authorization").is_some_and(|value| value == "Bearer t0ken");
    let whole = headers.get("te").is_some_and(|value| value == "trailers")
        && headers.get("content-type").is_some_and(|value| value == "application/grpc");
    let asked = request[..] == *b"\0\0\0\0\x0d\x0a\x0bshop.Ledger";
    let answer = Response::builder().header("content-type", "application/grpc");
    if !known || !whole || !asked {
        // Without any message the head has the status.
        let answer = answer.header("grpc-status", "16").header("grpc-message", "who are you");
        return answer.body(Body::empty()).expect("an answer");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]))),
        Ok(Frame::trailers(trailers)),
    ];
    answer.body(Body::new(StreamBody::new(futures::stream::iter(frames)))).expect("an answer")
}

/// A server of that over TLS; its port.
async fn health(own: &Own, protocols: &[&str]) -> u16 {
    let router = Router::new().route("/grpc.health.v1.Health/Check", post(check));
    let (listener, port) = listen().await;
    let behind = Behind(listener, acceptor(own, None, protocols));
    tokio::spawn(async move { axum::serve(behind, router).await });
    port
}

fn grpc(port: u16, tls: Option<TlsOptions>, token: Option<&str>) -> Probe {
    Probe::Grpc(GrpcProbe {
        address: format!("own.test:{port}"),
        service: "shop.Ledger".into(),
        metadata: token
            .map(|token| ("authorization".into(), format!("Bearer {token}")))
            .into_iter()
            .collect(),
        tls,
        connect: ConnectOptions::default(),
    })
}

#[tokio::test]
async fn a_grpc_service_is_asked_over_tls_with_its_metadata() {
    let own = Own::new("own.test");
    let port = health(&own, &["h2"]).await;
    let conditions = ["[BODY].status == SERVING", "[CERTIFICATE_EXPIRATION] > 24h"];
    let outcome = ask(grpc(port, Some(own.trusted()), Some("t0ken")), &conditions).await;
    assert!(outcome.ok && outcome.seen.tls.is_some(), "{outcome:?}");
    for token in [None, Some("s3cret")] {
        let refused = ask(grpc(port, Some(own.trusted()), token), &[]).await;
        assert_eq!(message(&refused), "gRPC status UNAUTHENTICATED: who are you");
    }
    let unknown = ask(grpc(port, Some(TlsOptions::default()), Some("t0ken")), &[]).await;
    assert_eq!(message(&unknown), "TLS: the certificate's issuer is not trusted");
    let plain = ask(grpc(port, None, Some("t0ken")), &[]).await;
    assert!(!plain.ok, "{plain:?}");
    let old = health(&own, &["http/1.1"]).await;
    let old = ask(grpc(old, Some(own.trusted()), Some("t0ken")), &[]).await;
    assert!(!old.ok && message(&old).starts_with("TLS: "), "{old:?}");
}

/// A WebSocket over TLS for whoever shows the key, which says `welcome` and then repeats; its port.
async fn websocket(own: &Own) -> u16 {
    let acceptor = acceptor(own, None, &["http/1.1"]);
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(talk(acceptor.clone(), socket));
        }
    });
    port
}

async fn talk(acceptor: TlsAcceptor, socket: TcpStream) {
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let mut stream = BufReader::new(stream);
    let (mut key, mut known) = (String::new(), false);
    loop {
        let mut line = String::new();
        if !stream.read_line(&mut line).await.is_ok_and(|count| count > 0) {
            return;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("sec-websocket-key") => {
                value.clone_into(&mut key)
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-key") => known = value == "k3y",
            _ if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let head = if known {
        let accepted = derive_accept_key(key.as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accepted}\r\n\r\n"
        )
    } else {
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned()
    };
    let sent = stream.write_all(head.as_bytes()).await;
    if !known || sent.is_err() || stream.flush().await.is_err() {
        return;
    }
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let _ = socket.send(Message::text("welcome")).await;
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let _ = socket.send(Message::text(format!("you said {text}"))).await;
    }
}

#[tokio::test]
async fn a_websocket_is_opened_over_tls_with_its_headers() {
    let own = Own::new("own.test");
    let port = websocket(&own).await;
    let probe = |tls: TlsOptions, key: &str, said: Option<(&str, &str)>| {
        Probe::WebSocket(WebSocketProbe {
            url: format!("wss://own.test:{port}/feed"),
            headers: vec![("X-Key".into(), key.into())],
            send: said.map(|(send, _)| send.into()),
            expect: said.map(|(_, expect)| expect.into()),
            tls,
            connect: ConnectOptions::default(),
        })
    };
    let answered = ask(probe(own.trusted(), "k3y", Some(("hello", "^you said hello$"))), &[]).await;
    assert!(answered.ok && answered.seen.tls.is_some(), "{answered:?}");
    // Nothing that is expected: to be open is enough, and what comes first is what assertions see.
    let open = ask(probe(own.trusted(), "k3y", None), &["[STATUS] == 101"]).await;
    assert!(open.ok && open.seen.body_bytes == 0, "{open:?}");
    let heard = ask(probe(own.trusted(), "k3y", None), &["[BODY] == welcome"]).await;
    assert!(heard.ok, "{heard:?}");
    let other = ask(probe(own.trusted(), "s3cret", None), &[]).await;
    assert_eq!((other.status, message(&other)), (Some(401), "status 401, expected 101"));
    let unknown = ask(probe(TlsOptions::default(), "k3y", None), &[]).await;
    assert_eq!(message(&unknown), "TLS: the certificate's issuer is not trusted");
}
