//! Secrets: administrator's token, database credentials, keys of projects, what hashes begin with.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::analytics_instance::plan::{
    ADMIN_KEY, Admin, DATABASE_PORT, DATABASE_USER, Database, PROJECT_KEY, Plan, ProjectKey, SALT_KEY,
    salt_secret,
};
use crate::labels;

pub fn build(plan: &Plan) -> Vec<Secret> {
    let mut all = Vec::new();
    if let Admin::Generated { token } = &plan.admin {
        all.push(secret(plan, plan.child_name("admin"), "admin", &[(ADMIN_KEY, token)]));
    }
    if let Database::Managed { password, .. } = &plan.database {
        all.push(credentials(plan, password));
    }
    all.push(secret(plan, salt_secret(&plan.name), "salt", &[(SALT_KEY, &plan.salt)]));
    all.extend(plan.projects.iter().map(|project| project_key(plan, project)));
    all
}

fn credentials(plan: &Plan, password: &str) -> Secret {
    let host = plan.child_name("database");
    let url = format!(
        "postgres://{DATABASE_USER}:{password}@{host}.{}.svc:{DATABASE_PORT}/{DATABASE_USER}",
        plan.namespace
    );
    let values =
        [("username", DATABASE_USER), ("password", password), ("database", DATABASE_USER), ("url", &url)];
    secret(plan, host.clone(), "database", &values)
}

fn project_key(plan: &Plan, project: &ProjectKey) -> Secret {
    let mut secret = secret(plan, project.secret.clone(), "project", &[(PROJECT_KEY, &project.key)]);
    // Tells the API which project is gone when this Secret is pruned.
    secret.metadata.annotations = Some([(labels::PROJECT.to_owned(), project.name.clone())].into());
    secret
}

fn secret(plan: &Plan, name: String, component: &str, values: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<String, ByteString> = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
    Secret {
        metadata: plan.meta(name, component),
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}
