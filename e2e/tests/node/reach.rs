//! Who may open a connection to whom, as the API reference of NetworkPolicy says it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

type Labels = BTreeMap<String, String>;

/// One end of a connection: a pod, or an address that is no pod's.
#[derive(Debug, Clone)]
pub struct End {
    pub name: String,
    pub address: Ipv4Addr,
    pub pod: Option<Pod>,
}

/// What decides on connections in a cluster.
#[derive(Debug, Default)]
pub struct Policies {
    pub all: Vec<NetworkPolicy>,
    /// The labels of each namespace.
    pub namespaces: BTreeMap<String, Labels>,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Ingress,
    Egress,
}

impl Policies {
    /// Whether a connection is let out of where it begins and into where it ends.
    pub fn allow(&self, from: &End, to: &End, protocol: &str, port: u16) -> bool {
        self.one_side(Direction::Egress, from, to, to, protocol, port)
            && self.one_side(Direction::Ingress, to, from, to, protocol, port)
    }

    /// What the policies of `own` say about a connection with `other`. Without any it is free.
    fn one_side(
        &self,
        direction: Direction,
        own: &End,
        other: &End,
        server: &End,
        protocol: &str,
        port: u16,
    ) -> bool {
        let Some(pod) = &own.pod else { return true };
        let concerned = |policy: &&NetworkPolicy| {
            let spec = policy.spec.as_ref();
            policy.namespace() == pod.namespace()
                && spec.is_some_and(|spec| {
                    has(spec, direction)
                        && spec.pod_selector.as_ref().is_none_or(|wanted| selects(wanted, pod.labels()))
                })
        };
        let mut concerned = self.all.iter().filter(concerned).peekable();
        concerned.peek().is_none()
            || concerned.any(|policy| {
                rules(policy, direction).into_iter().any(|(peers, ports)| {
                    (peers.is_empty() || peers.iter().any(|peer| self.is_peer(policy, peer, other)))
                        && (ports.is_empty()
                            || ports.iter().any(|wanted| is_port(wanted, server, protocol, port)))
                })
            })
    }

    fn is_peer(&self, policy: &NetworkPolicy, peer: &NetworkPolicyPeer, end: &End) -> bool {
        if let Some(block) = &peer.ip_block {
            return in_block(block, end.address);
        }
        let Some(pod) = &end.pod else { return false };
        let namespace = pod.namespace().unwrap_or_default();
        let there = match &peer.namespace_selector {
            Some(wanted) => self.namespaces.get(&namespace).is_some_and(|labels| selects(wanted, labels)),
            None => policy.namespace() == pod.namespace(),
        };
        there && peer.pod_selector.as_ref().is_none_or(|wanted| selects(wanted, pod.labels()))
    }
}

fn has(spec: &NetworkPolicySpec, direction: Direction) -> bool {
    let types = spec.policy_types.clone().unwrap_or_default();
    match direction {
        Direction::Ingress => types.is_empty() || types.iter().any(|kind| kind == "Ingress"),
        Direction::Egress if types.is_empty() => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        Direction::Egress => types.iter().any(|kind| kind == "Egress"),
    }
}

/// Peers and ports of each rule; an empty list is everything.
fn rules(
    policy: &NetworkPolicy,
    direction: Direction,
) -> Vec<(Vec<NetworkPolicyPeer>, Vec<NetworkPolicyPort>)> {
    let Some(spec) = policy.spec.clone() else { return Vec::new() };
    match direction {
        Direction::Ingress => {
            let rules = spec.ingress.unwrap_or_default().into_iter();
            rules.map(|rule| (rule.from.unwrap_or_default(), rule.ports.unwrap_or_default())).collect()
        }
        Direction::Egress => {
            let rules = spec.egress.unwrap_or_default().into_iter();
            rules.map(|rule| (rule.to.unwrap_or_default(), rule.ports.unwrap_or_default())).collect()
        }
    }
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    exact
        && selector.match_expressions.iter().flatten().all(|wanted| {
            let value = labels.get(&wanted.key);
            let listed =
                value.is_some_and(|value| wanted.values.iter().flatten().any(|other| other == value));
            match wanted.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => panic!("no operator {other}"),
            }
        })
}

fn is_port(wanted: &NetworkPolicyPort, server: &End, protocol: &str, port: u16) -> bool {
    let port = i32::from(port);
    wanted.protocol.as_deref().unwrap_or("TCP") == protocol
        && match &wanted.port {
            None => true,
            Some(IntOrString::Int(first)) => (*first..=wanted.end_port.unwrap_or(*first)).contains(&port),
            Some(IntOrString::String(name)) => {
                let containers =
                    server.pod.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(|spec| &spec.containers);
                let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
                ports.any(|own| own.name.as_ref() == Some(name) && own.container_port == port)
            }
        }
}

fn in_block(block: &IPBlock, address: Ipv4Addr) -> bool {
    let within = |block: &str| {
        let (network, bits) = block.split_once('/').expect("a CIDR");
        let network: Ipv4Addr = network.parse().expect("an address");
        let bits: u32 = bits.parse().expect("a number of bits");
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or_default();
        u32::from(network) & mask == u32::from(address) & mask
    };
    within(&block.cidr) && !block.except.iter().flatten().any(|except| within(except))
}
