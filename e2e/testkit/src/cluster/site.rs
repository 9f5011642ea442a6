//! Where a control plane lives: on the loopback interface, or in a network namespace with a node.

use std::net::Ipv4Addr;

use super::network::Network;

/// Addresses of a control plane, and who may ask it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where clients reach the API server.
    pub address: Ipv4Addr,
    /// The network namespace that its programs run in, unless it is the machine's own.
    pub namespace: Option<String>,
    /// The range of Services, as `10.96.0.0/16`.
    pub services: String,
    /// The first address of that range, which is the API server's Service.
    pub first_service: Ipv4Addr,
    /// More of those who may ask, with their groups.
    pub accounts: Vec<Account>,
}

/// Somebody whom the API server knows by a token.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// The name of their kubeconfig in the cluster's directory, without `.kubeconfig`.
    pub file: &'static str,
    /// Who they are.
    pub user: &'static str,
    /// What they are in; may be empty.
    pub group: &'static str,
}

impl Site {
    /// A control plane without a node.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            namespace: None,
            services: "10.96.0.0/16".into(),
            first_service: Ipv4Addr::new(10, 96, 0, 1),
            accounts: Vec::new(),
        }
    }

    /// A control plane beside a node.
    #[must_use]
    pub fn of_network(network: &Network, accounts: &[Account]) -> Self {
        Self {
            address: network.node,
            namespace: Some(network.name.clone()),
            services: network.services(),
            first_service: network.service(1),
            accounts: accounts.to_vec(),
        }
    }
}
