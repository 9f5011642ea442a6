//! Endpoints that are made from annotated objects of other kinds.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durations::TimeSpan;

/// Makes MonitoredEndpoints from objects that carry the annotation `watchkeeper.dev/monitor: "true"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// Whether annotated objects are looked for. The operator's role must let it create and delete
    /// MonitoredEndpoints, which it does not by default: `rbac.discovery` of the chart.
    #[serde(default)]
    pub enabled: bool,
    /// Kinds of objects whose annotations count.
    #[serde(default = "Source::all")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub kinds: Vec<Source>,
    /// Namespaces that are looked in, among those that may attach endpoints; all of these when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")), extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Vec<String>,
    /// Time from one check to the next where no annotation says it.
    #[serde(default = "a_minute")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')")
        .message("interval must be at least 1s"))]
    pub interval: TimeSpan,
}

impl Default for Discovery {
    fn default() -> Self {
        Self { enabled: false, kinds: Source::all(), namespaces: Vec::new(), interval: a_minute() }
    }
}

fn a_minute() -> TimeSpan {
    TimeSpan::from_secs(60)
}

/// A kind of object that can ask to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Source {
    /// `networking.k8s.io/v1`.
    Ingress,
    /// `gateway.networking.k8s.io/v1`.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// `v1`.
    Service,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingress, Self::HttpRoute, Self::Service];

    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }

    /// The kind as Kubernetes calls it.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::HttpRoute => "HTTPRoute",
            Self::Service => "Service",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    fn judged(discovery: Value) -> Result<Discovery, String> {
        Ok(testing::judged(json!({"endpoints": {"discovery": discovery}}))?.spec.endpoints.discovery)
    }

    #[test]
    fn nothing_is_looked_for_unless_it_is_asked_for_and_then_all_kinds_are() {
        assert_eq!(testing::judged(json!({})).unwrap().spec.endpoints.discovery, Discovery::default());
        let found = judged(json!({"enabled": true})).unwrap();
        assert_eq!((found.enabled, found.kinds), (true, Source::ALL.to_vec()));
        assert!(!Discovery::default().enabled);
    }

    #[test]
    fn an_interval_is_at_least_a_second() {
        assert!(judged(json!({"interval": "500ms"})).unwrap_err().contains("at least 1s"));
        judged(json!({"interval": "1s"})).unwrap();
    }
}
