//! The kinds of child objects and the one order in which they are applied.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::Value;

use super::build::{Children, SloRules};
use super::diff::hash;
use crate::context::Error;
use crate::foreign::{ForeignKind, HTTPRoute, PrometheusRule, ServiceMonitor};

/// A kind of child object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// Identity of pods, with no permission at all.
    ServiceAccount,
    /// Configuration that is not secret.
    ConfigMap,
    /// Configuration that is.
    Secret,
    /// Which traffic may pass.
    NetworkPolicy,
    /// Names and ports of services.
    Service,
    /// The database.
    StatefulSet,
    /// The services.
    Deployment,
    /// How many pods of a service there are; after the services, which must leave it that.
    HorizontalPodAutoscaler,
    /// What disruptions must leave.
    PodDisruptionBudget,
    /// The way in.
    Ingress,
    /// The way in through a Gateway.
    HttpRoute,
    /// Who scrapes metrics.
    ServiceMonitor,
    /// What Prometheus watches of endpoints that have an objective.
    PrometheusRule,
    /// Copies of the database.
    CronJob,
}

impl ChildKind {
    /// All kinds, in the order in which they are applied.
    pub const ALL: [Self; 14] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Secret,
        Self::NetworkPolicy,
        Self::Service,
        Self::StatefulSet,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::Ingress,
        Self::HttpRoute,
        Self::ServiceMonitor,
        Self::PrometheusRule,
        Self::CronJob,
    ];

    /// The kind as Kubernetes calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Service => "Service",
            Self::StatefulSet => "StatefulSet",
            Self::Deployment => "Deployment",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Ingress => "Ingress",
            Self::HttpRoute => ForeignKind::HttpRoute.name(),
            Self::ServiceMonitor => ForeignKind::ServiceMonitor.name(),
            Self::PrometheusRule => ForeignKind::PrometheusRule.name(),
            Self::CronJob => "CronJob",
        }
    }

    /// Whether every instance has the same objects of this kind at all times, so that none is
    /// ever left over.
    #[must_use]
    pub fn always_there(self) -> bool {
        matches!(self, Self::ConfigMap | Self::Deployment)
    }

    /// Whether everything that an instance needs in order to answer is there without it.
    #[must_use]
    pub fn optional(self) -> bool {
        self > Self::Deployment
    }

    /// Whether its objects may be so many and so large that they are not to be held all at once.
    #[must_use]
    pub fn is_large(self) -> bool {
        self == Self::PrometheusRule
    }

    /// Whether it lets clients in from outside; an instance has one such object at most.
    #[must_use]
    pub fn is_way_in(self) -> bool {
        matches!(self, Self::Ingress | Self::HttpRoute)
    }

    /// What it is to a cluster that may not know it; nothing for kinds of Kubernetes itself.
    #[must_use]
    pub fn foreign(self) -> Option<ForeignKind> {
        match self {
            Self::HttpRoute => Some(ForeignKind::HttpRoute),
            Self::ServiceMonitor => Some(ForeignKind::ServiceMonitor),
            Self::PrometheusRule => Some(ForeignKind::PrometheusRule),
            _ => None,
        }
    }

    /// Group, version and resource.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Ingress => ApiResource::erase::<Ingress>(&()),
            Self::HttpRoute => ApiResource::erase::<HTTPRoute>(&()),
            Self::ServiceMonitor => ApiResource::erase::<ServiceMonitor>(&()),
            Self::PrometheusRule => ApiResource::erase::<PrometheusRule>(&()),
            Self::CronJob => ApiResource::erase::<CronJob>(&()),
        }
    }

    /// The API of this kind in a namespace.
    #[must_use]
    pub fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource())
    }
}

/// One child object as it is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// The object; null where `rules` has what it is made of.
    pub object: Value,
    /// What a PrometheusRule is made of.
    pub rules: Option<SloRules>,
}

impl Child {
    /// The whole object.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which only a mistake here can cause.
    pub fn whole(&self) -> Result<Value, Error> {
        self.rules.as_ref().map_or_else(|| Ok(self.object.clone()), |rules| to_value(&rules.write()))
    }

    /// A hash of all that rules are made of, which differs whenever the object that this program makes of
    /// them does; nothing where the object itself is at hand.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        self.rules.as_ref().map(|rules| hash(&format!("{rules:?}")))
    }
}

impl Children {
    /// All children in the order in which they are applied: what pods need comes
    /// before the pods.
    ///
    /// # Errors
    /// When an object cannot be written as JSON, which only a mistake here can cause.
    pub fn in_order(self) -> Result<Vec<Child>, Error> {
        // Without `..`: a new child does not compile until it is applied, and
        // everything that is applied is of a kind that is pruned and watched.
        let Self {
            service_accounts,
            config_map,
            secrets,
            network_policies,
            services,
            database,
            deployments,
            autoscalers,
            disruption_budgets,
            ingress,
            route,
            service_monitor,
            slo_rules,
            backup,
        } = self;
        let mut all = Vec::new();
        add(&mut all, ChildKind::ServiceAccount, service_accounts)?;
        add(&mut all, ChildKind::ConfigMap, [config_map])?;
        add(&mut all, ChildKind::Secret, secrets)?;
        add(&mut all, ChildKind::NetworkPolicy, network_policies)?;
        add(&mut all, ChildKind::Service, services)?;
        add(&mut all, ChildKind::StatefulSet, database)?;
        add(&mut all, ChildKind::Deployment, deployments)?;
        add(&mut all, ChildKind::HorizontalPodAutoscaler, autoscalers)?;
        add(&mut all, ChildKind::PodDisruptionBudget, disruption_budgets)?;
        add(&mut all, ChildKind::Ingress, ingress)?;
        add(&mut all, ChildKind::HttpRoute, route)?;
        add(&mut all, ChildKind::ServiceMonitor, service_monitor)?;
        all.extend(slo_rules.into_iter().map(|rules| Child {
            kind: ChildKind::PrometheusRule,
            name: rules.metadata.name.clone().unwrap_or_default(),
            object: Value::Null,
            rules: Some(rules),
        }));
        add(&mut all, ChildKind::CronJob, backup)?;
        Ok(all)
    }
}

fn add<K>(all: &mut Vec<Child>, kind: ChildKind, objects: impl IntoIterator<Item = K>) -> Result<(), Error>
where
    K: Resource + Serialize,
{
    for object in objects {
        all.push(Child {
            kind,
            name: object.meta().name.clone().unwrap_or_default(),
            object: to_value(&object)?,
            rules: None,
        });
    }
    Ok(())
}

fn to_value(object: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(|error| Error::InvalidSpec(error.to_string()))
}
