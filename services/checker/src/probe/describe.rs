//! Errors of libraries in plain words. Their own texts may carry what a stranger
//! sent, so they are cut short, and none carries a URL.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Longest text taken over from a library.
const MAX_FOREIGN: usize = 160;

/// What went wrong while HTTP was spoken.
pub(super) fn describe_http(error: &hyper::Error) -> String {
    if let Some(tls) = find::<rustls::Error>(error) {
        return describe_tls(tls);
    }
    if error.is_parse_too_large() {
        return "the answer's head is too large".into();
    }
    if error.is_parse() {
        return "the answer is not valid HTTP".into();
    }
    if error.is_incomplete_message() {
        return "the server closed the connection too early".into();
    }
    if let Some(io) = find::<io::Error>(error) {
        return describe_io(io);
    }
    format!("no valid answer: {}", shorten(&root(error).to_string()))
}

/// What went wrong with a connection.
pub(super) fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            "the server reset the connection".into()
        }
        io::ErrorKind::HostUnreachable => "the host cannot be reached".into(),
        io::ErrorKind::NetworkUnreachable => "the network cannot be reached".into(),
        io::ErrorKind::TimedOut => "the connection timed out".into(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection too early".into(),
        _ => match find::<rustls::Error>(error) {
            Some(tls) => describe_tls(tls),
            None => format!("cannot connect: {}", shorten(&root(error).to_string())),
        },
    }
}

/// What went wrong with a handshake.
pub(super) fn describe_tls_io(error: &io::Error) -> String {
    match find::<rustls::Error>(error) {
        Some(tls) => describe_tls(tls),
        None => format!("TLS: {}", describe_io(error)),
    }
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

fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// Cuts a text that is not ours.
pub(super) fn shorten(text: &str) -> &str {
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
