//! What the tests of probes share: asking as an operator does, and servers' certificates.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use watchkeeper_store::{Assertion, Exchange, Probe, Severity, TlsOptions};

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
