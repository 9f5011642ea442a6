//! How the certificate of an instance's Ingress is: as cert-manager says where it makes it,
//! and else whether its Secret is there.
//!
//! For an Ingress with the issuer's annotation, cert-manager makes a Certificate named after
//! the Secret, with the Ingress's labels. Its Ready condition is the truth: while a certificate
//! is issued, or once it has expired, there may be a Secret that is worth nothing.

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use watchkeeper_crds::AnalyticsInstance;

use super::apply::Live;
use super::build::certificate_secret;
use crate::conditions::Finding;
use crate::context::{Context, Error};
use crate::foreign::{Certificate, CertificateCondition, ForeignKind};

const KIND: &str = "CertificateReady";

/// Finds out how the certificate is; nothing where none is asked for.
///
/// # Errors
/// What the API server says.
pub async fn observe(
    context: &Context,
    instance: &AnalyticsInstance,
    live: &Live,
) -> Result<Option<Finding>, Error> {
    let Some(name) = certificate_secret(&instance.name_any(), &instance.spec) else {
        return Ok(None);
    };
    let namespace = instance.namespace().unwrap_or_default();
    // Metadata only: whether a Secret is there needs no look at its key.
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let wanted = ListParams::default().fields(&format!("metadata.name={name},type=kubernetes.io/tls"));
    let there = !secrets.list_metadata(&wanted).await?.items.is_empty();
    let ingress = instance.spec.ingress.as_ref();
    let issued = ingress.and_then(|ingress| ingress.tls.as_ref()).is_some_and(|tls| tls.issuer_ref.is_some());
    if !issued {
        return Ok(Some(given(&name, there)));
    }
    if !live.served().contains(&ForeignKind::Certificate) {
        return Ok(Some(unmanaged(&name, there)));
    }
    let certificates: Api<Certificate> = Api::namespaced(context.client.clone(), &namespace);
    let certificate = match certificates.get_opt(&name).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Ok(Some(hidden(&name, there, &status.message)));
        }
        certificate => certificate?,
    };
    let host = ingress.map(|ingress| ingress.host.as_str()).unwrap_or_default();
    Ok(Some(managed(&name, host, certificate.as_ref(), there)))
}

fn no(reason: &str, message: impl Into<String>) -> Finding {
    Finding::new(KIND, false, reason, message)
}

/// A Secret that the spec names.
fn given(secret: &str, there: bool) -> Finding {
    if there {
        Finding::new(KIND, true, "Provided", format!("Secret {secret} holds the certificate"))
    } else {
        no(
            "CertificateMissing",
            format!(
                "Secret {secret} of type kubernetes.io/tls does not exist; create it, and this will go on by itself"
            ),
        )
    }
}

/// A Secret for which there is an issuer's name and no cert-manager.
fn unmanaged(secret: &str, there: bool) -> Finding {
    if there {
        // Left by a cert-manager of the past, or made by something else that knows its annotations.
        Finding::new(KIND, true, "Provided", format!("Secret {secret} holds the certificate"))
    } else {
        no("KindMissing", ForeignKind::Certificate.missing("spec.ingress.tls.issuerRef"))
    }
}

/// A Secret of a cert-manager that may not be asked.
fn hidden(secret: &str, there: bool, message: &str) -> Finding {
    if there {
        Finding::new(KIND, true, "Provided", format!("Secret {secret} holds a certificate; {message}"))
    } else {
        no("Forbidden", format!("the operator may not see how Certificate {secret} is: {message}"))
    }
}

/// What cert-manager says.
fn managed(name: &str, host: &str, certificate: Option<&Certificate>, there: bool) -> Finding {
    let Some(certificate) = certificate else {
        return no(
            "CertificateMissing",
            format!(
                "cert-manager has made no Certificate {name} for the Ingress yet; see the log of its controller"
            ),
        );
    };
    let spec = &certificate.spec;
    if spec.secret_name != name || !spec.dns_names.iter().any(|other| covers(other, host)) {
        return no(
            "CertificateOutdated",
            format!(
                "Certificate {name} is not for {host}; cert-manager updates it unless somebody else has made it"
            ),
        );
    }
    let status = certificate.status.clone().unwrap_or_default();
    let condition = |kind: &str| {
        status.conditions.iter().find(|condition| condition.kind == kind).filter(|condition| {
            let seen = condition.observed_generation;
            seen.zip(certificate.metadata.generation).is_none_or(|(seen, now)| seen >= now)
        })
    };
    match condition("Ready") {
        None => no("Pending", format!("cert-manager has not said yet how Certificate {name} is")),
        Some(ready) if ready.status == "True" && there => {
            let until =
                status.not_after.map(|time| format!("; it is valid until {time}")).unwrap_or_default();
            Finding::new(KIND, true, "Issued", format!("Secret {name} holds the certificate{until}"))
        }
        Some(ready) if ready.status == "True" => {
            no("CertificateMissing", format!("Secret {name} is gone; cert-manager makes it anew"))
        }
        Some(ready) => {
            let reason = if ready.reason.is_empty() { "NotReady" } else { &ready.reason };
            let issuer = issuer(certificate);
            no(reason, format!("Certificate {name}: {}", said(ready, condition("Issuing"), &issuer)))
        }
    }
}

