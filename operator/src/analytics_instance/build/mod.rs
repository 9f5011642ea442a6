//! Phase 3: makes every child object out of a plan. Pure: the same plan gives the same
//! objects, and nothing here can reach a cluster.

mod config_map;
mod database;
mod deployment;
mod disruption_budget;
mod ingress;
mod network_policy;
mod overrides;
mod pod;
mod secret;
mod service;
mod service_account;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service as KubeService, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::diff::hash;
use super::plan::{Plan, Service};
use crate::context::Error;

pub use database::claim_name;
pub use ingress::{certificate_secret, url};

/// Every child object of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Children {
    /// One for each service and the database.
    pub service_accounts: Vec<ServiceAccount>,
    /// Configuration of the services.
    pub config_map: ConfigMap,
    /// Administrator's token, database credentials, keys of projects.
    pub secrets: Vec<Secret>,
    /// One for each service and the database, unless turned off.
    pub network_policies: Vec<NetworkPolicy>,
    /// One for each service and the database.
    pub services: Vec<KubeService>,
    /// The managed database.
    pub database: Option<StatefulSet>,
    /// Logger, API, checker.
    pub deployments: Vec<Deployment>,
    /// One for each service, unless turned off.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// The way in, if asked for.
    pub ingress: Option<Ingress>,
}

/// Makes all children of an instance.
///
/// # Errors
/// [`Error::InvalidSpec`] when a pod template cannot be laid over the built one.
pub fn build(plan: &Plan) -> Result<Children, Error> {
    let config_map = config_map::build(plan);
    // Pods read both only when they start, so they must start again when these change.
    let config_hash = hash(&format!("{:?}\n{}", config_map.data, plan.secrets_hash));
    let deployments = Service::ALL
        .into_iter()
        .map(|service| deployment::build(plan, service, &config_hash))
        .collect::<Result<_, _>>()?;
    Ok(Children {
        service_accounts: service_account::build(plan),
        config_map,
        secrets: secret::build(plan),
        network_policies: network_policy::build(plan),
        services: service::build(plan),
        database: database::build(plan),
        deployments,
        disruption_budgets: disruption_budget::build(plan),
        ingress: ingress::build(plan),
    })
}

#[cfg(test)]
mod tests;
