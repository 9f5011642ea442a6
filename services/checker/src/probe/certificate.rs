//! What a chain of certificates says.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A chain as a server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// When its first certificate expires, UTC milliseconds.
    pub expires_at: i64,
    /// Whom the server's own certificate is for, and who signed it.
    pub subject: String,
    pub issuer: String,
    /// Names that it is valid for.
    pub names: Vec<String>,
}

impl Chain {
    /// Reads a chain; `None` when none of its certificates can be read.
    pub fn read(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        let parsed: Vec<X509Certificate<'_>> = certificates
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate))
            .collect();
        let own = parsed.first()?;
        let expires = parsed.iter().map(|c| c.validity().not_after.timestamp()).min()?;
        let names = own
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|names| names.value.general_names.iter().filter_map(name).collect())
            .unwrap_or_default();
        Some(Self {
            expires_at: expires.saturating_mul(1_000),
            subject: own.subject().to_string(),
            issuer: own.issuer().to_string(),
            names,
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| std::net::IpAddr::from(ip).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|ip| std::net::IpAddr::from(ip).to_string()),
        },
        _ => None,
    }
}
