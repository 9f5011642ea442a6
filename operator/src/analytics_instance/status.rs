//! Phase 6: says how an instance is, truthfully, and writes it only when it differs.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};
use watchkeeper_crds::analytics_instance::{AnalyticsInstanceStatus, ComponentStatus, EndpointCounts};
use watchkeeper_crds::autoscaling::Scaling;
use watchkeeper_crds::{AnalyticsInstance, SecretKeyRef};

use super::apply::{FIELD_MANAGER, Live};
use super::backup::{self, Copies};
use super::build::url;
use super::child::ChildKind;
use super::plan::Service;
use super::validate::split_image;
use super::{certificate, route};
use crate::conditions::{self, Finding};
use crate::context::{Context, Error};
use crate::status_patch::{self, Subject};
use crate::stores::InstanceKey;

/// What was found out about an instance.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// Services and their pods.
    pub components: Vec<Workload>,
    /// The managed database; nothing where it is external.
    pub database: Option<Workload>,
    /// How the certificate is; nothing where none is asked for.
    pub certificate: Option<Finding>,
    /// How the HTTPRoute is; nothing where none is asked for.
    pub route: Option<Finding>,
    /// How discovery goes; nothing where it is not asked for.
    pub discovery: Option<Finding>,
    /// Kinds of other projects that the spec needs and the cluster does not serve.
    pub missing: Option<String>,
    /// What kept the reconcile from its end: reason and message.
    pub failure: Option<(String, String)>,
    /// Whether that failure ends only with another spec.
    pub hopeless: bool,
    /// What of a Secret was missing, if that was the failure.
    pub lacking: Option<SecretKeyRef>,
    /// Endpoints that are watched.
    pub endpoints: EndpointCounts,
    /// Whether the database is being made from a copy.
    pub restoring: bool,
    /// A container of the database that fails again and again.
    pub failing: Option<Failing>,
    /// How the copies of the database are; nothing where none are asked for.
    pub copies: Option<Copies>,
}

/// A container that fails again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Its name.
    pub container: String,
    /// How often it was started anew.
    pub restarts: i32,
    /// What it said last.
    pub said: String,
}

/// Restarts of a container that begins anew by itself; more are no way forward.
const RESTARTS: i32 = 3;

/// The first container of a pod that has failed too often and does not run now.
#[must_use]
pub fn failing(pod: &Pod) -> Option<Failing> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).find_map(|container| {
        let now = container.state.as_ref();
        let ended = now.and_then(|state| state.terminated.as_ref());
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let failed = ended.or(last).filter(|end| end.exit_code != 0)?;
        let done = ended.is_some_and(|end| end.exit_code == 0);
        if container.restart_count < RESTARTS || done || container.ready {
            return None;
        }
        let said = failed.message.clone().or_else(|| failed.reason.clone()).unwrap_or_default();
        Some(Failing {
            container: container.name.clone(),
            restarts: container.restart_count,
            // The end of a log: what matters stands in its last line.
            said: said.trim().lines().last().unwrap_or_default().to_owned(),
        })
    })
}

/// A Deployment or StatefulSet and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// logger, api, checker or database.
    pub name: String,
    /// Pods that are wanted.
    pub wanted: i32,
    /// Pods that are needed: all that are wanted, or as many as an autoscaler leaves at least.
    pub needed: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Whether every pod is of the newest template and available.
    pub settled: bool,
    /// What Kubernetes says is wrong, if it says so.
    pub trouble: Option<String>,
}

impl Workload {
    /// Reads a live Deployment or StatefulSet.
    #[must_use]
    pub fn read(name: &str, object: Option<&DynamicObject>) -> Self {
        Self::read_autoscaled(name, object, None)
    }

