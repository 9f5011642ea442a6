//! What certificates say, whether or not anybody should trust them.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use url::Url;
use watchkeeper_store::{CertificateAnswer, ConnectOptions, TlsOptions};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::dial::Tools;
use super::seen::Seen;

/// Certificates that expire before the server's own up to which it is found out which of them are needed.
const MAX_EARLY: usize = 8;

/// A chain as a server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// When the server's own certificate expires, UTC milliseconds.
    pub expires_at: i64,
    /// When the first of all that were sent does, needed or not.
    pub earliest: i64,
    /// When the trust in it ends, UTC milliseconds; `None` without any.
    pub trusted_until: Option<i64>,
    /// Whom the server's own certificate is for, and who signed it.
    pub subject: String,
    pub issuer: String,
    /// Names that it is valid for.
    pub names: Vec<String>,
    /// SHA-256 of the server's own certificate, and its serial number; hexadecimal.
    pub fingerprint: String,
    pub serial: String,
}

impl Chain {
    /// Reads a chain; `None` when none of its certificates can be read.
    pub fn read(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        let parsed: Vec<(&CertificateDer<'_>, X509Certificate<'_>)> = certificates
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, certificate)| (der, certificate)))
            .collect();
        let (der, own) = parsed.first()?;
        let serial = own.raw_serial();
        let serial = &serial[serial.iter().take_while(|byte| **byte == 0).count()..];
        Some(Self {
            expires_at: expires(own),
            earliest: parsed.iter().map(|(_, certificate)| expires(certificate)).min()?,
            trusted_until: None,
            subject: own.subject().to_string(),
            issuer: own.issuer().to_string(),
            names: names(own),
            fingerprint: hex(&Sha256::digest(der)).to_lowercase(),
            serial: hex(serial).to_lowercase(),
        })
    }
}

fn expires(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp().saturating_mul(1_000)
}

/// When the trust ends in a certificate that is trusted now, UTC milliseconds: the first expiry on that way
/// to an authority which lasts longest. `is_trusted` says whether it is with these `others` alone.
/// Authorities are trusted whatever their own expiry, as verification has it.
pub(super) fn trusted_until(
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    is_trusted: impl Fn(&[CertificateDer<'_>]) -> bool,
) -> Option<i64> {
    let expiry = |der: &CertificateDer<'_>| X509Certificate::from_der(der).ok().map(|(_, c)| expires(&c));
    let until = expiry(own)?;
    // What lasts longer than the server's own certificate makes no difference.
    let mut early: Vec<(i64, &CertificateDer<'_>)> = Vec::new();
    let mut kept = Vec::new();
    for der in others {
        match expiry(der).filter(|expiry| *expiry < until) {
            Some(expiry) => early.push((expiry, der)),
            None => kept.push(der.clone()),
        }
    }
    if early.len() > MAX_EARLY {
        return None;
    }
    early.sort_by_key(|(expiry, _)| *expiry);
    // One after the other is left out, the first to expire first, until one turns out to be needed.
    let mut rest = early.as_slice();
    while let Some(((expiry, _), later)) = rest.split_first() {
        let with: Vec<_> = later.iter().map(|(_, der)| (*der).clone()).chain(kept.iter().cloned()).collect();
        if !is_trusted(&with) {
            return Some(*expiry);
        }
        rest = later;
    }
    Some(until)
}

/// Asks the server of an https URL for its certificate, and takes any: an
/// expired one is what a report is for. Nothing is sent to the server.
///
/// # Errors
/// A sentence that says why there is none.
pub(super) async fn ask(tools: &Tools, url: &str) -> Result<CertificateAnswer, String> {
    let url = Url::parse(url).map_err(|error| format!("the URL is invalid: {error}"))?;
    let host = url.host_str().ok_or("the URL has no host")?;
    let port = url.port_or_known_default().unwrap_or(443);
    let mut seen = Seen::default();
    let stream = tools.connect(host, port, ConnectOptions::default(), &mut seen).await?;
    let any = TlsOptions { skip_verification: true, ..TlsOptions::default() };
    let stream = tools.trusted.shake(stream, host, &any, &[], &mut seen).await?;
    let own = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    read(own.ok_or("the server has no certificate")?)
}

fn read(der: &CertificateDer<'_>) -> Result<CertificateAnswer, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| "the certificate cannot be read".to_owned())?;
    let validity = certificate.validity();
    Ok(CertificateAnswer {
        subject: Some(certificate.subject().to_string()),
        issuer: Some(certificate.issuer().to_string()),
        serial_number: Some(certificate.raw_serial_as_string().replace(':', "").to_uppercase()),
        version: Some(certificate.version().0 + 1),
        not_before: Some(validity.not_before.timestamp().saturating_mul(1_000)),
        not_after: Some(validity.not_after.timestamp().saturating_mul(1_000)),
        names: names(&certificate),
        fingerprint_sha256: Some(hex(&Sha256::digest(der))),
        ..CertificateAnswer::default()
    })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
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
        assert_eq!((told.version, told.fingerprint_sha256.as_ref().map(String::len)), (Some(3), Some(64)));
        assert!(told.not_before < told.not_after);
        let chain = Chain::read(std::slice::from_ref(signed.cert.der())).expect("a chain");
        assert_eq!(Some(chain.fingerprint.to_uppercase()), told.fingerprint_sha256);
        let serial = told.serial_number.expect("a number").to_lowercase();
        assert_eq!(chain.serial, serial.trim_start_matches("00"));
    }

    #[test]
    fn trust_lasts_as_long_as_the_way_that_lasts_longest() {
        let of = |year: i32| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::new(["shop.example".to_owned()]).expect("parameters");
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            params.self_signed(&key).expect("a certificate").der().clone()
        };
        let (own, old, middle, long) = (of(2040), of(2030), of(2035), of(2050));
        let until = |certificate: &CertificateDer<'_>| {
            Chain::read(std::slice::from_ref(certificate)).map(|chain| chain.expires_at)
        };
        let others = [long.clone(), middle.clone(), old.clone()];
        let lasts = |trusted: &dyn Fn(&[CertificateDer<'_>]) -> bool| trusted_until(&own, &others, trusted);
        assert_eq!(lasts(&|_| true), until(&own), "it needs none of them");
        assert_eq!(lasts(&|given| given.contains(&long)), until(&own));
        assert_eq!(lasts(&|given| given.contains(&old)), until(&old));
        // Two ways: over the one that expires first, and over the one after it.
        assert_eq!(lasts(&|given| given.contains(&old) || given.contains(&middle)), until(&middle));
        assert_eq!(lasts(&|given| given.contains(&old) && given.contains(&middle)), until(&old));
    }
}
