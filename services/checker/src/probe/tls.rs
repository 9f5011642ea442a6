//! TLS: the handshake that several probes share, and the probe of its own.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use watchkeeper_store::{TlsOptions, TlsProbe, now_ms};

use super::certificate::{Chain, trusted_until};
use super::describe::describe_tls_io;
use super::dial::{Io, Tools, host_port};
use super::seen::{Seen, Stage};
use super::starttls;

/// The authorities that the system trusts; clones share them.
#[derive(Clone)]
pub(crate) struct Trusted {
    provider: Arc<CryptoProvider>,
    /// `None` on a system without any.
    system: Option<Arc<WebPkiServerVerifier>>,
}

impl Trusted {
    /// Reads the system's authorities.
    pub fn load() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificates cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let system =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
        Self { provider, system }
    }

    /// The authority in this PEM alone.
    #[cfg(test)]
    pub fn only(pem: &str) -> Self {
        let mut trusted = Self::load();
        trusted.system = Some(trusted.verifier(pem).expect("an authority"));
        trusted
    }

    /// Shakes hands over a connection; the chain is seen even when it is not accepted.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub async fn shake<S: Io>(
        &self,
        stream: S,
        host: &str,
        options: &TlsOptions,
        protocols: &[&str],
        seen: &mut Seen,
    ) -> Result<TlsStream<S>, String> {
        seen.enter(Stage::Tls);
        let (config, recorder) = self.config(options, protocols)?;
        let name = options.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("TLS: `{name}` is not a name that a server can be asked for"))?;
        let result = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        seen.chain = recorder.shown.lock().unwrap_or_else(PoisonError::into_inner).chain();
        let stream = result.map_err(|error| describe_tls_io(&error))?;
        let (_, session) = stream.get_ref();
        seen.tls = session.protocol_version().map(|version| match version {
            ProtocolVersion::TLSv1_2 => "TLS 1.2",
            ProtocolVersion::TLSv1_3 => "TLS 1.3",
            _ => "TLS",
        });
        let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        // IANA's names of those of TLS 1.3 do not tell the version.
        seen.cipher = suite.map(|name| name.replacen("TLS13_", "TLS_", 1));
        Ok(stream)
    }

    /// What an ordinary client trusts.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn usual(&self) -> Result<ClientConfig, String> {
        self.config(&TlsOptions::default(), &[]).map(|(config, _)| config)
    }

    fn config(
        &self,
        options: &TlsOptions,
        protocols: &[&str],
    ) -> Result<(ClientConfig, Arc<Recorder>), String> {
        let judge = match (&options.ca, options.skip_verification) {
            (_, true) => None,
            (Some(pem), false) => Some(self.verifier(pem)?),
            (None, false) => {
                Some(self.system.clone().ok_or("TLS: this system trusts no authority; name one by tls.ca")?)
            }
        };
        let recorder = Arc::new(Recorder { judge, provider: self.provider.clone(), shown: Mutex::default() });
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|_| "TLS: no version is available")?
            .dangerous()
            .with_custom_certificate_verifier(recorder.clone());
        let mut config = match (&options.client_certificate, &options.client_key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate, "client certificate")?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|_| "TLS: the client key is not a private key in PEM")?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|_| "TLS: the client key is not that of the client certificate")?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err("TLS: a client certificate needs its key, and a key its certificate".into()),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        // Every check shakes hands in full: only then does the server show its certificate.
        config.resumption = Resumption::disabled();
        Ok((config, recorder))
    }

    fn verifier(&self, pem: &str) -> Result<Arc<WebPkiServerVerifier>, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(pem, "authority")?);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| "TLS: the authority is not a certificate in PEM".into())
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(format!("TLS: the {what} is not a certificate in PEM"));
    }
    Ok(found)
}

/// Keeps the chain that the server sent, and has it judged by `judge`, or takes any.
#[derive(Debug)]
struct Recorder {
    judge: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    shown: Mutex<Shown>,
}

/// What a server showed.
#[derive(Debug, Default)]
struct Shown {
    certificates: Vec<CertificateDer<'static>>,
    /// Until when the trust in it lasts, UTC milliseconds, where there is any.
    trusted_until: Option<i64>,
}

impl Shown {
    fn chain(&self) -> Option<Chain> {
        let chain = Chain::read(&self.certificates)?;
        Some(Chain { trusted_until: self.trusted_until, ..chain })
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.certificates = std::iter::once(own).chain(others).map(|der| der.clone().into_owned()).collect();
        let Some(judge) = &self.judge else { return Ok(ServerCertVerified::assertion()) };
        let verified = judge.verify_server_cert(own, others, name, ocsp, now)?;
        shown.trusted_until = trusted_until(own, others, |others| {
            judge.verify_server_cert(own, others, name, ocsp, now).is_ok()
        });
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Shakes hands and judges the certificate.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn probe(tools: &Tools, probe: &TlsProbe, seen: &mut Seen) -> Result<(), String> {
    let (host, port) = host_port(&probe.address, None)?;
    let mut stream = tools.connect(host, port, probe.connect, seen).await?;
    if let Some(protocol) = probe.starttls {
        seen.enter(Stage::Processing);
        starttls::upgrade(protocol, &mut stream).await?;
    }
    let stream = tools.trusted.shake(stream, host, &probe.options, &[], seen).await?;
    let own = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    for name in &probe.names {
        let valid = ServerName::try_from(name.as_str())
            .ok()
            .zip(own.and_then(|der| ParsedCertificate::try_from(der).ok()))
            .is_some_and(|(name, own)| verify_server_name(&own, &name).is_ok());
        if !valid {
            return Err(format!("the certificate is not valid for {name}"));
        }
    }
    let left = seen.chain.as_ref().map_or(0, |chain| chain.expires_at - now_ms());
    let wanted = i64::try_from(probe.valid_for.as_millis()).unwrap_or(i64::MAX);
    if left < wanted {
        return Err(format!(
            "the certificate expires in {}, expected at least {}",
            hours(left),
            hours(wanted)
        ));
    }
    Ok(())
}

fn hours(ms: i64) -> String {
    format!("{}h", ms / 3_600_000)
}
