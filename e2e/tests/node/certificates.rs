//! Certificates that cert-manager's own controllers issue for an Ingress.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use watchkeeper_crds::AnalyticsInstance;
use watchkeeper_e2e::kinds;
use watchkeeper_testkit::paths;
use watchkeeper_testkit::process::{Daemon, Spec};
use watchkeeper_testkit::rundir::RunDir;

use crate::harness::World;

const HOST: &str = "stats.example.com";

/// A namespace in a cluster with cert-manager, which sees all of them.
async fn world(name: &str) -> Result<World> {
    static CERT_MANAGER: OnceCell<(Daemon, RunDir)> = OnceCell::const_new();
    let world = World::new(name).await?;
    let start = async || {
        kinds::install(&world.cluster, "cert-manager")?;
        let directory = RunDir::new("cert-manager")?;
        let program = paths::built("cert-manager")?.join("cert-manager");
        let daemon = Spec::new("cert-manager", program, directory.path().join("log"))
            .arg("--kubeconfig")
            .arg(world.cluster.kubeconfig())
            .spawn()?;
        Ok::<_, anyhow::Error>((daemon, directory))
    };
    CERT_MANAGER.get_or_try_init(start).await?;
    Ok(world)
}

/// An issuer that signs with the key of an authority, which has signed itself.
fn authority(name: &str) -> Value {
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let root = format!("{name}-root");
    json!({"apiVersion": "v1", "kind": "List", "items": [
        object("Issuer", &root, json!({"selfSigned": {}})),
        object("Certificate", &root, json!({
            "isCA": true, "commonName": "an authority of a test", "secretName": root,
            "privateKey": {"algorithm": "ECDSA", "size": 256},
            "issuerRef": {"name": root, "kind": "Issuer", "group": "cert-manager.io"}})),
        object("Issuer", name, json!({"ca": {"secretName": root}})),
    ]})
}

fn secured(issuer: &str) -> Value {
    json!({"ingress": {"host": HOST, "tls": {"issuerRef": {"kind": "Issuer", "name": issuer}}}})
}

/// What the condition says.
fn message(instance: &AnalyticsInstance) -> String {
    let mut conditions = instance.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.find(|condition| condition.type_ == "CertificateReady");
    found.map(|condition| condition.message.clone()).unwrap_or_default()
}

/// The chain of a PEM file, the server's own certificate first.
fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?)
}

/// What a client that trusts `roots` finds of a server of that name with that chain.
fn judge(roots: &str, presented: &[CertificateDer<'_>], host: &'static str) -> Result<Result<(), Error>> {
    let mut store = RootCertStore::empty();
    for root in chain(roots)? {
        store.add(root)?;
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(default_provider())).build()?;
    let (first, others) = presented.split_first().context("no certificate")?;
    let name = ServerName::try_from(host)?;
    Ok(verifier.verify_server_cert(first, others, &name, &[], UnixTime::now()).map(drop))
}

#[tokio::test]
async fn an_ingress_gets_a_certificate_for_its_host_that_chains_to_the_issuer() {
    let world = world("certificates").await.unwrap();
    world.apply(&authority("ca")).unwrap();
    let shop = world.declare("shop", secured("ca")).unwrap();

    let instance = shop.condition("CertificateReady", "True").await.unwrap();
    assert!(message(&instance).contains("shop-tls"), "{}", message(&instance));
    shop.ready().await.unwrap();

    let root = world.secret("ca-root", "tls.crt").await.unwrap();
    let presented = chain(&world.secret("shop-tls", "tls.crt").await.unwrap()).unwrap();
    judge(&root, &presented, HOST).unwrap().unwrap();
    let error = judge(&root, &presented, "other.example.com").unwrap().unwrap_err();
    let other = Error::InvalidCertificate(CertificateError::NotValidForName);
    assert!(error == other || error.to_string().contains("not valid for name"), "{error}");
    let key = world.secret("shop-tls", "tls.key").await.unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    CertifiedKey::from_der(presented, key, &default_provider()).unwrap().keys_match().unwrap();

    let url = instance.status.unwrap_or_default().url;
    assert_eq!(url, Some(format!("https://{HOST}")));
}

#[tokio::test]
async fn a_certificate_waits_for_an_issuer_that_is_not_there_yet_and_follows_it() {
    let world = world("issuer").await.unwrap();
    let shop = world.declare("shop", secured("late")).unwrap();
    let waiting = world.until("the message names the issuer", async || {
        let instance = shop.condition("CertificateReady", "False").await?;
        let message = message(&instance);
        Ok(message.contains("Issuer late").then_some(message))
    });
    println!("{}", waiting.await.unwrap());

    world.apply(&authority("late")).unwrap();
    shop.condition("CertificateReady", "True").await.unwrap();
    shop.ready().await.unwrap();
}
