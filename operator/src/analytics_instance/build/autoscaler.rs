//! HorizontalPodAutoscalers of the services whose number of pods follows their load.

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
};

use crate::analytics_instance::plan::{Plan, Service};

pub fn build(plan: &Plan) -> Vec<HorizontalPodAutoscaler> {
    Service::ALL.into_iter().filter_map(|service| of_service(plan, service)).collect()
}

fn of_service(plan: &Plan, service: Service) -> Option<HorizontalPodAutoscaler> {
    let bounds = plan.component(service).autoscaling.as_ref()?;
    let name = plan.child_name(service.name());
    Some(HorizontalPodAutoscaler {
        metadata: plan.meta(name.clone(), service.name()),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name,
            },
            min_replicas: Some(bounds.min_replicas),
            max_replicas: bounds.max_replicas,
            metrics: Some(vec![MetricSpec {
                type_: "ContainerResource".to_owned(),
                // Of our container alone: a sidecar may have no request to count percent of.
                container_resource: Some(ContainerResourceMetricSource {
                    container: service.name().to_owned(),
                    name: "cpu".to_owned(),
                    target: MetricTarget {
                        type_: "Utilization".to_owned(),
                        average_utilization: Some(bounds.target_cpu_utilization_percentage),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            ..HorizontalPodAutoscalerSpec::default()
        }),
        ..HorizontalPodAutoscaler::default()
    })
}
