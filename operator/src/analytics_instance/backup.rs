//! Copies of the managed database, beyond what is built: the claim that holds them, whether a
//! restore is still to be done, and how the last copy went.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_crds::AnalyticsInstance;
use watchkeeper_crds::analytics_instance::BackupStatus;
use watchkeeper_crds::backup::Backup;

use super::apply::Live;
pub use super::build::RESTORE;
use super::build::{BACKUP, backup_claim, backup_name, claim_name};
use super::child::ChildKind;
use super::diff::quantity;
use super::plan::Plan;
use super::status::Workload;
use super::storage::grow;
use crate::conditions::Finding;
use crate::context::{Context, Error};
use crate::gate::GateError;
use crate::labels;

/// Makes the claim that holds the copies, or lets it grow. It is never removed.
///
/// # Errors
/// [`Error::NameTaken`] when a claim of that name is somebody else's,
/// [`Error::StorageNotExpandable`] when the storage class does not let it grow.
pub async fn ensure_claim(context: &Context, plan: &Plan) -> Result<(), Error> {
    const KIND: &str = "PersistentVolumeClaim";
    let Some(wanted) = backup_claim(plan) else {
        return Ok(());
    };
    let name = wanted.name_any();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &plan.namespace);
    if let Some(live) = claims.get_opt(&name).await? {
        let ours = labels::object(&plan.name, BACKUP);
        if ours.iter().any(|(label, value)| live.labels().get(label) != Some(value)) {
            return Err(Error::NameTaken { kind: KIND, name });
        }
        if let Some(difference) = difference(&wanted, &live) {
            return Err(Error::ClaimDiffers(difference));
        }
        // The API server lets only a claim grow that has its volume, and some get theirs with the first copy.
        if live.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
            return Ok(());
        }
        return grow(context, &plan.namespace, &live, requested(&wanted).unwrap_or_default()).await;
    }
    match context.gate.write(claims.create(&PostParams::default(), &wanted)).await {
        Ok(_) => {
            tracing::info!(claim = name, namespace = plan.namespace, "a volume for backups is claimed");
            context.metrics.applies.with_label_values(&[KIND, "created"]).inc();
            Ok(())
        }
        Err(GateError::Closed) => Err(Error::Standby),
        Err(GateError::Kube(error)) => {
            context.metrics.applies.with_label_values(&[KIND, "failed"]).inc();
            Err(Error::apply(KIND, name, &error))
        }
    }
}

/// What a claim is and can never cease to be, against what is wanted of it.
fn difference(wanted: &PersistentVolumeClaim, live: &PersistentVolumeClaim) -> Option<String> {
    let class = |claim: &PersistentVolumeClaim| claim.spec.as_ref()?.storage_class_name.clone();
    let name = live.name_any();
    let way_out = "or delete the claim, with the copies on it";
    if let Some(asked) = class(wanted)
        && class(live).as_ref() != Some(&asked)
    {
        let has = class(live).unwrap_or_default();
        return Some(format!(
            "the volume claim {name} exists in the storage class {has:?} and stays there; write that into backup.storage.className instead of {asked:?}, {way_out}"
        ));
    }
    let (asked, has) = (requested(wanted)?, requested(live)?);
    (quantity(has)? > quantity(asked)?).then(|| {
        format!(
            "the volume claim {name} exists with {has} and cannot be made smaller; write that into backup.storage.size instead of {asked}, {way_out}"
        )
    })
}

/// The size that a claim asks for.
#[must_use]
pub fn requested(claim: &PersistentVolumeClaim) -> Option<&str> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.as_str())
}

/// Whether the restore that a spec asks for is still to be done. Once the database has answered, its
/// claim is marked, and neither the copies' claim nor the spec's field is looked at ever again: the
/// database must be able to start when they are gone.
///
/// # Errors
/// [`Error::InvalidSpec`] when there is data already that would keep the copy from being used,
/// [`Error::ClaimLeaving`] when that data is going, [`Error::ClaimMissing`] when there is no claim to
/// restore from.
pub async fn restoring(context: &Context, instance: &AnalyticsInstance, live: &Live) -> Result<bool, Error> {
    let managed = instance.spec.database.managed.as_ref();
    let Some(restore) = managed.and_then(|managed| managed.restore.as_ref()) else {
        return Ok(false);
    };
    let name = instance.name_any();
    let namespace = instance.namespace().unwrap_or_default();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
    let data = claims.get_opt(&claim_name(&name)).await?;
    let set = live.get(ChildKind::StatefulSet, &format!("{name}-database"));
    if set.is_none()
        && let Some(data) = &data
    {
        retained(instance, data)?;
    }
    if data.as_ref().is_some_and(|data| data.annotations().contains_key(labels::RESTORED)) {
        return Ok(false);
    }
    if let Some(set) = set {
        if !restores(set) {
            // It was made without, so it has data of its own.
            return Ok(false);
        }
        let database = Workload::read("database", Some(set));
        if let Some(data) = data
            && database.settled
            && database.answers()
        {
            let from = match &restore.file {
                Some(file) => format!("{}/{file}", restore.claim_name),
                None => restore.claim_name.clone(),
            };
            let mark = json!({"metadata": {"annotations": {labels::RESTORED: from}}});
            let (params, mark) = (PatchParams::default(), Patch::Merge(&mark));
            context.gate.write(claims.patch(&data.name_any(), &params, &mark)).await?;
            context.metrics.applies.with_label_values(&["PersistentVolumeClaim", "updated"]).inc();
            tracing::info!(instance = name, namespace, from, "the database is restored");
            return Ok(false);
        }
    }
    if claims.get_opt(&restore.claim_name).await?.is_none() {
        return Err(Error::ClaimMissing(restore.claim_name.clone()));
    }
    Ok(true)
}

