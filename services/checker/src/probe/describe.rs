//! Errors of the HTTP client in plain words. The client's own texts carry
//! whole URLs, with whatever secret is in them, so none is passed on.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::guard::Denied;

/// Longest text taken over from a library.
const MAX_FOREIGN: usize = 160;

/// What went wrong, as the endpoint's owner can understand it.
pub(super) fn describe(error: &reqwest::Error) -> String {
    if let Some(denied) = find::<Denied>(error) {
        return denied.to_string();
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return describe_tls(tls);
    }
    if error.is_dns() {
        return "the name cannot be resolved".into();
    }
    if let Some(kind) = io_kind(error) {
        match kind {
            io::ErrorKind::ConnectionRefused => return "connection refused".into(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                return "the server reset the connection".into();
            }
            io::ErrorKind::HostUnreachable => return "the host cannot be reached".into(),
            io::ErrorKind::NetworkUnreachable => return "the network cannot be reached".into(),
            io::ErrorKind::TimedOut => return "the connection timed out".into(),
            io::ErrorKind::UnexpectedEof => {
                return "the server closed the connection too early".into();
            }
            _ => {}
        }
    }
    if error.is_timeout() {
        return "the connection timed out".into();
    }
    let what = if error.is_connect() { "cannot connect" } else { "no valid answer" };
    format!("{what}: {}", shorten(&root(error).to_string()))
}

fn describe_tls(error: &rustls::Error) -> String {
    let why = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name"
            }
            CertificateError::UnknownIssuer => "the certificate's issuer is not trusted",
            CertificateError::Revoked => "the certificate is revoked",
            CertificateError::BadSignature => "the certificate's signature is wrong",
            _ => "the certificate is not acceptable",
        },
        rustls::Error::InvalidMessage(_) => "the server does not answer with TLS",
        rustls::Error::AlertReceived(_) => "the server refused the handshake",
        rustls::Error::PeerIncompatible(_) => "the server and we share no TLS version or cipher",
        _ => "the handshake failed",
    };
    format!("TLS: {why}")
}

/// The first error of type `T` in the chain. I/O errors hide what they wrap
/// from `source`, so they are opened as well.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    find::<io::Error>(error).map(io::Error::kind)
}

fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_FOREIGN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_faults_are_told_apart() {
        let told = |fault| describe_tls(&rustls::Error::InvalidCertificate(fault));
        assert_eq!(told(CertificateError::Expired), "TLS: the certificate has expired");
        assert_eq!(told(CertificateError::UnknownIssuer), "TLS: the certificate's issuer is not trusted");
        assert_eq!(told(CertificateError::NotValidForName), "TLS: the certificate is for another name");
    }

    #[test]
    fn errors_inside_io_errors_are_found() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert!(find::<rustls::Error>(&outer).is_some());
    }

    #[test]
    fn foreign_texts_are_cut_inside_no_character() {
        assert!(shorten(&"é".repeat(200)).len() <= MAX_FOREIGN);
    }
}