/// Why there is no certificate: what the last attempt failed with says more than that there is none.
fn said(ready: &CertificateCondition, issuing: Option<&CertificateCondition>, issuer: &str) -> String {
    match issuing.filter(|issuing| issuing.status == "False" && !issuing.message.is_empty()) {
        Some(issuing) => format!("{}; {}", ready.message, issuing.message),
        // cert-manager waits in silence for an issuer that is not there.
        None => format!("{}; it is asked of {issuer}, which must exist and be ready", ready.message),
    }
}

/// Who is to issue a certificate, as `ClusterIssuer ca`.
fn issuer(certificate: &Certificate) -> String {
    let text = |key: &str| {
        let reference = certificate.spec.other.get("issuerRef")?;
        reference.get(key)?.as_str().filter(|text| !text.is_empty())
    };
    format!("{} {}", text("kind").unwrap_or("Issuer"), text("name").unwrap_or_default())
}

/// Whether a name of a certificate is good for a host.
fn covers(name: &str, host: &str) -> bool {
    let under = |name: &str| host.split_once('.').is_some_and(|(_, parent)| parent == name);
    name == host || name.strip_prefix("*.").is_some_and(under)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn certificate(conditions: &Value) -> Certificate {
        serde_json::from_value(json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": "shop-tls", "generation": 2},
            "spec": {"secretName": "shop-tls", "dnsNames": ["a.example"], "issuerRef": {"name": "ca"}},
            "status": {"notAfter": "2027-01-01T00:00:00Z", "conditions": conditions}}))
        .unwrap()
    }

    fn judged(conditions: &Value, there: bool) -> (bool, String, String) {
        let finding = managed("shop-tls", "a.example", Some(&certificate(conditions)), there);
        (finding.status, finding.reason, finding.message)
    }

    #[test]
    fn a_certificate_is_ready_when_cert_manager_says_so_and_its_secret_is_there() {
        let ready = json!([{"type": "Ready", "status": "True", "reason": "Ready", "observedGeneration": 2}]);
        let (status, reason, message) = judged(&ready, true);
        assert!(status && reason == "Issued" && message.contains("2027-01-01"), "{reason} {message}");
        assert_eq!(judged(&ready, false).1, "CertificateMissing");
    }

    #[test]
    fn what_cert_manager_says_is_passed_on() {
        let waiting = json!([
            {"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": "Issuing certificate as Secret does not exist", "observedGeneration": 2},
            {"type": "Issuing", "status": "False", "reason": "Failed", "message": "the issuer said no", "observedGeneration": 2}]);
        // A temporary certificate may lie in the Secret.
        let (status, reason, message) = judged(&waiting, true);
        assert!(!status);
        assert_eq!(reason, "DoesNotExist");
        assert!(message.contains("Secret does not exist; the issuer said no"), "{message}");
    }

    #[test]
    fn who_is_waited_for_is_named() {
        let waiting =
            json!([{"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": "None yet"}]);
        let (_, _, message) = judged(&waiting, false);
        assert!(message.contains("None yet; it is asked of Issuer ca"), "{message}");
    }

    #[test]
    fn what_was_said_of_an_older_spec_does_not_count() {
        let old = json!([{"type": "Ready", "status": "True", "observedGeneration": 1}]);
        assert_eq!(judged(&old, true).1, "Pending");
        assert_eq!(judged(&json!([]), true).1, "Pending");
        let ageless = json!([{"type": "Ready", "status": "True"}]);
        assert!(judged(&ageless, true).0);
    }

    #[test]
    fn a_certificate_for_another_host_is_none() {
        let ready = certificate(&json!([{"type": "Ready", "status": "True"}]));
        assert_eq!(managed("shop-tls", "b.example", Some(&ready), true).reason, "CertificateOutdated");
        assert_eq!(managed("other-tls", "a.example", Some(&ready), true).reason, "CertificateOutdated");
        assert_eq!(managed("shop-tls", "a.example", None, true).reason, "CertificateMissing");
        assert!(covers("*.example.com", "a.example.com"));
        assert!(!covers("*.example.com", "a.b.example.com"));
        assert!(!covers("*.example.com", "example.com"));
    }

    #[test]
    fn where_certificates_may_not_be_read_the_secret_alone_counts() {
        assert!(hidden("shop-tls", true, "not permitted").status);
        let finding = hidden("shop-tls", false, "not permitted");
        assert_eq!((finding.status, finding.reason.as_str()), (false, "Forbidden"));
        assert!(finding.message.ends_with("not permitted"), "{}", finding.message);
    }

    #[test]
    fn without_cert_manager_the_secret_alone_counts() {
        assert!(unmanaged("shop-tls", true).status);
        let missing = unmanaged("shop-tls", false);
        assert_eq!(missing.reason, "KindMissing");
        assert!(missing.message.contains("install cert-manager"), "{}", missing.message);
        assert!(given("mine", true).status);
        assert!(given("mine", false).message.contains("Secret mine"));
    }
}