/// Whether the data that lies where a database is to be made lets it be made there.
fn retained(instance: &AnalyticsInstance, data: &PersistentVolumeClaim) -> Result<(), Error> {
    let claim = data.name_any();
    if data.metadata.deletion_timestamp.is_some() {
        return Err(Error::ClaimLeaving(claim));
    }
    let born = |meta: &ObjectMeta| meta.creation_timestamp.as_ref().map(|time| time.0);
    let restored = data.annotations().contains_key(labels::RESTORED);
    // A younger one is of this very instance, whose StatefulSet is only being replaced.
    if restored || born(&data.metadata) > born(&instance.metadata) {
        return Ok(());
    }
    Err(Error::InvalidSpec(format!(
        "spec.database.managed.restore: the volume claim {claim} is older than this instance and may hold a database, which a restore never replaces; delete the claim to restore the copy, or take `restore` out to go on with what the claim holds"
    )))
}

/// Whether the pods of a live StatefulSet restore before they start.
#[must_use]
pub fn restores(set: &DynamicObject) -> bool {
    let containers = set.data.pointer("/spec/template/spec/initContainers").and_then(Value::as_array);
    containers.into_iter().flatten().any(|container| container["name"] == RESTORE)
}

/// How the copies of an instance are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Copies {
    /// When the newest was complete.
    pub last: Option<Timestamp>,
    /// The Job that ended last, if it failed: its name and what Kubernetes says.
    pub failed: Option<(String, String)>,
}

/// Finds out how the copies of an instance are.
///
/// # Errors
/// What the API server says.
pub async fn observe(
    context: &Context,
    instance: &AnalyticsInstance,
    live: &Live,
) -> Result<Option<Copies>, Error> {
    if wanted(instance).is_none() {
        return Ok(None);
    }
    let name = instance.name_any();
    let selected = ListParams::default()
        .labels(&format!("{},app.kubernetes.io/component={BACKUP}", labels::of_instance(&name)));
    let namespace = instance.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let jobs = match jobs.list(&selected).await {
        // What cannot be seen is no reason to say nothing at all.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(kind = "Job", namespace, message = status.message, "not permitted");
            Vec::new()
        }
        jobs => jobs?.items,
    };
    Ok(Some(copies(live.get(ChildKind::CronJob, &backup_name(&name)), &jobs)))
}

/// How the copies are, by what is known of the CronJob and its Jobs.
#[must_use]
pub fn copies(cron: Option<&DynamicObject>, jobs: &[Job]) -> Copies {
    let last = cron
        .and_then(|cron| cron.data.pointer("/status/lastSuccessfulTime"))
        .and_then(Value::as_str)
        .and_then(|time| time.parse().ok());
    let newest = jobs.iter().filter_map(ended).max_by_key(|(at, ..)| *at);
    let failed = newest.and_then(|(_, job, trouble)| trouble.map(|trouble| (job.name_any(), trouble)));
    Copies { last, failed }
}

/// When a Job ended, and why, if it failed.
fn ended(job: &Job) -> Option<(Timestamp, &Job, Option<String>)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions
        .iter()
        .find(|condition| condition.status == "True" && matches!(&*condition.type_, "Complete" | "Failed"))?;
    let trouble = (end.type_ == "Failed").then(|| end.message.clone().unwrap_or_default());
    Some((end.last_transition_time.as_ref()?.0, job, trouble))
}

fn wanted(instance: &AnalyticsInstance) -> Option<&Backup> {
    instance.spec.database.managed.as_ref()?.backup.as_ref()
}

/// What the status says about copies.
#[must_use]
pub fn status(instance: &AnalyticsInstance, copies: Option<&Copies>) -> Option<BackupStatus> {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    wanted(instance)?;
    Some(BackupStatus {
        claim_name: backup_name(&instance.name_any()),
        last_successful_time: copies.and_then(|copies| copies.last).map(Time),
    })
}

/// The condition that speaks of copies, where any are asked for.
#[must_use]
pub fn finding(instance: &AnalyticsInstance, copies: Option<&Copies>) -> Option<Finding> {
    const KIND: &str = "BackupReady";
    let backup = wanted(instance)?;
    let none = Copies::default();
    let copies = copies.unwrap_or(&none);
    let claim = backup_name(&instance.name_any());
    Some(if let Some((job, trouble)) = &copies.failed {
        let namespace = instance.namespace().unwrap_or_default();
        let message = format!(
            "the last backup failed: {trouble}; `kubectl logs -n {namespace} job/{job}` says what it met"
        );
        Finding::new(KIND, false, "BackupFailed", message)
    } else if backup.suspend {
        Finding::new(KIND, false, "Suspended", "no backups are made while backup.suspend is set")
    } else if let Some(last) = copies.last {
        Finding::new(KIND, true, "Succeeded", format!("the backup of {last} lies on the volume {claim}"))
    } else {
        let schedule = &backup.schedule;
        Finding::new(
            KIND,
            false,
            "NoneYet",
            format!("no backup has been made yet; the schedule is {schedule}"),
        )
    })
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
