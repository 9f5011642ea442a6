//! Phase 1: fetches everything that a spec refers to, and makes up the secrets that
//! do not exist yet. What exists is kept, always.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use rand::Rng;
use rand::distr::Alphanumeric;
use watchkeeper_crds::{AnalyticsInstance, SecretKeyRef};

use super::apply::Live;
use super::backup;
use super::objectives::{self, Objective};
use super::plan::{ADMIN_KEY, PROJECT_KEY, SALT_KEY, salt_secret};
use crate::context::{Context, Error};
use crate::stores::InstanceKey;

/// What a spec refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    /// The administrator's token.
    pub admin_token: String,
    /// What the database needs.
    pub database: DatabaseReferences,
    /// Keys of projects, by project.
    pub project_keys: BTreeMap<String, String>,
    /// What keeps a hash of a secret from being tried out by guessing.
    pub salt: String,
    /// The website's secret, where there is one.
    pub site_secret: Option<String>,
    /// Endpoints that have an objective, where rules are made for them.
    pub objectives: Vec<Objective>,
    /// Whether the database is still to be made from a copy.
    pub restoring: bool,
}

/// What the database needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseReferences {
    /// Password of a managed database.
    Managed {
        /// The password.
        password: String,
    },
    /// How an external database is reached.
    External {
        /// Its URL.
        url: String,
        /// PEM certificate of its authority.
        ca: Option<String>,
    },
}

/// Fetches what an instance refers to.
///
/// # Errors
/// [`Error::SecretMissing`] when a Secret of the user's is not there.
pub async fn dereference(
    context: &Context,
    instance: &AnalyticsInstance,
    live: &Live,
) -> Result<References, Error> {
    let namespace = instance.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let name = instance.name_any();
    let spec = &instance.spec;

    let admin_token = match &spec.access.admin_secret_ref {
        Some(reference) => required(&secrets, reference).await?,
        None => kept_or(&secrets, &format!("{name}-admin"), ADMIN_KEY, password).await?,
    };
    let database = match &spec.database.external {
        Some(external) => DatabaseReferences::External {
            url: required(&secrets, &external.url_from).await?,
            ca: match &external.ca {
                Some(reference) => Some(required(&secrets, reference).await?),
                None => None,
            },
        },
        None => DatabaseReferences::Managed {
            password: kept_or(&secrets, &format!("{name}-database"), "password", password).await?,
        },
    };
    let mut project_keys = BTreeMap::new();
    for project in &spec.access.projects {
        let key =
            kept_or(&secrets, &project.key_secret_name, PROJECT_KEY, || uuid::Uuid::new_v4().to_string())
                .await?;
        project_keys.insert(project.name.clone(), key);
    }
    let site_secret = match &spec.site {
        Some(site) => Some(required(&secrets, &site.secret_ref).await?),
        None => None,
    };
    let salt = kept_or(&secrets, &salt_secret(&name), SALT_KEY, password).await?;
    let rules = spec.observability.prometheus_rule.enabled;
    let objectives =
        if rules { objectives::of_instance(&context.stores, &InstanceKey::of(instance)) } else { Vec::new() };
    let restoring = backup::restoring(context, instance, live).await?;
    Ok(References { admin_token, database, project_keys, salt, site_secret, objectives, restoring })
}

async fn required(secrets: &Api<Secret>, reference: &SecretKeyRef) -> Result<String, Error> {
    secrets
        .get_opt(&reference.name)
        .await?
        .and_then(|secret| trimmed(&secret, &reference.key))
        .ok_or_else(|| Error::SecretMissing { name: reference.name.clone(), key: reference.key.clone() })
}

async fn kept_or(
    secrets: &Api<Secret>,
    name: &str,
    key: &str,
    make: impl FnOnce() -> String,
) -> Result<String, Error> {
    let kept = secrets.get_opt(name).await?.and_then(|secret| trimmed(&secret, key));
    Ok(kept.unwrap_or_else(make))
}

/// The text under a key of a Secret without white space around it, as the services read it: a Secret
/// made from a file often ends in a newline.
#[must_use]
pub fn trimmed(secret: &Secret, key: &str) -> Option<String> {
    text(secret, key).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The text under a key of a Secret.
#[must_use]
pub fn text(secret: &Secret, key: &str) -> Option<String> {
    watchkeeper_crds::manifest::secret_text(secret, key)
}

/// 40 letters and digits: safe in URLs, SQL and files alike.
fn password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(40).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_plain_and_never_the_same() {
        let one = password();
        assert_eq!(one.len(), 40);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, password());
    }
}
