//! NetworkPolicies: in only on the ports that serve, out only to the database and DNS.
//! The checker alone may reach everything, for that is its work.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::backup;
use super::pod::METRICS_PORT;
use crate::analytics_instance::plan::{DATABASE_PORT, Database, Plan, Service};
use crate::labels;

pub fn build(plan: &Plan) -> Vec<NetworkPolicy> {
    if !plan.spec.network_policy.enabled {
        return Vec::new();
    }
    let mut all: Vec<_> = Service::ALL.into_iter().map(|service| of_service(plan, service)).collect();
    if matches!(plan.database, Database::Managed { .. }) {
        all.push(of_database(plan));
    }
    if backup::of(plan).is_some() {
        // Nobody calls it.
        all.push(policy(plan, backup::COMPONENT, Vec::new(), vec![to_database(plan), to_dns()]));
    }
    all
}

fn of_service(plan: &Plan, service: Service) -> NetworkPolicy {
    let served = service.port(&plan.spec).map(|(_, number)| number);
    let ports = served.into_iter().chain([METRICS_PORT]).map(tcp).collect();
    let ingress =
        vec![NetworkPolicyIngressRule { ports: Some(ports), ..NetworkPolicyIngressRule::default() }];
    let egress = match service {
        Service::Checker => vec![NetworkPolicyEgressRule::default()],
        Service::Logger | Service::Api => vec![to_database(plan), to_dns()],
    };
    let egress = match plan.spec.reverse_dns.port().filter(|_| service == Service::Logger) {
        Some(number) => egress.into_iter().chain([to_dns_at(number.into())]).collect(),
        None => egress,
    };
    policy(plan, service.name(), ingress, egress)
}

fn of_database(plan: &Plan) -> NetworkPolicy {
    let backup = backup::of(plan).map(|_| backup::COMPONENT);
    let clients = Service::ALL.map(Service::name).into_iter().chain(backup).map(str::to_owned).collect();
    let clients = LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "app.kubernetes.io/component".to_owned(),
            operator: "In".to_owned(),
            values: Some(clients),
        }]),
        match_labels: Some(
            [
                ("app.kubernetes.io/name".to_owned(), "watchkeeper".to_owned()),
                ("app.kubernetes.io/instance".to_owned(), plan.name.clone()),
            ]
            .into(),
        ),
    };
    let ingress = vec![NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer { pod_selector: Some(clients), ..NetworkPolicyPeer::default() }]),
        ports: Some(vec![tcp(DATABASE_PORT)]),
    }];
    policy(plan, "database", ingress, Vec::new())
}

fn to_database(plan: &Plan) -> NetworkPolicyEgressRule {
    match &plan.database {
        Database::Managed { .. } => NetworkPolicyEgressRule {
            to: Some(vec![NetworkPolicyPeer {
                pod_selector: Some(LabelSelector {
                    match_labels: Some(labels::selector(&plan.name, "database")),
                    ..LabelSelector::default()
                }),
                ..NetworkPolicyPeer::default()
            }]),
            ports: Some(vec![tcp(DATABASE_PORT)]),
        },
        // A policy knows no host names, so only the port can be named.
        Database::External { port, .. } => {
            NetworkPolicyEgressRule { ports: Some(vec![tcp(*port)]), ..NetworkPolicyEgressRule::default() }
        }
    }
}

fn to_dns() -> NetworkPolicyEgressRule {
    to_dns_at(53)
}

fn to_dns_at(number: i32) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        ports: Some(vec![port("UDP", number), port("TCP", number)]),
        ..NetworkPolicyEgressRule::default()
    }
}

fn policy(
    plan: &Plan,
    component: &str,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: plan.meta(plan.child_name(component), component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(labels::selector(&plan.name, component)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress),
            egress: Some(egress),
        }),
    }
}

fn tcp(number: i32) -> NetworkPolicyPort {
    port("TCP", number)
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        ..NetworkPolicyPort::default()
    }
}
