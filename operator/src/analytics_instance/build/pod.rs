//! What all pods have in common: nothing that the restricted pod security standard
//! forbids, and an even spread.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, LocalObjectReference,
    PodSecurityContext, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::analytics_instance::plan::{Image, Plan};
use crate::labels;

/// Port of metrics and health, everywhere.
pub const METRICS_PORT: i32 = 9090;

pub fn pod_security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

pub fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

/// A container with an image and a security context.
pub fn container(name: &str, image: &Image) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.reference.clone()),
        image_pull_policy: image.pull_policy.clone(),
        security_context: Some(container_security()),
        ..Container::default()
    }
}

pub fn pull_secrets(image: &Image) -> Option<Vec<LocalObjectReference>> {
    (!image.pull_secrets.is_empty())
        .then(|| image.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect())
}

/// What was asked for, or small requests and a bound on memory.
pub fn resources(
    asked: Option<&ResourceRequirements>,
    cpu: &str,
    memory: &str,
    limit: &str,
) -> ResourceRequirements {
    asked.cloned().unwrap_or_else(|| ResourceRequirements {
        requests: Some([("cpu", cpu), ("memory", memory)].map(quantity).into()),
        limits: Some([("memory", limit)].map(quantity).into()),
        ..ResourceRequirements::default()
    })
}

fn quantity((name, amount): (&str, &str)) -> (String, Quantity) {
    (name.to_owned(), Quantity(amount.to_owned()))
}

pub fn http_probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

pub fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// A directory to write to, which ends with the pod.
pub fn scratch(name: &str, limit: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(limit.to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

pub fn mount_read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}

/// What was asked for, or spread over nodes where there is a choice.
pub fn spread(
    plan: &Plan,
    component: &str,
    asked: &[TopologySpreadConstraint],
) -> Vec<TopologySpreadConstraint> {
    if !asked.is_empty() {
        // The labels are the operator's business, so a constraint that names none means this component's pods.
        let own = LabelSelector {
            match_labels: Some(labels::selector(&plan.name, component)),
            ..LabelSelector::default()
        };
        let or_own = |asked: &TopologySpreadConstraint| TopologySpreadConstraint {
            label_selector: asked.label_selector.clone().or_else(|| Some(own.clone())),
            ..asked.clone()
        };
        return asked.iter().map(or_own).collect();
    }
    vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(labels::selector(&plan.name, component)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }]
}
