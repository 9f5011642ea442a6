//! What stands in the place of a host that a client insists on.
//!
//! The client's process is told to reach the outside by a proxy and to trust one more certificate.
//! The proxy plays the host: it ends the TLS of connections to it and hands each request on, as it
//! is, to the server under test. Connections to anywhere else are refused.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A proxy in the place of one host. It serves as long as this process lives.
#[derive(Debug)]
pub struct FixedHost {
    proxy: String,
    certificate: PathBuf,
}

impl FixedHost {
    /// Stands in for `host` before the server at `address` (as `127.0.0.1:8080`); the certificate
    /// goes to a file in `directory`.
    ///
    /// # Errors
    /// When the certificate cannot be made or the proxy cannot listen.
    pub fn new(host: &'static str, address: &str, directory: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([host.to_owned()])?;
        let certificate = directory.join(format!("{host}.pem"));
        std::fs::write(&certificate, made.cert.pem())?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let tls = Arc::new(tls);

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = format!("http://{}", listener.local_addr()?);
        let address = address.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (tls, address) = (Arc::clone(&tls), address.clone());
                thread::spawn(move || {
                    if let Err(error) = serve(client, tls, host, &address) {
                        eprintln!("in the place of {host}: {error:#}");
                    }
                });
            }
        });
        Ok(Self { proxy, certificate })
    }

    /// The proxy's URL.
    #[must_use]
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// The certificate to trust, a file of PEM.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }
}

fn serve(mut client: TcpStream, tls: Arc<ServerConfig>, host: &str, address: &str) -> Result<()> {
    // The client says no more until it is answered, so nothing is left in the buffer.
    let connect = message(&mut BufReader::new(&client))?.context("no request")?;
    if !connect.starts_with(format!("CONNECT {host}:443 ").as_bytes()) {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
        bail!("asked for another host: {}", String::from_utf8_lossy(&connect));
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;

    let mut client = BufReader::new(StreamOwned::new(ServerConnection::new(tls)?, client));
    let mut server = BufReader::new(TcpStream::connect(address)?);
    // A client that ends its connection without TLS' farewell ends it all the same.
    while let Ok(Some(request)) = message(&mut client) {
        server.get_mut().write_all(&request)?;
        let response = message(&mut server)?.context("no response")?;
        client.get_mut().write_all(&response)?;
        client.get_mut().flush()?;
    }
    Ok(())
}

/// The bytes of the next request or response whose length is given, or nothing at the end.
fn message(from: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut length = 0;
    loop {
        let before = bytes.len();
        if from.read_until(b'\n', &mut bytes)? == 0 {
            return if bytes.is_empty() { Ok(None) } else { bail!("ended within a head") };
        }
        let line = std::str::from_utf8(&bytes[before..])?.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    from.take(length).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
