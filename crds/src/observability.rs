//! How the installation itself is watched.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How the installation itself is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observability {
    /// Tells the Prometheus operator to scrape every service.
    #[serde(default)]
    pub service_monitor: ServiceMonitor,
    /// Gives the Prometheus operator rules for the endpoints that have an objective (`slo`).
    #[serde(default)]
    pub prometheus_rule: PrometheusRule,
    /// Answers `/probe?target=…&module=…` as blackbox_exporter does.
    #[serde(default)]
    pub blackbox: Blackbox,
}

/// What checkers answer in blackbox_exporter's stead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blackbox {
    /// Whether the checkers' Service answers on port 9115. Whoever reaches it can make a checker ask public
    /// addresses, and private ones as far as `probeNetworks.allow` says.
    #[serde(default)]
    pub enabled: bool,
}

/// Rules by which Prometheus watches the error budgets of endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRule {
    /// Whether there are PrometheusRules; the cluster must know the kind.
    #[serde(default)]
    pub enabled: bool,
    /// Labels by which a Prometheus selects its rules, as in `release: prometheus`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(name, !name.startsWith('app.kubernetes.io/'))")
        .message("labels under app.kubernetes.io/ are the operator's"))]
    pub labels: BTreeMap<String, String>,
}

/// What the Prometheus operator is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitor {
    /// Whether there is a ServiceMonitor; the cluster must know the kind.
    #[serde(default)]
    pub enabled: bool,
    /// Time between two scrapes, as in `30s`.
    #[serde(default = "half_a_minute")]
    #[schemars(length(min = 2, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$')")
        .message("interval must be a duration as Prometheus writes it, for example 30s or 1m"))]
    pub interval: String,
    /// Labels by which a Prometheus selects its ServiceMonitors, as in `release: prometheus`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(name, !name.startsWith('app.kubernetes.io/'))")
        .message("labels under app.kubernetes.io/ are the operator's"))]
    pub labels: BTreeMap<String, String>,
}

impl Default for ServiceMonitor {
    fn default() -> Self {
        Self { enabled: false, interval: half_a_minute(), labels: BTreeMap::new() }
    }
}

fn half_a_minute() -> String {
    "30s".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    fn judged(monitor: Value) -> Result<ServiceMonitor, String> {
        let instance = testing::judged(json!({"observability": {"serviceMonitor": monitor}}))?;
        Ok(instance.spec.observability.service_monitor)
    }

    #[test]
    fn nothing_is_scraped_unless_it_is_asked_for() {
        assert_eq!(judged(json!({})).unwrap(), ServiceMonitor::default());
        assert!(judged(json!({"enabled": true})).unwrap().enabled);
    }

    #[test]
    fn an_interval_is_one_of_prometheus() {
        for bad in ["30", "s30", "half an hour", "1 m", "-1s", "30s1m"] {
            let error = judged(json!({ "interval": bad })).unwrap_err();
            assert!(error.contains("as Prometheus writes it"), "{bad}: {error}");
        }
        for good in ["30s", "1m30s", "500ms"] {
            judged(json!({ "interval": good })).unwrap();
        }
    }

    #[test]
    fn labels_do_not_replace_the_operators() {
        let error = judged(json!({"labels": {"app.kubernetes.io/instance": "x"}})).unwrap_err();
        assert!(error.contains("are the operator's"), "{error}");
        judged(json!({"labels": {"release": "prometheus"}})).unwrap();
    }
}
