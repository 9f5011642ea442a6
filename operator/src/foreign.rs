//! Kinds of other projects, as far as the operator writes or reads them. A cluster may
//! know them or not, and may come to know them at any time.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind that a cluster need not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ForeignKind {
    /// Of the Gateway API.
    HttpRoute,
    /// Of the Prometheus operator.
    ServiceMonitor,
    /// Of the Prometheus operator too.
    PrometheusRule,
    /// Of cert-manager.
    Certificate,
}

impl ForeignKind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::HttpRoute, Self::ServiceMonitor, Self::PrometheusRule, Self::Certificate];

    /// The kind as its project calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpRoute => "HTTPRoute",
            Self::ServiceMonitor => "ServiceMonitor",
            Self::PrometheusRule => "PrometheusRule",
            Self::Certificate => "Certificate",
        }
    }

    /// Group and version.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::HttpRoute => "gateway.networking.k8s.io/v1",
            Self::ServiceMonitor | Self::PrometheusRule => "monitoring.coreos.com/v1",
            Self::Certificate => "cert-manager.io/v1",
        }
    }

    /// The project that brings it.
    #[must_use]
    pub fn project(self) -> &'static str {
        match self {
            Self::HttpRoute => "the Gateway API",
            Self::ServiceMonitor | Self::PrometheusRule => "the Prometheus operator",
            Self::Certificate => "cert-manager",
        }
    }

    /// A sentence for people whose cluster does not know the kind that a field needs.
    #[must_use]
    pub fn missing(self, field: &str) -> String {
        format!(
            "{field} needs the kind {} of {}, which this cluster does not serve; install {}, and this will go on by itself",
            self.name(),
            self.api_version(),
            self.project()
        )
    }
}

/// What an HTTPRoute says.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    plural = "httproutes",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRouteSpec {
    /// Gateways that take the traffic in.
    pub parent_refs: Vec<watchkeeper_crds::gateway::ParentRef>,
    /// Host names; those of the listeners when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// What goes where.
    pub rules: Vec<RouteRule>,
}

/// Requests, and where they go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Any of these.
    pub matches: Vec<RouteMatch>,
    /// To these.
    pub backend_refs: Vec<BackendRef>,
}

/// What a request looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteMatch {
    /// Its path.
    pub path: PathMatch,
}

/// What a path looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathMatch {
    /// `Exact` or `PathPrefix`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The path.
    pub value: String,
}

/// A Service of the same namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendRef {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: i32,
}

/// What a ServiceMonitor says.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    plural = "servicemonitors",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitorSpec {
    /// Which Services.
    pub selector: LabelSelector,
    /// Which of their ports, and how.
    pub endpoints: Vec<ScrapeEndpoint>,
}

/// How a port is scraped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrapeEndpoint {
    /// Name of the port.
    pub port: String,
    /// Path of the metrics.
    pub path: String,
    /// Time between two scrapes.
    pub interval: String,
    /// Whether a metric's own labels go before those of the target.
    pub honor_labels: bool,
    /// Labels that its metrics get.
    pub relabelings: Vec<Relabeling>,
}

/// A label made of others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relabeling {
    /// Of these.
    pub source_labels: Vec<String>,
    /// Joined by this.
    pub separator: String,
    /// The label.
    pub target_label: String,
}

/// What a PrometheusRule says.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PrometheusRule",
    plural = "prometheusrules",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
pub struct PrometheusRuleSpec {
    /// Rules in groups, each evaluated in order.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleGroup {
    /// Its name, unique within the object.
    pub name: String,
    /// Time between two evaluations; Prometheus' own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// A rule that records, or one that alerts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Name of the series that it records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Name of the alert that it raises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The expression.
    pub expr: String,
    /// Labels of what comes of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the alert says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a Certificate asks for.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "Certificate",
    plural = "certificates",
    namespaced,
    schema = "disabled",
    status = "CertificateStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// Secret that receives the certificate.
    #[serde(default)]
    pub secret_name: String,
    /// Names that it is valid for.
    #[serde(default)]
    pub dns_names: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What cert-manager says of a Certificate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Ready and Issuing.
    #[serde(default)]
    pub conditions: Vec<CertificateCondition>,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// A condition of a Certificate; unlike those of Kubernetes it may be without reason and message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateCondition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    #[serde(default)]
    pub reason: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
    /// Generation of the spec that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

#[cfg(test)]
mod tests {
    use kube::Resource;

    use super::*;

    #[test]
    fn names_and_versions_are_those_of_the_types() {
        for kind in ForeignKind::ALL {
            let (name, version) = match kind {
                ForeignKind::HttpRoute => (HTTPRoute::kind(&()), HTTPRoute::api_version(&())),
                ForeignKind::ServiceMonitor => (ServiceMonitor::kind(&()), ServiceMonitor::api_version(&())),
                ForeignKind::PrometheusRule => (PrometheusRule::kind(&()), PrometheusRule::api_version(&())),
                ForeignKind::Certificate => (Certificate::kind(&()), Certificate::api_version(&())),
            };
            assert_eq!((kind.name(), kind.api_version()), (&*name, &*version));
        }
    }
}
