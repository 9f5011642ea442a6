//! Phase 2: decides everything that is still open and refuses what makes no sense.
//! The schema and its CEL rules have caught most mistakes before.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt;
use serde_json::Value;
use watchkeeper_crds::{AnalyticsInstance, ImageSpec};

use super::dereference::{DatabaseReferences, References};
use super::diff::salted;
use super::plan::{Admin, DATABASE_PORT, Database, Image, Plan, ProjectKey, Service, salt_secret};
use crate::context::{Error, Settings};

/// Makes the plan of an instance.
///
/// # Errors
/// [`Error::InvalidSpec`] with a sentence that says what to change.
pub fn validate(
    instance: &AnalyticsInstance,
    references: References,
    settings: &Settings,
) -> Result<Plan, Error> {
    let spec = instance.spec.clone();
    let name = instance.name_any();
    let database_hash = salted(&references.salt, &format!("{:?}", references.database));
    let admin_hash = salted(&references.salt, &references.admin_token);
    let site_hash =
        references.site_secret.as_ref().map(|secret| salted(&references.salt, secret)).unwrap_or_default();
    let database = match (references.database, &spec.database.managed, &spec.database.external) {
        (DatabaseReferences::External { url, .. }, _, Some(external)) => Database::External {
            port: port_of(&url, &external.url_from.name)?,
            url: external.url_from.clone(),
            ca: external.ca.clone(),
        },
        (DatabaseReferences::Managed { password }, managed, None) => {
            check_password(&password, &format!("{name}-database"))?;
            let managed = managed.clone().unwrap_or_default();
            Database::Managed {
                restore: managed.restore.clone().filter(|_| references.restoring),
                image: image(managed.image.as_ref(), &settings.postgres_image),
                spec: Box::new(managed),
                password,
            }
        }
        _ => {
            return Err(Error::InvalidSpec("spec.database changed while it was read".to_owned()));
        }
    };
    let admin = match &spec.access.admin_secret_ref {
        Some(reference) => Admin::Existing(reference.clone()),
        None => Admin::Generated { token: references.admin_token },
    };
    let mut projects = Vec::new();
    for project in &spec.access.projects {
        let secret = project.key_secret_name.clone();
        let own = [format!("{name}-admin"), format!("{name}-database"), salt_secret(&name)];
        if own.contains(&secret) {
            return Err(Error::InvalidSpec(format!(
                "spec.access.projects: {secret} holds secrets of the instance itself; choose another keySecretName for {}",
                project.name
            )));
        }
        let key = references.project_keys.get(&project.name).cloned().unwrap_or_default();
        if uuid::Uuid::parse_str(&key).is_err() {
            return Err(Error::InvalidSpec(format!(
                "Secret {secret} holds no UUID under api-key; correct or delete it"
            )));
        }
        projects.push(ProjectKey {
            name: project.name.clone(),
            secret,
            key,
            settings: project.settings.clone(),
        });
    }
    let plan = Plan {
        namespace: instance.namespace().unwrap_or_default(),
        uid: instance.uid().unwrap_or_default(),
        image: image(spec.image.as_ref(), &settings.image),
        name,
        database,
        admin,
        projects,
        objectives: references.objectives,
        salt: references.salt,
        database_hash,
        admin_hash,
        site_hash,
        spec,
    };
    check_templates(&plan)?;
    Ok(plan)
}

/// The password stands in a URL, in SQL and in a password file, so it may hold only what means
/// nothing in any of them.
fn check_password(password: &str, secret: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if password.bytes().all(plain) && (8..=128).contains(&password.len()) {
        return Ok(());
    }
    Err(Error::InvalidSpec(format!(
        "Secret {secret}: password must have 8 to 128 letters, digits and -._~ without spaces; the password of before stays in force until it is corrected"
    )))
}

/// A pod template is free in the schema, so a mistake in it shows only here.
fn check_templates(plan: &Plan) -> Result<(), Error> {
    for service in Service::ALL {
        if let Some(template) = &plan.component(service).pod_template {
            serde_json::from_value::<PodTemplateSpec>(without_nulls(Value::Object(template.clone())))
                .map_err(|error| {
                    Error::InvalidSpec(format!(
                        "spec.{}.podTemplate is no part of a pod template: {error}",
                        service.name()
                    ))
                })?;
        }
    }
    Ok(())
}

/// Nulls in a template remove what was built; the type check has no word for them, nor
/// for the required fields that a partial list item may leave out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, field)| !field.is_null())
                .map(|(key, field)| (key, without_nulls(field)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn image(spec: Option<&ImageSpec>, default: &str) -> Image {
    let spec = spec.cloned().unwrap_or_default();
    let (repository, tag) = split_image(default);
    let repository = spec.repository.unwrap_or_else(|| repository.to_owned());
    let tag = spec.tag.or_else(|| tag.map(str::to_owned));
    Image {
        reference: match tag {
            // A digest comes with its own separator.
            Some(tag) if tag.starts_with("sha256:") => format!("{repository}@{tag}"),
            Some(tag) => format!("{repository}:{tag}"),
            None => repository,
        },
        pull_policy: spec.pull_policy.map(|policy| policy.as_str().to_owned()),
        pull_secrets: spec.pull_secrets.into_iter().map(|secret| secret.name).collect(),
    }
}

/// Repository and tag (or digest) of an image; a port of a registry is no tag.
#[must_use]
pub fn split_image(reference: &str) -> (&str, Option<&str>) {
    if let Some((repository, digest)) = reference.split_once('@') {
        // A tag beside the digest says nothing more, and would stay before another that is asked for.
        return (split_image(repository).0, Some(digest));
    }
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (reference, None),
    }
}

fn port_of(url: &str, secret: &str) -> Result<i32, Error> {
    let refuse = || {
        Error::InvalidSpec(format!(
            "Secret {secret} holds no database URL; write postgres://user:password@host:5432/name"
        ))
    };
    let url = url::Url::parse(url.trim()).map_err(|_| refuse())?;
    if !matches!(url.scheme(), "postgres" | "postgresql") || !url.has_host() {
        return Err(refuse());
    }
    Ok(url.port().map_or(DATABASE_PORT, i32::from))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
