//! What every reconcile shares.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use watchkeeper_crds::SecretKeyRef;

use crate::admissions::Admissions;
use crate::analytics_instance::applied::Applied;
use crate::discovery::Discovery;
use crate::events::Events;
use crate::gate::{Gate, GateError};
use crate::metrics::Metrics;
use crate::monitored_endpoint::link::Links;
use crate::monitored_endpoint::push::ApiError;
use crate::retry::Retries;
use crate::served::ServedKinds;
use crate::status_patch::Written;
use crate::stores::Stores;

/// What can be chosen when the operator starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Image of the services where an instance names none.
    pub image: String,
    /// Image of a managed database where an instance names none.
    pub postgres_image: String,
    /// Where an instance's API answers, with `{name}` and `{namespace}` to fill in; its
    /// Service when left out.
    pub api_url: Option<String>,
    /// Time between two full comparisons with an instance's API, with jitter.
    pub api_resync: Duration,
    /// Age after which the newest check in an endpoint's status is refreshed, with jitter.
    pub heartbeat: Duration,
    /// How long a dead API may hold up the deletion of an endpoint.
    pub deletion_grace: Duration,
    /// Time between two looks at which kinds of other projects the cluster serves, with jitter.
    pub served_refresh: Duration,
    /// Time between two looks at the labels of namespaces by which instances let endpoints in, with jitter.
    pub namespace_refresh: Duration,
    /// How long everything waits at the start for namespaces that cannot be read.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: concat!("watchkeeper:", env!("CARGO_PKG_VERSION")).to_owned(),
            postgres_image: "postgres:17".to_owned(),
            api_url: None,
            api_resync: Duration::from_secs(300),
            heartbeat: Duration::from_secs(900),
            deletion_grace: Duration::from_secs(60),
            served_refresh: Duration::from_secs(30),
            namespace_refresh: Duration::from_secs(60),
            patience: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Where the API of an instance answers.
    #[must_use]
    pub fn api_url(&self, namespace: &str, name: &str) -> String {
        match &self.api_url {
            Some(template) => template.replace("{name}", name).replace("{namespace}", namespace),
            None => format!("http://{name}-api.{namespace}.svc:3000"),
        }
    }
}

/// What every reconcile shares.
pub struct Context {
    /// Talks to the API server.
    pub client: Client,
    /// Open while this process leads.
    pub gate: Gate,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Writes Events.
    pub events: Events,
    /// What was chosen at the start.
    pub settings: Settings,
    /// Knows which kinds of other projects the cluster serves.
    pub served: ServedKinds,
    /// What is looked for among objects of other kinds.
    pub discovery: Discovery,
    /// Which namespaces are let in by their labels.
    pub admissions: Admissions,
    /// All instances and endpoints that are known.
    pub stores: Stores,
    /// Large children that are as they should be.
    pub applied: Applied,
    /// Status that was written and has not come back yet.
    pub written: Written,
    /// Failures in a row, by object.
    pub retries: Retries,
    /// Connections to the APIs of instances.
    pub links: Arc<Links>,
}

/// Why a reconcile did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This process does not lead (any more); the leader will do it.
    #[error("this process does not lead")]
    Standby,
    /// The API server said no or nothing.
    #[error("the API server: {0}")]
    Kube(kube::Error),
    /// The API server refused one child object.
    #[error("{kind} {name} was not accepted: {message}")]
    Apply {
        /// Kind of the child.
        kind: &'static str,
        /// Name of the child.
        name: String,
        /// What the API server said.
        message: String,
        /// Whether it would say the same of the same object again.
        hopeless: bool,
    },
    /// A kind that only some instances use may not be read or written.
    #[error(
        "the operator is not permitted to use the kind {kind}, which this instance needs: {message}; bring the operator's role up to date, and this will go on by itself"
    )]
    Forbidden {
        /// The kind.
        kind: &'static str,
        /// What the API server said.
        message: String,
    },
    /// An object of a child's name belongs to somebody else.
    #[error(
        "{kind} {name} exists and is not part of this instance; rename the instance or remove that object"
    )]
    NameTaken {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
    /// An object of a child's name is on its way out.
    #[error("{kind} {name} of before is still going; when it has gone, this will go on by itself")]
    NameLeaving {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
    /// A Secret that the spec refers to is not there.
    #[error("Secret {name} has no key {key}; create it, and this will go on by itself")]
    SecretMissing {
        /// Name of the Secret.
        name: String,
        /// Key that is needed.
        key: String,
    },
    /// The storage class does not let the volume grow.
    #[error("the volume {claim} cannot grow: {message}")]
    StorageNotExpandable {
        /// Name of the volume claim.
        claim: String,
        /// What the API server said.
        message: String,
    },
    /// The claim of the copies is not as the spec has it, and cannot become so.
    #[error("{0}")]
    ClaimDiffers(String),
    /// The claim that holds what is to be restored is not there.
    #[error(
        "spec.database.managed.restore: there is no volume claim {0} in this namespace to restore from; create it, and this will go on by itself"
    )]
    ClaimMissing(String),
    /// A claim is on its way out, and one of its name is needed.
    #[error("the volume claim {0} is being deleted; when it has gone, this will go on by itself")]
    ClaimLeaving(String),
    /// The spec passed the schema and still makes no sense.
    #[error("{0}")]
    InvalidSpec(String),
    /// The API of the instance said no or nothing.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Error {
    /// One word for conditions and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Standby => "Standby",
            Self::Kube(_) => "ApiServerError",
            Self::Apply { .. } => "ApplyFailed",
            Self::Forbidden { .. } => "Forbidden",
            Self::NameTaken { .. } => "NameTaken",
            Self::NameLeaving { .. } => "NameLeaving",
            Self::SecretMissing { .. } => "SecretMissing",
            Self::StorageNotExpandable { .. } => "StorageNotExpandable",
            Self::ClaimDiffers(_) => "ClaimDiffers",
            Self::ClaimMissing(_) => "ClaimMissing",
            Self::ClaimLeaving(_) => "ClaimLeaving",
            Self::InvalidSpec(_) => "InvalidSpec",
            Self::Api(_) => "InstanceApiError",
        }
    }

    /// What the API server answered to a child object.
    #[must_use]
    pub fn apply(kind: &'static str, name: String, error: &kube::Error) -> Self {
        let (message, code) = match error {
            kube::Error::Api(status) => (status.message.clone(), status.code),
            other => (other.to_string(), 0),
        };
        Self::Apply { kind, name, message, hopeless: code == 422 }
    }

    /// What of a Secret is missing, if that is it.
    #[must_use]
    pub fn lacking(&self) -> Option<SecretKeyRef> {
        match self {
            Self::SecretMissing { name, key } => Some(SecretKeyRef { name: name.clone(), key: key.clone() }),
            _ => None,
        }
    }

    /// Whether nothing but another spec, or another hand, can end it.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        matches!(self, Self::InvalidSpec(_) | Self::NameTaken { .. } | Self::Apply { hopeless: true, .. })
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Kube(error)
    }
}

impl From<GateError> for Error {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Closed => Self::Standby,
            GateError::Kube(error) => Self::Kube(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_reaches_instances_where_services_do_not_resolve() {
        let mut settings = Settings::default();
        assert_eq!(settings.api_url("ns", "shop"), "http://shop-api.ns.svc:3000");
        settings.api_url = Some("http://127.0.0.1:1/{namespace}/{name}".to_owned());
        assert_eq!(settings.api_url("ns", "shop"), "http://127.0.0.1:1/ns/shop");
    }
}
