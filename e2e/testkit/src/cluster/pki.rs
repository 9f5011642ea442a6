//! Certificates and keys of a control plane: made anew for each, worth nothing anywhere else.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

const NAMES: [&str; 5] =
    ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// The name in the certificate of [`Pki::proxy_client`], who may speak for others.
pub const PROXY: &str = "front-proxy-client";

/// Files in PEM form.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The certificate that clients trust.
    pub ca: PathBuf,
    /// The API server's certificate.
    pub server: PathBuf,
    /// The API server's private key.
    pub server_key: PathBuf,
    /// The certificate by which a kubelet knows the API server.
    pub kubelet_client: PathBuf,
    /// Its private key.
    pub kubelet_client_key: PathBuf,
    /// The certificate by which an extension of the API knows the API server.
    pub proxy_client: PathBuf,
    /// Its private key.
    pub proxy_client_key: PathBuf,
    /// The private key that service account tokens are signed with.
    pub service_account_key: PathBuf,
    /// The public key that they are checked with.
    pub service_account_public_key: PathBuf,
}

impl Pki {
    /// Makes them in `directory`, for an API server that is reached at `addresses` too.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn create(directory: &Path, addresses: &[Ipv4Addr]) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "watchkeeper test cluster");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;

        let issuer = Issuer::new(ca, ca_key);
        let server_key = KeyPair::generate()?;
        let names =
            NAMES.iter().map(|&name| name.to_owned()).chain(addresses.iter().map(Ipv4Addr::to_string));
        let mut server = CertificateParams::new(names.collect::<Vec<_>>())?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let server_certificate = server.signed_by(&server_key, &issuer)?;

        let client = |name: &str, group: Option<&str>| -> Result<(String, String)> {
            let key = KeyPair::generate()?;
            let mut client = CertificateParams::default();
            client.distinguished_name.push(DnType::CommonName, name);
            if let Some(group) = group {
                client.distinguished_name.push(DnType::OrganizationName, group);
            }
            client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            Ok((client.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
        };
        let (kubelet_client, kubelet_client_key) =
            client("kube-apiserver-kubelet-client", Some("system:masters"))?;
        let (proxy_client, proxy_client_key) = client(PROXY, None)?;

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
            kubelet_client: write("kubelet-client.crt", kubelet_client)?,
            kubelet_client_key: write("kubelet-client.key", kubelet_client_key)?,
            proxy_client: write("proxy-client.crt", proxy_client)?,
            proxy_client_key: write("proxy-client.key", proxy_client_key)?,
            service_account_key: write("service-account.key", service_account.serialize_pem())?,
            service_account_public_key: write("service-account.pub", service_account.public_key_pem())?,
        })
    }
}
