//! The Ingress: the write path's paths to the logger, all else to the API.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress as KubeIngress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};
use watchkeeper_crds::analytics_instance::{AnalyticsInstanceSpec, Ingress, IssuerKind};

use crate::analytics_instance::plan::{Plan, Service};

/// What the logger takes. `/api/requests` is exact, for what lies below it is the API's.
pub const LOGGER_PATHS: [(&str, &str); 5] = [
    ("/api/log-request", "Prefix"),
    ("/api/requests", "Exact"),
    ("/api/v1/traffic", "Prefix"),
    ("/v1/logs", "Exact"),
    ("/v1/traces", "Exact"),
];

/// Name of the Secret with the certificate of an instance's Ingress, if it has one.
#[must_use]
pub fn certificate_secret(name: &str, spec: &AnalyticsInstanceSpec) -> Option<String> {
    let tls = spec.ingress.as_ref()?.tls.as_ref()?;
    Some(tls.secret_name.clone().unwrap_or_else(|| format!("{name}-tls")))
}

/// Where people find an instance: its Ingress, its first host name behind a Gateway, or else its Service.
#[must_use]
pub fn url(name: &str, namespace: &str, spec: &AnalyticsInstanceSpec) -> String {
    let service = || format!("http://{name}-api.{namespace}.svc:3000");
    match (&spec.ingress, &spec.gateway) {
        (Some(Ingress { host, tls: Some(_), .. }), _) => format!("https://{host}"),
        (Some(Ingress { host, tls: None, .. }), _) => format!("http://{host}"),
        (None, Some(gateway)) => gateway
            .hostnames
            .iter()
            // A name with a star is nowhere to go to.
            .find(|host| !host.starts_with('*'))
            .map_or_else(service, |host| format!("{}://{host}", gateway.protocol.scheme())),
        (None, None) => service(),
    }
}

pub fn build(plan: &Plan) -> Option<KubeIngress> {
    let ingress = plan.spec.ingress.as_ref()?;
    let mut metadata = plan.meta(plan.name.clone(), "ingress");
    let mut annotations = ingress.annotations.clone();
    if let Some(issuer) = ingress.tls.as_ref().and_then(|tls| tls.issuer_ref.as_ref()) {
        let key = match issuer.kind {
            IssuerKind::Issuer => "cert-manager.io/issuer",
            IssuerKind::ClusterIssuer => "cert-manager.io/cluster-issuer",
        };
        annotations.insert(key.to_owned(), issuer.name.clone());
    }
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    let paths = LOGGER_PATHS
        .into_iter()
        .map(|(path, kind)| path_to(plan, path, kind, Service::Logger))
        .chain([path_to(plan, "/", "Prefix", Service::Api)])
        .collect();
    Some(KubeIngress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: ingress.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: Some(ingress.host.clone()),
                http: Some(HTTPIngressRuleValue { paths }),
            }]),
            tls: certificate_secret(&plan.name, &plan.spec).map(|secret| {
                vec![IngressTLS { hosts: Some(vec![ingress.host.clone()]), secret_name: Some(secret) }]
            }),
            ..IngressSpec::default()
        }),
        ..KubeIngress::default()
    })
}

fn path_to(plan: &Plan, path: &str, kind: &str, service: Service) -> HTTPIngressPath {
    HTTPIngressPath {
        path: Some(path.to_owned()),
        path_type: kind.to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: plan.child_name(service.name()),
                port: Some(ServiceBackendPort {
                    name: Some("http".to_owned()),
                    ..ServiceBackendPort::default()
                }),
            }),
            ..IngressBackend::default()
        },
    }
}