    /// Reads one of which an autoscaler lets there be `least` at least. That it makes more is no
    /// lack of readiness and no rollout: there are as many as its spec asks for.
    #[must_use]
    pub fn read_autoscaled(name: &str, object: Option<&DynamicObject>, least: Option<i32>) -> Self {
        let empty = json!({});
        let data = object.map_or(&empty, |object| &object.data);
        let number = |pointer: &str| {
            data.pointer(pointer).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok())
        };
        let wanted = number("/spec/replicas").unwrap_or(1);
        let needed = least.map_or(wanted, |least| least.min(wanted));
        let ready = number("/status/readyReplicas").unwrap_or(0);
        let generation = object.and_then(|object| object.metadata.generation).unwrap_or_default();
        let observed = data.pointer("/status/observedGeneration").and_then(Value::as_i64).unwrap_or_default();
        let updated = number("/status/updatedReplicas").unwrap_or(0);
        let available = number("/status/availableReplicas").unwrap_or(0);
        let total = number("/status/replicas").unwrap_or(0);
        Self {
            name: name.to_owned(),
            wanted,
            needed,
            ready,
            settled: object.is_some()
                && observed >= generation
                && updated >= needed
                && available >= needed
                && total <= needed.max(updated),
            trouble: trouble(data),
        }
    }

    /// Whether every pod that is wanted is ready.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.needed > 0 && self.ready >= self.needed
    }
}

fn trouble(data: &Value) -> Option<String> {
    let conditions = data.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| {
            let is = |key: &str, value: &str| condition[key] == value;
            (is("type", "Progressing") && is("status", "False"))
                || (is("type", "ReplicaFailure") && is("status", "True"))
        })
        .and_then(|condition| condition["message"].as_str().map(str::to_owned))
}

/// Finds out how an instance is.
///
/// # Errors
/// What the API server says.
pub async fn observe(
    context: &Context,
    instance: &AnalyticsInstance,
    live: &Live,
    endpoints: EndpointCounts,
    failure: Option<&Error>,
) -> Result<Observation, Error> {
    let name = instance.name_any();
    let certificate = certificate::observe(context, instance, live).await?;
    let object = |part: &str, kind| live.get(kind, &format!("{name}-{part}"));
    let service = |service: &Service| {
        let least = match service.component(&instance.spec).scaling() {
            Scaling::Between(least, _) => Some(least),
            Scaling::Fixed(_) => None,
        };
        Workload::read_autoscaled(service.name(), object(service.name(), ChildKind::Deployment), least)
    };
    let workload = |_| Workload::read("database", object("database", ChildKind::StatefulSet));
    let database = instance.spec.database.external.is_none().then_some(()).map(workload);
    let failing = match &database {
        Some(database) if !database.answers() => failing_database(context, instance).await?,
        _ => None,
    };
    Ok(Observation {
        components: Service::ALL.iter().map(service).collect(),
        database,
        failing,
        certificate,
        route: route::observe(instance, live),
        discovery: instance
            .spec
            .endpoints
            .discovery
            .enabled
            .then(|| context.discovery.finding(&InstanceKey::of(instance))),
        missing: route::missing(instance, live.served()),
        failure: failure.map(|error| (error.reason().to_owned(), error.to_string())),
        hopeless: failure.is_some_and(Error::is_hopeless),
        lacking: failure.and_then(Error::lacking),
        endpoints,
        restoring: live
            .get(ChildKind::StatefulSet, &format!("{name}-database"))
            .is_some_and(backup::restores),
        copies: backup::observe(context, instance, live).await?,
    })
}

/// What fails in the pod of a database that does not answer.
async fn failing_database(context: &Context, instance: &AnalyticsInstance) -> Result<Option<Failing>, Error> {
    let namespace = instance.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    match pods.get_opt(&format!("{}-database-0", instance.name_any())).await {
        // What cannot be seen is no reason to say nothing at all.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(kind = "Pod", namespace, message = status.message, "not permitted");
            Ok(None)
        }
        pod => Ok(pod?.as_ref().and_then(failing)),
    }
}

/// The status that follows from what was found out. Pure.
#[must_use]
pub fn compute(
    instance: &AnalyticsInstance,
    seen: &Observation,
    image: &str,
    now: Timestamp,
) -> AnalyticsInstanceStatus {
    let previous = instance.status.clone().unwrap_or_default();
    let name = instance.name_any();
    let mut components: Vec<&Workload> = seen.components.iter().collect();
    components.extend(&seen.database);
    AnalyticsInstanceStatus {
        conditions: conditions::settle(
            &previous.conditions,
            &findings(instance, seen),
            instance.metadata.generation,
            now,
        ),
        observed_generation: instance.metadata.generation,
        url: Some(url(&name, &instance.namespace().unwrap_or_default(), &instance.spec)),
        version: version(instance, image),
        endpoints: Some(seen.endpoints),
        components: components
            .into_iter()
            .map(|workload| ComponentStatus {
                name: workload.name.clone(),
                replicas: workload.wanted,
                ready: workload.ready,
            })
            .collect(),
        backup: backup::status(instance, seen.copies.as_ref()),
    }
}

