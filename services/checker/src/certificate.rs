//! What a server's certificate says, whether or not anybody should trust it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;
use watchkeeper_store::CertificateAnswer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::guard::Guard;

/// Asks the server of an https URL for its certificate.
///
/// # Errors
/// A sentence that says why there is none.
pub(crate) async fn ask(url: &str, guard: &Guard) -> Result<CertificateAnswer, String> {
    let url = Url::parse(url).map_err(|error| format!("the URL is invalid: {error}"))?;
    let host = url.host_str().ok_or("the URL has no host")?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = connect(&host, port, guard).await?;
    let name = ServerName::try_from(host).map_err(|_| "the host is no name that TLS knows")?;
    let session = TlsConnector::from(Arc::new(config()?))
        .connect(name, stream)
        .await
        .map_err(|error| format!("TLS: {error}"))?;
    let (_, connection) = session.get_ref();
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    read(certificate.ok_or("the server has no certificate")?)
}

async fn connect(host: &str, port: u16, guard: &Guard) -> Result<TcpStream, String> {
    guard.check_host(host).map_err(|denied| denied.to_string())?;
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await.map_err(|_| "the name cannot be resolved")?.collect();
    let mut why = "the name cannot be resolved".to_owned();
    for address in found {
        match guard.check(address.ip()) {
            Err(denied) => why = denied.to_string(),
            Ok(()) => match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = format!("cannot connect: {}", error.kind()),
            },
        }
    }
    Err(why)
}

fn config() -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Ok(config)
}

/// Takes any certificate: an expired one is what a report is for. Nothing is sent to the server.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn read(der: &CertificateDer<'_>) -> Result<CertificateAnswer, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| "the certificate cannot be read".to_owned())?;
    let names = match certificate.subject_alternative_name() {
        Ok(Some(names)) => names.value.general_names.iter().filter_map(name).collect(),
        _ => Vec::new(),
    };
    let validity = certificate.validity();
    Ok(CertificateAnswer {
        subject: Some(certificate.subject().to_string()),
        issuer: Some(certificate.issuer().to_string()),
        serial_number: Some(certificate.raw_serial_as_string().replace(':', "").to_uppercase()),
        version: Some(certificate.version().0 + 1),
        not_before: Some(validity.not_before.timestamp().saturating_mul(1_000)),
        not_after: Some(validity.not_after.timestamp().saturating_mul(1_000)),
        names,
        fingerprint_sha256: Some(hex(&Sha256::digest(der))),
        ..CertificateAnswer::default()
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
        GeneralName::IPAddress(bytes) => {
            Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string())
        }
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_names_issuer_and_validity() {
        let names = ["shop.example".to_owned(), "127.0.0.1".to_owned()];
        let signed = rcgen::generate_simple_self_signed(names.clone()).expect("a certificate");
        let told = read(signed.cert.der()).expect("readable");
        assert_eq!(told.names, names);
        assert_eq!(told.subject, told.issuer);
        assert_eq!((told.version, told.fingerprint_sha256.map(|text| text.len())), (Some(3), Some(64)));
        assert!(told.not_before < told.not_after);
    }
}
