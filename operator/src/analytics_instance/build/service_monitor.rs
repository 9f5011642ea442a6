//! The ServiceMonitor: lets a Prometheus scrape every service of the instance.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::analytics_instance::plan::{Plan, Service};
use crate::foreign::{Relabeling, ScrapeEndpoint, ServiceMonitor, ServiceMonitorSpec};

const COMPONENT: &str = "app.kubernetes.io/component";
const INSTANCE: &str = "app.kubernetes.io/instance";

pub fn build(plan: &Plan) -> Option<ServiceMonitor> {
    let asked = &plan.spec.observability.service_monitor;
    if !asked.enabled {
        return None;
    }
    let mut metadata = plan.meta(plan.name.clone(), "metrics");
    // The schema keeps these away from the operator's own.
    metadata.labels.get_or_insert_default().extend(asked.labels.clone());
    Some(ServiceMonitor {
        metadata,
        spec: ServiceMonitorSpec {
            selector: LabelSelector {
                match_labels: Some(
                    [("app.kubernetes.io/name", "watchkeeper"), (INSTANCE, plan.name.as_str())]
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .into(),
                ),
                // The database has no metrics of ours.
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: COMPONENT.to_owned(),
                    operator: "In".to_owned(),
                    values: Some(Service::ALL.map(|service| service.name().to_owned()).to_vec()),
                }]),
            },
            endpoints: vec![ScrapeEndpoint {
                port: "metrics".to_owned(),
                path: "/metrics".to_owned(),
                interval: asked.interval.clone(),
                // The labels endpoint and namespace of probe_success are those of what is probed.
                honor_labels: true,
                // By this, alerts and dashboards tell one instance from another.
                relabelings: vec![Relabeling {
                    source_labels: vec![
                        "__meta_kubernetes_namespace".to_owned(),
                        "__meta_kubernetes_service_label_app_kubernetes_io_instance".to_owned(),
                    ],
                    separator: "/".to_owned(),
                    target_label: "installation".to_owned(),
                }],
            }],
        },
    })
}