fn version(instance: &AnalyticsInstance, image: &str) -> Option<String> {
    let own = instance.spec.image.as_ref().and_then(|image| image.tag.clone());
    own.or_else(|| split_image(image).1.map(str::to_owned))
}

/// Failures that mean that the spec of this generation is not in force. A volume that cannot grow is
/// none of them: its size cannot be taken back, all else goes on, and Degraded says so.
const REFUSED: [&str; 7] = [
    "InvalidSpec",
    "NameTaken",
    "NameLeaving",
    "ApplyFailed",
    "SecretMissing",
    "ClaimMissing",
    "ClaimLeaving",
];

fn findings(instance: &AnalyticsInstance, seen: &Observation) -> Vec<Finding> {
    let database = database(instance, seen);
    let waiting: Vec<&Workload> = seen.components.iter().filter(|workload| !workload.answers()).collect();
    let unsettled: Vec<&Workload> =
        seen.components.iter().chain(&seen.database).filter(|workload| !workload.settled).collect();

    let refused = seen.failure.as_ref().filter(|(reason, _)| REFUSED.contains(&reason.as_str()));
    let ready = if let Some((reason, message)) = refused {
        Finding::new("Ready", false, reason, message.clone())
    } else if !database.status {
        Finding::new("Ready", false, &database.reason, database.message.clone())
    } else if !waiting.is_empty() {
        Finding::new("Ready", false, "ComponentsNotReady", format!("waiting for {}", named(&waiting)))
    } else {
        Finding::new("Ready", true, "AllPartsAnswer", "logger, API, checker and database answer")
    };
    let progressing = if instance.spec.paused {
        Finding::new("Progressing", false, "Paused", "nothing changes while spec.paused is set")
    } else if unsettled.is_empty() {
        Finding::new("Progressing", false, "Settled", "everything is as the spec wants it")
    } else {
        Finding::new("Progressing", true, "RollingOut", format!("rolling out {}", named(&unsettled)))
    };
    let paused = if instance.spec.paused {
        Finding::new("Paused", true, "PausedBySpec", "set spec.paused to false to let the operator work on")
    } else {
        Finding::new("Paused", false, "Active", "the operator keeps this instance as its spec wants it")
    };
    let abnormal = abnormal(seen, &progressing);
    let mut all = vec![ready, progressing, degraded(instance, seen), paused, database];
    all.extend(seen.certificate.clone());
    all.extend(seen.route.clone());
    all.extend(seen.discovery.clone());
    all.extend(backup::finding(instance, seen.copies.as_ref()));
    all.extend(abnormal);
    all
}

/// The two conditions by which kstatus, and with it Helm, Flux and Argo CD, tells waiting from
/// being stuck. By its rules each is there only while it holds.
fn abnormal(seen: &Observation, progressing: &Finding) -> Option<Finding> {
    match &seen.failure {
        Some((reason, message)) if seen.hopeless => {
            Some(Finding::new("Stalled", true, reason, message.clone()))
        }
        _ if progressing.status => {
            Some(Finding::new("Reconciling", true, &progressing.reason, progressing.message.clone()))
        }
        _ => None,
    }
}

fn degraded(instance: &AnalyticsInstance, seen: &Observation) -> Finding {
    if let Some((reason, message)) = &seen.failure {
        return Finding::new("Degraded", true, reason, message.clone());
    }
    if let Some(Finding { reason, message, .. }) = failed_database(instance, seen) {
        return Finding::new("Degraded", true, &reason, message);
    }
    let trouble = seen.components.iter().chain(&seen.database).find_map(|workload| {
        workload.trouble.as_ref().map(|trouble| format!("{}: {trouble}", workload.name))
    });
    let copies = backup::finding(instance, seen.copies.as_ref());
    let copies = copies.filter(|finding| finding.reason == "BackupFailed");
    match (trouble, copies) {
        (Some(message), _) => Finding::new("Degraded", true, "RolloutFailed", message),
        (None, None) if seen.missing.is_some() => {
            Finding::new("Degraded", true, "KindMissing", seen.missing.clone().unwrap_or_default())
        }
        (None, Some(failed)) => Finding::new("Degraded", true, &failed.reason, failed.message),
        (None, None) => Finding::new("Degraded", false, "AsExpected", "nothing is known to be wrong"),
    }
}

