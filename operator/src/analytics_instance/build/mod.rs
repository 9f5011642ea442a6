//! Phase 3: makes every child object out of a plan. Pure: the same plan gives the same
//! objects, and nothing here can reach a cluster.

mod autoscaler;
mod backup;
mod config_map;
mod database;
mod deployment;
mod disruption_budget;
mod ingress;
mod network_policy;
mod overrides;
mod pod;
mod route;
mod secret;
mod service;
mod service_account;
mod service_monitor;
mod slo;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service as KubeService, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::diff::hash;
use super::plan::{Plan, Service};
use crate::context::Error;
use crate::foreign::{HTTPRoute, ServiceMonitor};

pub use backup::{BACKUP_SCRIPT, COMPONENT as BACKUP, RESTORE, RESTORE_SCRIPT, backup_claim, backup_name};
pub use database::{ADOPT_SCRIPT, claim_name};
pub use ingress::{certificate_secret, url};
pub use slo::{SloRules, rules as slo_rules};

/// Every child object of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Children {
    /// One for each service and the database.
    pub service_accounts: Vec<ServiceAccount>,
    /// Configuration of the services.
    pub config_map: ConfigMap,
    /// Administrator's token, database credentials, keys of projects, what hashes begin with.
    pub secrets: Vec<Secret>,
    /// One for each service and the database, unless turned off.
    pub network_policies: Vec<NetworkPolicy>,
    /// One for each service and the database.
    pub services: Vec<KubeService>,
    /// The managed database.
    pub database: Option<StatefulSet>,
    /// Logger, API, checker.
    pub deployments: Vec<Deployment>,
    /// One for each service that is autoscaled.
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    /// One for each service, unless turned off.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// The way in, if asked for.
    pub ingress: Option<Ingress>,
    /// The way in through a Gateway, if asked for.
    pub route: Option<HTTPRoute>,
    /// Who scrapes metrics, if asked for.
    pub service_monitor: Option<ServiceMonitor>,
    /// Rules for the endpoints that have an objective, if asked for.
    pub slo_rules: Vec<SloRules>,
    /// What makes copies of the managed database, if asked for.
    pub backup: Option<CronJob>,
}

/// Makes all children of an instance.
///
/// # Errors
/// [`Error::InvalidSpec`] when a pod template cannot be laid over the built one.
pub fn build(plan: &Plan) -> Result<Children, Error> {
    let config_map = config_map::build(plan);
    // Pods read these only when they start, so they must start again when they change; a service that
    // does not read something has no reason to.
    let config_hash = |service| {
        let admin = if service == Service::Api { plan.admin_hash.as_str() } else { "" };
        let site = if service == Service::Checker { "" } else { plan.site_hash.as_str() };
        hash(&format!("{:?}\n{}\n{admin}{site}", config_map.data, plan.database_hash))
    };
    let deployments = Service::ALL
        .into_iter()
        .map(|service| deployment::build(plan, service, &config_hash(service)))
        .collect::<Result<_, _>>()?;
    Ok(Children {
        service_accounts: service_account::build(plan),
        config_map,
        secrets: secret::build(plan),
        network_policies: network_policy::build(plan),
        services: service::build(plan),
        database: database::build(plan),
        deployments,
        autoscalers: autoscaler::build(plan),
        disruption_budgets: disruption_budget::build(plan),
        ingress: ingress::build(plan),
        route: route::build(plan),
        service_monitor: service_monitor::build(plan),
        slo_rules: slo::build(plan),
        backup: backup::build(plan),
    })
}

#[cfg(test)]
mod backup_tests;
#[cfg(test)]
mod tests;
