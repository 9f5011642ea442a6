//! The condition of a certificate that cert-manager makes, against the definition that it publishes.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_crds::AnalyticsInstance;
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_operator::foreign::Certificate;
use watchkeeper_testkit::wait::until_async;

use crate::harness::{SOON, World, reason};

/// Says what cert-manager would, of the Certificate's spec as it is.
async fn say(certificates: &Api<DynamicObject>, status: &str, why: &str, message: &str) -> Result<()> {
    let generation = certificates.get("shop-tls").await?.metadata.generation;
    let patch = Patch::Merge(json!({"status": {"notAfter": "2030-01-01T00:00:00Z", "conditions": [
        {"type": "Ready", "status": status, "reason": why, "message": message, "observedGeneration": generation}]}}));
    certificates.patch_status("shop-tls", &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Waits until the condition has a reason.
async fn reported(world: &World, wanted: &str) -> Result<(AnalyticsInstance, String)> {
    until_async(&format!("CertificateReady says {wanted}"), SOON, async || {
        let instance = world.instances().get("shop").await?;
        let found = reason(&instance, "CertificateReady").ok().filter(|(reason, _)| reason == wanted);
        Ok(found.map(|(_, message)| (instance, message)))
    })
    .await
}

#[tokio::test]
async fn a_certificate_is_as_cert_manager_says() -> Result<()> {
    let world = World::new("certificate").await?;
    let operator = world.operator().await?;
    let tls = json!({"issuerRef": {"kind": "ClusterIssuer", "name": "ca"}});
    world.instance("shop", json!({"ingress": {"host": "stats.example.com", "tls": tls}})).await?;
    world.ready("shop").await?;
    reported(&world, "CertificateMissing").await?;
    let ingress = world.children(ChildKind::Ingress).get("shop").await?;
    ensure!(ingress.annotations().get("cert-manager.io/cluster-issuer").map(String::as_str) == Some("ca"));

    // As cert-manager makes it for an Ingress: named after the Secret, with the Ingress's labels.
    let resource = ApiResource::erase::<Certificate>(&());
    let certificates: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let certificate: Value = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"name": "shop-tls", "labels": ingress.labels(), "ownerReferences": [
            {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "shop",
                "uid": ingress.uid().context("no uid")?, "controller": true}]},
        "spec": {"secretName": "shop-tls", "dnsNames": ["stats.example.com"],
            "issuerRef": {"kind": "ClusterIssuer", "name": "ca"}}});
    certificates.create(&PostParams::default(), &serde_json::from_value(certificate)?).await?;
    reported(&world, "Pending").await?;
    say(&certificates, "False", "DoesNotExist", "Issuing certificate as Secret does not exist").await?;
    let (_, message) = reported(&world, "DoesNotExist").await?;
    ensure!(message.contains("Issuing certificate as Secret does not exist"), "{message}");

    let secret: Secret = serde_json::from_value(
        json!({"metadata": {"name": "shop-tls"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": "-----BEGIN CERTIFICATE-----", "tls.key": "-----BEGIN PRIVATE KEY-----"}}),
    )?;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    secrets.create(&PostParams::default(), &secret).await?;
    say(&certificates, "True", "Ready", "Certificate is up to date and has not expired").await?;
    let (_, message) = reported(&world, "Issued").await?;
    ensure!(message.contains("2030-01-01"), "{message}");
    world.condition("shop", "CertificateReady", "True").await?;
    say(&certificates, "False", "Expired", "Certificate expired").await?;
    reported(&world, "Expired").await?;

    // The old certificate is none for a new host.
    say(&certificates, "True", "Ready", "Certificate is up to date and has not expired").await?;
    world.condition("shop", "CertificateReady", "True").await?;
    world.change("shop", json!({"ingress": {"host": "hits.example.com"}})).await?;
    let (instance, _) = reported(&world, "CertificateOutdated").await?;
    ensure!(instance.status.unwrap_or_default().url.as_deref() == Some("https://hits.example.com"));
    operator.stop(&world).await
}
