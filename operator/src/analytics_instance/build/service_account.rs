//! ServiceAccounts: a name for each pod, and nothing that it may do.

use k8s_openapi::api::core::v1::{LocalObjectReference, ServiceAccount};

use super::backup;
use crate::analytics_instance::plan::{Database, Plan, Service};

pub fn build(plan: &Plan) -> Vec<ServiceAccount> {
    let mut all: Vec<_> =
        Service::ALL.into_iter().map(|service| one(plan, service.name(), &plan.image.pull_secrets)).collect();
    if let Database::Managed { image, .. } = &plan.database {
        all.push(one(plan, "database", &image.pull_secrets));
    }
    if let Some((_, image)) = backup::of(plan) {
        all.push(one(plan, backup::COMPONENT, &image.pull_secrets));
    }
    all
}

fn one(plan: &Plan, component: &str, pull_secrets: &[String]) -> ServiceAccount {
    ServiceAccount {
        metadata: plan.meta(plan.child_name(component), component),
        automount_service_account_token: Some(false),
        image_pull_secrets: (!pull_secrets.is_empty())
            .then(|| pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect()),
        ..ServiceAccount::default()
    }
}
