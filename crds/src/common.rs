//! Parts that both kinds, or several fields of one kind, share.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::autoscaling::{Autoscaling, Scaling};
use crate::schema;

/// One key of a Secret in the namespace of the object that refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Where a container image comes from. What is left out is the operator's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Registry and name, without a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub repository: Option<String>,
    /// Tag of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tag: Option<String>,
    /// When the kubelet pulls the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with registry credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::bare_list::<LocalObjectReference>")]
    pub pull_secrets: Vec<LocalObjectReference>,
}

/// When the kubelet pulls an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// The word Kubernetes uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How one service of the installation runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.replicas) || !has(self.autoscaling)")
        .message("set replicas or autoscaling, not both; when changing from one to the other, write the old one as null"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.resources) || (has(self.resources.requests) && 'cpu' in self.resources.requests) || (has(self.resources.limits) && 'cpu' in self.resources.limits)")
        .message("autoscaling needs a request for cpu in resources, of which it can count percent")
)]
pub struct Component {
    /// Number of pods; 1 when neither this nor autoscaling is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Lets the number of pods follow their load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// CPU and memory; small requests are set when this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bare::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that a node must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods accept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::bare_list::<Toleration>")]
    pub tolerations: Vec<Toleration>,
    /// Scheduling rules beyond the node selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bare::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// How pods spread; over nodes, where possible, when this is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::bare_list::<TopologySpreadConstraint>")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// A partial pod template (`metadata` and `spec`) laid over the built one: objects
    /// merge key by key, lists of named things by name, everything else is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::anything")]
    pub pod_template: Option<Map<String, Value>>,
}

impl Component {
    /// Who decides on the number of pods.
    #[must_use]
    pub fn scaling(&self) -> Scaling {
        match &self.autoscaling {
            Some(bounds) => Scaling::Between(bounds.min_replicas, bounds.max_replicas),
            None => Scaling::Fixed(self.replicas.unwrap_or(1)),
        }
    }
}

/// Something that is on unless it is turned off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Toggle {
    /// Whether it is on.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for Toggle {
    fn default() -> Self {
        Self { enabled: yes() }
    }
}

pub(crate) fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_a_component_has_its_default() {
        let component: Component = serde_json::from_str("{}").unwrap();
        assert_eq!(component, Component::default());
        assert_eq!(component.scaling(), Scaling::Fixed(1));
    }

    #[test]
    fn a_toggle_is_on_unless_turned_off() {
        assert!(serde_json::from_str::<Toggle>("{}").unwrap().enabled);
        assert!(!serde_json::from_str::<Toggle>(r#"{"enabled":false}"#).unwrap().enabled);
    }
}
