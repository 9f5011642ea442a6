//! How the number of a service's pods follows its load.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Bounds for the number of pods, and what moves it between them. In the words of
/// HorizontalPodAutoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("minReplicas must not be more than maxReplicas"))]
pub struct Autoscaling {
    /// Pods that there are at least.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Pods that there are at most.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// CPU that a pod uses on average, in percent of what it requests.
    #[serde(default = "eighty", rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: i32,
}

fn one() -> i32 {
    1
}

fn eighty() -> i32 {
    80
}

/// Who decides on a number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// The spec: so many, always.
    Fixed(i32),
    /// An autoscaler, between these two.
    Between(i32, i32),
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::judged;

    #[test]
    fn what_is_left_out_is_as_an_autoscaler_has_it() {
        let scaling: Autoscaling = serde_json::from_value(json!({"maxReplicas": 5})).unwrap();
        assert_eq!((scaling.min_replicas, scaling.target_cpu_utilization_percentage), (1, 80));
        let text = serde_json::to_value(&scaling).unwrap();
        assert_eq!(text["targetCPUUtilizationPercentage"], 80);
    }

    #[test]
    fn logger_and_api_can_be_autoscaled() {
        for service in ["logger", "api"] {
            let spec = json!({service: {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}});
            let instance = judged(spec).unwrap();
            let component = if service == "api" { instance.spec.api } else { instance.spec.logger };
            assert_eq!(component.scaling(), Scaling::Between(2, 5));
        }
        assert_eq!(judged(json!({"api": {"replicas": 3}})).unwrap().spec.api.scaling(), Scaling::Fixed(3));
        assert_eq!(judged(json!({})).unwrap().spec.api.scaling(), Scaling::Fixed(1));
    }

    #[test]
    fn a_number_of_pods_has_one_master() {
        let error = judged(json!({"api": {"replicas": 1, "autoscaling": {"maxReplicas": 5}}})).unwrap_err();
        assert!(error.contains("set replicas or autoscaling, not both"), "{error}");
    }

    #[test]
    fn the_checker_is_not_autoscaled() {
        let error = judged(json!({"checker": {"autoscaling": {"maxReplicas": 5}}})).unwrap_err();
        assert!(error.contains("its load is the number of endpoints"), "{error}");
    }

    #[test]
    fn the_bounds_are_in_order() {
        let spec = json!({"api": {"autoscaling": {"minReplicas": 6, "maxReplicas": 5}}});
        assert!(judged(spec).unwrap_err().contains("minReplicas must not be more"));
        judged(json!({"api": {"autoscaling": {"minReplicas": 5, "maxReplicas": 5}}})).unwrap();
    }

    #[test]
    fn a_percentage_of_nothing_is_refused() {
        let with = |resources: Value| {
            judged(json!({"api": {"autoscaling": {"maxReplicas": 5}, "resources": resources}}))
        };
        for bad in [json!({}), json!({"requests": {"memory": "1Gi"}}), json!({"limits": {"memory": "1Gi"}})] {
            assert!(with(bad).unwrap_err().contains("needs a request for cpu"));
        }
        with(json!({"requests": {"cpu": "1"}})).unwrap();
        // A limit without a request is the request.
        with(json!({"limits": {"cpu": "1"}})).unwrap();
    }
}