const DATABASE_READY: &str = "DatabaseReady";

/// A database that does not answer and will not do so by itself.
fn failed_database(instance: &AnalyticsInstance, seen: &Observation) -> Option<Finding> {
    seen.database.as_ref().filter(|database| !database.answers())?;
    let Failing { container, restarts, said } = seen.failing.as_ref()?;
    let (name, namespace) = (instance.name_any(), instance.namespace().unwrap_or_default());
    let log = format!("`kubectl logs -n {namespace} {name}-database-0 -c {container}` says more");
    Some(if container == backup::RESTORE {
        let message = format!(
            "the restore has failed {restarts} times: {said}; {log}. Another instance can restore another copy; to take `restore` out of this one starts an empty database"
        );
        Finding::new(DATABASE_READY, false, "RestoreNotDone", message)
    } else {
        let message = format!("the database has failed {restarts} times: {said}; {log}");
        Finding::new(DATABASE_READY, false, "DatabaseFails", message)
    })
}

fn database(instance: &AnalyticsInstance, seen: &Observation) -> Finding {
    const KIND: &str = DATABASE_READY;
    if let Some(failed) = failed_database(instance, seen) {
        return failed;
    }
    if let Some(database) = &seen.database {
        return if database.answers() {
            Finding::new(KIND, true, "Answers", "the managed database answers")
        } else if seen.restoring {
            Finding::new(
                KIND,
                false,
                "Restoring",
                "the managed database is being made from a copy; the log of its pod's container restore tells more",
            )
        } else {
            Finding::new(
                KIND,
                false,
                "DatabaseNotReady",
                "the managed database does not answer yet; see its pod's events",
            )
        };
    }
    let of_database = |lacking: &SecretKeyRef| {
        let external = instance.spec.database.external.as_ref();
        external
            .is_some_and(|external| external.url_from == *lacking || external.ca.as_ref() == Some(lacking))
    };
    if let (Some((reason, message)), true) = (&seen.failure, seen.lacking.as_ref().is_some_and(of_database)) {
        return Finding::new(KIND, false, reason, message.clone());
    }
    // The API is ready only when its database answers.
    let api = seen.components.iter().find(|workload| workload.name == "api");
    if api.is_some_and(|api| api.ready > 0) {
        Finding::new(KIND, true, "Answers", "the external database answers the API")
    } else {
        Finding::new(
            KIND,
            false,
            "DatabaseNotReady",
            "the API has not reached the external database yet; see its /readyz",
        )
    }
}

fn named(workloads: &[&Workload]) -> String {
    let parts: Vec<String> = workloads
        .iter()
        .map(|workload| format!("{} ({} of {} pods ready)", workload.name, workload.ready, workload.wanted))
        .collect();
    parts.join(", ")
}

/// Writes a status if it differs from the live one, and an Event per transition.
///
/// # Errors
/// What the API server says.
pub async fn write(
    context: &Context,
    instance: &AnalyticsInstance,
    make: impl Fn(&AnalyticsInstance) -> AnalyticsInstanceStatus,
) -> Result<(), Error> {
    let seen = context.written.is_seen(&instance.metadata);
    if seen && instance.status.as_ref() == Some(&make(instance)) {
        return Ok(());
    }
    // What is in the store may be older than what was written last.
    let api: Api<AnalyticsInstance> =
        Api::namespaced(context.client.clone(), &instance.namespace().unwrap_or_default());
    let Some(live) = api.get_opt(&instance.name_any()).await? else {
        return Ok(());
    };
    if !conditions::unchanged(&instance.metadata, &live.metadata) {
        return Ok(());
    }
    let status = make(&live);
    if live.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let subject = Subject {
        api_version: &AnalyticsInstance::api_version(&()),
        kind: &AnalyticsInstance::kind(&()),
        name: &instance.name_any(),
    };
    let result = status_patch::write(context, &api, subject, FIELD_MANAGER, &json!(status)).await;
    let outcome = if result.is_ok() { "ok" } else { "error" };
    context.metrics.status_writes.with_label_values(&["analyticsinstance", outcome]).inc();
    result?;
    let before = live.status.clone().unwrap_or_default().conditions;
    let changed = conditions::transitions(&before, &status.conditions);
    context.events.transitions(&live.object_ref(&()), &changed).await;
    Ok(())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
