//! Services: what answers clients, and metrics of everything.

use k8s_openapi::api::core::v1::{Service as KubeService, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::METRICS_PORT;
use crate::analytics_instance::plan::{DATABASE_PORT, Database, Plan, Service};
use crate::labels;

pub fn build(plan: &Plan) -> Vec<KubeService> {
    let mut all: Vec<_> = Service::ALL.into_iter().map(|service| of_service(plan, service)).collect();
    if matches!(plan.database, Database::Managed { .. }) {
        all.push(of_database(plan));
    }
    all
}

fn of_service(plan: &Plan, service: Service) -> KubeService {
    let mut ports = Vec::new();
    if let Some((name, number)) = service.port(&plan.spec) {
        ports.push(port(name, number));
    }
    ports.push(port("metrics", METRICS_PORT));
    one(plan, service.name(), ServiceSpec { ports: Some(ports), ..ServiceSpec::default() })
}

fn of_database(plan: &Plan) -> KubeService {
    let spec = ServiceSpec {
        // Headless: its name is the pod's address, which is all that one pod needs.
        cluster_ip: Some("None".to_owned()),
        ports: Some(vec![port("postgres", DATABASE_PORT)]),
        ..ServiceSpec::default()
    };
    one(plan, "database", spec)
}

fn one(plan: &Plan, component: &str, spec: ServiceSpec) -> KubeService {
    KubeService {
        metadata: plan.meta(plan.child_name(component), component),
        spec: Some(ServiceSpec {
            selector: Some(labels::selector(&plan.name, component)),
            type_: Some("ClusterIP".to_owned()),
            ..spec
        }),
        ..KubeService::default()
    }
}

fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}
