//! Certificates and keys of a control plane: made anew for each, worth nothing anywhere else.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

const NAMES: [&str; 6] = [
    "localhost",
    "127.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    // The first address of the range that services get theirs from.
    "10.96.0.1",
];

/// Files in PEM form.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The certificate that clients trust.
    pub ca: PathBuf,
    /// The API server's certificate.
    pub server: PathBuf,
    /// The API server's private key.
    pub server_key: PathBuf,
    /// The private key that service account tokens are signed with.
    pub service_account_key: PathBuf,
    /// The public key that they are checked with.
    pub service_account_public_key: PathBuf,
}

impl Pki {
    /// Makes them in `directory`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn create(directory: &Path) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "watchkeeper test cluster");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;

        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let server_certificate = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;

        let service_account = KeyPair::generate()?;

        let write = |name: &str, text: String| -> Result<PathBuf> {
            let path = directory.join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Self {
            ca: write("ca.crt", ca_certificate.pem())?,
            server: write("apiserver.crt", server_certificate.pem())?,
            server_key: write("apiserver.key", server_key.serialize_pem())?,
            service_account_key: write("service-account.key", service_account.serialize_pem())?,
            service_account_public_key: write("service-account.pub", service_account.public_key_pem())?,
        })
    }
}
