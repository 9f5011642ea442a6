//! Conversations that go on in TLS, or begin in it, as each protocol has it.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use watchkeeper_store::{ConnectOptions, Exchange, Probe, StartTls, TcpProbe, TlsOptions, TlsProbe};

use super::testing::{self, Own, acceptor, listen, message, step};
use crate::Outcome;

async fn ask(probe: Probe) -> Outcome {
    testing::ask(&probe, &[], Duration::from_secs(5)).await
}

/// What a server says first, and what it answers to each line that it expects.
type Script = (&'static str, &'static [(&'static str, &'static str)]);

/// A server that follows its script, then goes on in TLS, where it repeats what it hears; its port.
async fn server(own: &Own, script: Script) -> u16 {
    let acceptor = acceptor(own, None, &[]);
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, script, acceptor.clone()));
        }
    });
    port
}

async fn serve(socket: TcpStream, (greeting, script): Script, acceptor: TlsAcceptor) {
    let mut socket = BufReader::new(socket);
    let _ = socket.write_all(greeting.as_bytes()).await;
    for (wanted, answer) in script {
        let mut heard = String::new();
        // Whoever says anything else is talked to no longer.
        match socket.read_line(&mut heard).await {
            Ok(_) if heard == format!("{wanted}\r\n") => {}
            _ => return,
        }
        let _ = socket.write_all(answer.as_bytes()).await;
    }
    repeat(acceptor, socket.into_inner()).await;
}

/// Greets in TLS, and says each line back.
async fn repeat(acceptor: TlsAcceptor, socket: TcpStream) {
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let mut stream = BufReader::new(stream);
    let mut heard = String::from("hello\r\n");
    loop {
        let said = stream.write_all(format!("you said {heard}").as_bytes()).await;
        if said.is_err() || stream.flush().await.is_err() {
            return;
        }
        heard.clear();
        if !stream.read_line(&mut heard).await.is_ok_and(|count| count > 0) {
            return;
        }
    }
}

fn conversation() -> Vec<Exchange> {
    vec![step(Some("^you said hello$"), Some("NOOP")), step(Some("^you said NOOP$"), None)]
}

fn tcp(port: u16, starttls: Option<StartTls>, tls: Option<TlsOptions>, said: Vec<Exchange>) -> Probe {
    let (address, connect) = (format!("own.test:{port}"), ConnectOptions::default());
    Probe::Tcp(TcpProbe { address, conversation: said, starttls, tls, connect })
}

fn tls(port: u16, starttls: StartTls, options: TlsOptions, name: &str) -> Probe {
    Probe::Tls(TlsProbe {
        address: format!("own.test:{port}"),
        starttls: Some(starttls),
        options,
        names: vec![name.into()],
        valid_for: Duration::from_secs(24 * 3_600),
        connect: ConnectOptions::default(),
    })
}

const SCRIPTS: [(StartTls, Script); 4] = [
    (
        StartTls::Smtp,
        (
            "220-own.test\r\n220 ready\r\n",
            &[("EHLO watchkeeper", "250-own.test\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 go on\r\n")],
        ),
    ),
    (StartTls::Imap, ("* OK ready\r\n", &[("a STARTTLS", "* NOTE well\r\na OK go on\r\n")])),
    (StartTls::Pop3, ("+OK ready\r\n", &[("STLS", "+OK go on\r\n")])),
    (StartTls::Ftp, ("220-own.test\r\n220 ready\r\n", &[("AUTH TLS", "234 go on\r\n")])),
];

#[tokio::test]
async fn each_protocol_goes_on_in_tls_where_the_conversation_is_had() {
    let own = Own::new("own.test");
    for (protocol, script) in SCRIPTS {
        let port = server(&own, script).await;
        let outcome = ask(tcp(port, Some(protocol), Some(own.trusted()), conversation())).await;
        assert!(outcome.ok && outcome.seen.tls.is_some(), "{protocol:?}: {outcome:?}");
        let unknown = ask(tcp(port, Some(protocol), None, conversation())).await;
        assert_eq!(message(&unknown), "TLS: the certificate's issuer is not trusted", "{protocol:?}");
    }
}

#[tokio::test]
async fn a_certificate_is_judged_that_a_server_shows_after_its_greeting() {
    let own = Own::new("own.test");
    for (protocol, script) in SCRIPTS {
        let port = server(&own, script).await;
        let outcome = ask(tls(port, protocol, own.trusted(), "own.test")).await;
        assert!(outcome.ok && outcome.seen.chain.is_some(), "{protocol:?}: {outcome:?}");
        let other = ask(tls(port, protocol, own.trusted(), "other.test")).await;
        assert_eq!(message(&other), "the certificate is not valid for other.test", "{protocol:?}");
    }
}

/// A server of PostgreSQL's protocol as far as TLS; its port.
async fn postgres(own: &Own, answer: u8) -> u16 {
    let acceptor = acceptor(own, None, &[]);
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 8];
            // SSLRequest: a length of 8, and 1234 and 5679.
            if socket.read_exact(&mut request).await.is_err() || request != [0, 0, 0, 8, 4, 210, 22, 47] {
                continue;
            }
            let _ = socket.write_all(&[answer]).await;
            if answer == b'S' {
                tokio::spawn(repeat(acceptor.clone(), socket));
            }
        }
    });
    port
}

#[tokio::test]
async fn postgresql_is_asked_for_tls_in_its_own_way_and_may_have_none() {
    let own = Own::new("own.test");
    for (answer, told) in [
        (b'S', None),
        (b'N', Some("the server speaks no TLS")),
        (b'E', Some("the server does not speak PostgreSQL's protocol")),
    ] {
        let port = postgres(&own, answer).await;
        for probe in [
            tls(port, StartTls::Postgres, own.trusted(), "own.test"),
            tcp(port, Some(StartTls::Postgres), Some(own.trusted()), conversation()),
        ] {
            let outcome = ask(probe).await;
            assert_eq!((outcome.ok, outcome.message.as_deref()), (told.is_none(), told), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn tls_is_spoken_from_the_first_byte_where_it_is_asked_for() {
    let own = Own::new("own.test");
    let acceptor = acceptor(&own, None, &[]);
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(repeat(acceptor.clone(), socket));
        }
    });
    let outcome = ask(tcp(port, None, Some(own.trusted()), conversation())).await;
    assert!(outcome.ok && outcome.seen.chain.is_some(), "{outcome:?}");
    let unknown = ask(tcp(port, None, Some(TlsOptions::default()), conversation())).await;
    assert_eq!(message(&unknown), "TLS: the certificate's issuer is not trusted");
    let plain = ask(tcp(port, None, None, conversation())).await;
    assert!(!plain.ok, "{plain:?}");
}

#[tokio::test]
async fn a_step_of_a_conversation_begins_tls() {
    let own = Own::new("own.test");
    let script: Script = ("220 ready\r\n", &[("GO SECURE", "250 as you like\r\n")]);
    let port = server(&own, script).await;
    let begins = Exchange { starttls: true, ..step(Some("^250 "), None) };
    let mut said = vec![step(Some("^220 "), Some("GO SECURE")), begins];
    said.extend(conversation());
    let unknown = ask(tcp(port, None, None, said.clone())).await;
    assert_eq!(message(&unknown), "TLS: the certificate's issuer is not trusted");
    // The options are for then, and begin nothing by themselves.
    let outcome = ask(tcp(port, None, Some(own.trusted()), said)).await;
    assert!(outcome.ok && outcome.seen.tls.is_some(), "{outcome:?}");
}
