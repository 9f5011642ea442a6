//! PodDisruptionBudgets: a drain takes one pod of a service at a time. A single replica
//! may go too: a budget that forbids it would only keep nodes from being drained.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::analytics_instance::plan::{Plan, Service};
use crate::labels;

pub fn build(plan: &Plan) -> Vec<PodDisruptionBudget> {
    if !plan.spec.pod_disruption_budget.enabled {
        return Vec::new();
    }
    Service::ALL
        .into_iter()
        .map(|service| PodDisruptionBudget {
            metadata: plan.meta(plan.child_name(service.name()), service.name()),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(LabelSelector {
                    match_labels: Some(labels::selector(&plan.name, service.name())),
                    ..LabelSelector::default()
                }),
                // A pod that is not ready serves nobody and must not hold up a drain.
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        })
        .collect()
}
