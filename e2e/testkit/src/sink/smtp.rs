//! A mail server (RFC 5321) that remembers every mail: in clear text, with
//! STARTTLS or over TLS, with or without a login.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use super::Server;

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Sender of the envelope.
    pub from: String,
    /// Recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and text, lines ending in `\n`.
    pub text: String,
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// User and password that were given, if any.
    pub login: Option<(String, String)>,
}

impl Mail {
    /// A header's value, without folding.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\n\n").next()?.replace("\n ", " ");
        let line = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase())))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }
}

/// How the server behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmtpOptions {
    /// Whether it offers STARTTLS and takes nothing without.
    pub starttls: bool,
    /// Whether TLS begins with the first byte.
    pub tls: bool,
    /// Whether it wants a login.
    pub login: bool,
}

/// A running sink. Ends when dropped.
#[derive(Debug)]
pub struct SmtpSink {
    server: Server,
    shared: Arc<Shared>,
    certificate: String,
}

#[derive(Debug)]
struct Shared {
    options: SmtpOptions,
    tls: Arc<ServerConfig>,
    taken: Mutex<Vec<Mail>>,
    refusals: Mutex<VecDeque<String>>,
}

impl SmtpSink {
    /// Starts one, with a certificate of its own for `localhost`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(options: SmtpOptions) -> Result<Self> {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = own.cert.pem();
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)?;
        let shared = Arc::new(Shared {
            options,
            tls: Arc::new(tls),
            taken: Mutex::default(),
            refusals: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let server = Server::start(move |stream| {
            // A client that goes away in between is not the sink's concern.
            let _ = serve(stream, &served);
        })?;
        Ok(Self { server, shared, certificate })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What it has taken, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<Mail> {
        lock(&self.shared.taken).clone()
    }

    /// Answers the next mail, after those told before, with this line instead of taking it.
    pub fn refuse_next(&self, line: impl Into<String>) {
        lock(&self.shared.refusals).push_back(line.into());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    if shared.options.tls {
        return Session::new(encrypt(stream, shared)?, shared, true).run(true).map(drop);
    }
    match Session::new(stream, shared, false).run(true)? {
        Some(stream) => Session::new(encrypt(stream, shared)?, shared, true).run(false).map(drop),
        None => Ok(()),
    }
}

fn encrypt(stream: TcpStream, shared: &Shared) -> Result<StreamOwned<ServerConnection, TcpStream>> {
    Ok(StreamOwned::new(ServerConnection::new(Arc::clone(&shared.tls))?, stream))
}

struct Session<'a, S: Read + Write> {
    stream: BufReader<S>,
    shared: &'a Shared,
    encrypted: bool,
    login: Option<(String, String)>,
}

impl<'a, S: Read + Write> Session<'a, S> {
    fn new(stream: S, shared: &'a Shared, encrypted: bool) -> Self {
        Self { stream: BufReader::new(stream), shared, encrypted, login: None }
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let stream = self.stream.get_mut();
        write!(stream, "{line}\r\n")?;
        Ok(stream.flush()?)
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Talks until the end, or until the client wants TLS: then the stream comes back.
    fn run(mut self, greet: bool) -> Result<Option<S>> {
        let options = self.shared.options;
        if greet {
            self.say("220 sink.example ready")?;
        }
        let (mut from, mut to) = (String::new(), Vec::new());
        while let Some(line) = self.line()? {
            let upper = line.to_ascii_uppercase();
            let must_encrypt = options.starttls && !self.encrypted;
            if upper.starts_with("EHLO") {
                self.say("250-sink.example")?;
                if must_encrypt {
                    self.say("250-STARTTLS")?;
                }
                self.say("250 AUTH PLAIN")?;
            } else if upper == "STARTTLS" && must_encrypt {
                self.say("220 go ahead")?;
                return Ok(Some(self.stream.into_inner()));
            } else if must_encrypt {
                self.say("530 5.7.0 STARTTLS first")?;
            } else if let Some(response) = line.strip_prefix("AUTH PLAIN ") {
                self.login = login(response);
                self.say("235 2.7.0 welcome")?;
            } else if upper.starts_with("MAIL FROM:") && options.login && self.login.is_none() {
                self.say("530 5.7.0 log in first")?;
            } else if upper.starts_with("MAIL FROM:") {
                (from, to) = (address(&line), Vec::new());
                self.say("250 2.1.0 ok")?;
            } else if upper.starts_with("RCPT TO:") {
                to.push(address(&line));
                self.say("250 2.1.5 ok")?;
            } else if upper == "DATA" {
                self.say("354 go ahead")?;
                let text = self.data()?;
                let refusal = lock(&self.shared.refusals).pop_front();
                if let Some(refusal) = refusal {
                    self.say(&refusal)?;
                    continue;
                }
                lock(&self.shared.taken).push(Mail {
                    from: from.clone(),
                    to: to.clone(),
                    text,
                    encrypted: self.encrypted,
                    login: self.login.clone(),
                });
                self.say("250 2.0.0 taken")?;
            } else if upper == "QUIT" {
                self.say("221 2.0.0 bye")?;
                return Ok(None);
            } else {
                self.say("250 2.0.0 ok")?;
            }
        }
        Ok(None)
    }

    fn data(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            let line = self.line()?.context("the mail breaks off")?;
            if line == "." {
                return Ok(text);
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push('\n');
        }
    }
}

/// What stands between angle brackets.
fn address(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner);
    inner.unwrap_or_default().to_owned()
}

/// User and password of a PLAIN response (RFC 4616).
fn login(response: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(response).ok()?).ok()?;
    let mut parts = decoded.split('\0').skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}
