//! Tells an instance's API about the projects whose keys it made.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use kube::api::DynamicObject;

use super::diff::hash;
use super::plan::Plan;
use crate::context::{Context, Error};
use crate::labels;
use crate::monitored_endpoint::push::ApiClient;

/// What each API has been told, by uid of the instance and, of other things than projects, what it is.
#[derive(Debug, Default)]
pub struct Registered {
    told: Mutex<HashMap<String, String>>,
}

impl Registered {
    pub(super) fn has(&self, uid: &str, hash: &str) -> bool {
        self.lock().get(uid).is_some_and(|told| told == hash)
    }

    pub(super) fn set(&self, uid: &str, hash: String) {
        self.lock().insert(uid.to_owned(), hash);
    }

    /// Forgets what an API was told, so that it is told again.
    pub fn forget(&self, uid: &str) {
        self.lock().retain(|key, _| !key.starts_with(uid));
    }

    /// Forgets what all APIs were told: by now another process may have told them something else.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers the projects of an instance, once for each set of projects.
///
/// # Errors
/// What the API says of the first project that it refuses; the others are registered all the same.
pub async fn register(
    context: &Context,
    registered: &Registered,
    plan: &Plan,
    api: &ApiClient,
) -> Result<(), Error> {
    let set = hash(&format!("{:?}", plan.projects));
    if plan.projects.is_empty() || registered.has(&plan.uid, &set) {
        return Ok(());
    }
    let mut refusal = None;
    for project in &plan.projects {
        let result = api.put_project(&project.name, &project.key).await;
        count(context, "put_project", result.is_ok());
        let registered = result.is_ok();
        refusal = refusal.or(result.err());
        if let (true, Some(settings)) = (registered, &project.settings) {
            let result = api.put_project_settings(&project.name, settings).await;
            count(context, "put_project_settings", result.is_ok());
            refusal = refusal.or(result.err());
        }
    }
    if let Some(refusal) = refusal {
        return Err(refusal.into());
    }
    registered.set(&plan.uid, set);
    Ok(())
}

/// Makes the API forget the projects whose Secrets were pruned. Their data stays.
pub async fn forget(context: &Context, api: &ApiClient, pruned: &[DynamicObject], plan: &Plan) {
    for object in pruned {
        let Some(project) = object.annotations().get(labels::PROJECT) else {
            continue;
        };
        // Its Secret may only have another name now.
        if plan.projects.iter().any(|kept| kept.name == *project) {
            continue;
        }
        let result = api.delete_project(project).await;
        count(context, "delete_project", result.is_ok());
        if let Err(error) = result {
            tracing::warn!(%error, project, "the API was not told that a project is gone");
        }
    }
}

pub(super) fn count(context: &Context, operation: &str, ok: bool) {
    let outcome = if ok { "ok" } else { "error" };
    context.metrics.api_calls.with_label_values(&[operation, outcome]).inc();
}
