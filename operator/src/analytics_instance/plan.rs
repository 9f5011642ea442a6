//! Everything that `build` needs to know, and nothing that could change under its hands.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use watchkeeper_crds::analytics_instance::{AnalyticsInstanceSpec, ManagedDatabase, ProjectSettings};
use watchkeeper_crds::backup::Restore;
use watchkeeper_crds::{Component, SecretKeyRef};

use super::objectives::Objective;
use crate::labels;

/// User and name of the managed database.
pub const DATABASE_USER: &str = "watchkeeper";
/// Port of Postgres.
pub const DATABASE_PORT: i32 = 5432;
/// Key of a generated administrator's token.
pub const ADMIN_KEY: &str = "token";
/// Key of what is hashed with every secret.
pub const SALT_KEY: &str = "salt";
/// Key of a project's key.
pub const PROJECT_KEY: &str = "api-key";

/// The three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Takes hits.
    Logger,
    /// Answers.
    Api,
    /// Probes.
    Checker,
}

impl Service {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 3] = [Self::Logger, Self::Api, Self::Checker];

    /// Its name in commands, labels and object names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logger => "logger",
            Self::Api => "api",
            Self::Checker => "checker",
        }
    }

    /// What a spec says about it.
    #[must_use]
    pub fn component(self, spec: &AnalyticsInstanceSpec) -> &Component {
        match self {
            Self::Logger => &spec.logger,
            Self::Api => &spec.api,
            Self::Checker => &spec.checker,
        }
    }

    /// The port on which it serves others than the cluster's machinery, and its name, if it does.
    #[must_use]
    pub fn port(self, spec: &AnalyticsInstanceSpec) -> Option<(&'static str, i32)> {
        match self {
            Self::Logger => Some(("http", 8000)),
            Self::Api => Some(("http", 3000)),
            Self::Checker => spec.observability.blackbox.enabled.then_some(("blackbox", 9115)),
        }
    }
}

/// A container image with everything decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Repository and tag.
    pub reference: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: Option<String>,
    /// Names of Secrets with registry credentials.
    pub pull_secrets: Vec<String>,
}

/// Where the administrator's token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// A Secret of ours.
    Generated {
        /// The token.
        token: String,
    },
    /// A Secret of the user's.
    Existing(SecretKeyRef),
}

/// Where data lives.
#[derive(Debug, Clone, PartialEq)]
pub enum Database {
    /// A Postgres of ours.
    Managed {
        /// What the spec says.
        spec: Box<ManagedDatabase>,
        /// Its image.
        image: Image,
        /// The password, of characters that mean nothing in URLs, SQL and files.
        password: String,
        /// The copy that it is still to be made from.
        restore: Option<Restore>,
    },
    /// A Postgres of the user's.
    External {
        /// Where its URL is.
        url: SecretKeyRef,
        /// Where the certificate of its authority is.
        ca: Option<SecretKeyRef>,
        /// The port that its URL names.
        port: i32,
    },
}

/// A project and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectKey {
    /// Name of the project.
    pub name: String,
    /// Name of the Secret that holds the key.
    pub secret: String,
    /// The key, a UUID.
    pub key: String,
    /// What the project wants, where the spec says it.
    pub settings: Option<ProjectSettings>,
}

/// One instance, with everything that it refers to.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the instance.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// What the spec says.
    pub spec: AnalyticsInstanceSpec,
    /// Image of the services.
    pub image: Image,
    /// Where data lives.
    pub database: Database,
    /// Where the administrator's token comes from.
    pub admin: Admin,
    /// Projects and their keys.
    pub projects: Vec<ProjectKey>,
    /// Endpoints that have an objective, in order.
    pub objectives: Vec<Objective>,
    /// What keeps a hash of a secret from being tried out by guessing: random, and itself a secret.
    pub salt: String,
    /// Hash of what is secret about the way to the database.
    pub database_hash: String,
    /// Hash of the administrator's token.
    pub admin_hash: String,
    /// Hash of the website's secret; empty without one.
    pub site_hash: String,
}

impl Plan {
    /// What the spec says about a service.
    #[must_use]
    pub fn component(&self, service: Service) -> &Component {
        service.component(&self.spec)
    }

    /// `<instance>-<part>`.
    #[must_use]
    pub fn child_name(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// Metadata of a child: name, namespace, labels, owner.
    #[must_use]
    pub fn meta(&self, name: String, component: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels::object(&self.name, component)),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{}/{}", watchkeeper_crds::GROUP, watchkeeper_crds::VERSION),
                kind: "AnalyticsInstance".to_owned(),
                name: self.name.clone(),
                uid: self.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }

    /// Where the Secret key with the database's URL is.
    #[must_use]
    pub fn database_url(&self) -> SecretKeyRef {
        match &self.database {
            Database::Managed { .. } => {
                SecretKeyRef { name: self.child_name("database"), key: "url".to_owned() }
            }
            Database::External { url, .. } => url.clone(),
        }
    }

    /// Where the Secret key with the administrator's token is.
    #[must_use]
    pub fn admin_secret(&self) -> SecretKeyRef {
        match &self.admin {
            Admin::Generated { .. } => {
                SecretKeyRef { name: self.child_name("admin"), key: ADMIN_KEY.to_owned() }
            }
            Admin::Existing(reference) => reference.clone(),
        }
    }
}

/// Name of the Secret that holds what is hashed with every secret.
#[must_use]
pub fn salt_secret(instance: &str) -> String {
    format!("{instance}-salt")
}

/// Where the administrator's token of an instance is, by its spec alone.
#[must_use]
pub fn admin_secret_of(name: &str, spec: &AnalyticsInstanceSpec) -> SecretKeyRef {
    spec.access
        .admin_secret_ref
        .clone()
        .unwrap_or_else(|| SecretKeyRef { name: format!("{name}-admin"), key: ADMIN_KEY.to_owned() })
}
