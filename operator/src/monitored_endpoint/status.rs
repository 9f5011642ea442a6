//! Phase 4: conditions and state, written on transitions and now and then, for ten
//! thousand endpoints a minute must not become as many writes.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use watchkeeper_crds::MonitoredEndpoint;
use watchkeeper_crds::monitored_endpoint::{EndpointState, MonitoredEndpointStatus};

use super::push::Report;
use crate::conditions::{self, Finding};
use crate::context::{Context, Error};
use crate::status_patch::{self, Subject};
use crate::stores::InstanceKey;

/// Owner of the fields that this controller writes.
pub const FIELD_MANAGER: &str = "watchkeeper-operator/monitoredendpoint";

/// Reason of an endpoint that is not ready because no checker checks it.
const NOT_OBSERVED: &str = "NotObserved";

/// Says of an endpoint that the API was told of whether it is being watched.
#[must_use]
pub fn watched(instance: &InstanceKey, report: Option<&Report>) -> Finding {
    match report.filter(|report| !report.observed) {
        None => {
            let message = format!("AnalyticsInstance {instance} watches this endpoint");
            Finding::new("Ready", true, "Watched", message)
        }
        Some(report) => {
            let last = report.last_check.as_ref();
            let since = last.map_or_else(|| "yet".to_owned(), |check| format!("since {}", check.time));
            let message = format!(
                "no check has come {since}: see whether checkers of AnalyticsInstance {instance} are at work"
            );
            Finding::new("Ready", false, NOT_OBSERVED, message)
        }
    }
}

/// Whether what was written about an endpoint is too old, or wrong.
#[must_use]
pub fn is_stale(written: Option<&MonitoredEndpointStatus>, report: &Report, heartbeat: Duration) -> bool {
    let Some(written) = written else {
        return true;
    };
    let certified = report.certificate.is_some() && written.certificate != report.certificate;
    if written.state != Some(report.state) || written.since != report.since || certified {
        return true;
    }
    let said = written.conditions.iter().any(|condition| condition.reason == NOT_OBSERVED);
    if said == report.observed {
        return true;
    }
    match (&written.last_check, &report.last_check) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => match (old.time.parse::<Timestamp>(), new.time.parse::<Timestamp>()) {
            (Ok(old), Ok(new)) => {
                let age = new.as_millisecond().saturating_sub(old.as_millisecond());
                u64::try_from(age).is_ok_and(|age| u128::from(age) >= heartbeat.as_millis())
            }
            _ => old != new,
        },
    }
}

/// The status that follows from findings and what the API reports. Pure. The newest
/// check is taken over only with something that is worth a write.
#[must_use]
pub fn compute(
    endpoint: &MonitoredEndpoint,
    findings: &[Finding],
    report: Option<&Report>,
    heartbeat: Duration,
    now: Timestamp,
) -> MonitoredEndpointStatus {
    let previous = endpoint.status.clone().unwrap_or_default();
    let conditions = conditions::settle(&previous.conditions, findings, endpoint.metadata.generation, now);
    let mut status = MonitoredEndpointStatus {
        conditions,
        observed_generation: endpoint.metadata.generation,
        target: Some(endpoint.spec.target()),
        ..previous.clone()
    };
    let accepted = findings.iter().all(|finding| finding.kind != "Accepted" || finding.status);
    match report {
        Some(report) if accepted => {
            let changed = status.conditions != previous.conditions;
            if changed || is_stale(endpoint.status.as_ref(), report, heartbeat) {
                status.state = Some(report.state);
                status.since.clone_from(&report.since);
                status.last_check.clone_from(&report.last_check);
                status.uptime.clone_from(&report.uptime);
                status.certificate.clone_from(&report.certificate);
            }
        }
        // Nobody watches it, so nobody knows.
        _ if !accepted => {
            status.state = Some(EndpointState::Unknown);
            status.since = None;
            status.last_check = None;
            status.uptime = None;
            status.certificate = None;
        }
        _ => {
            let unheard =
                if endpoint.spec.suspended { EndpointState::Suspended } else { EndpointState::Unknown };
            status.state = status.state.or(Some(unheard));
        }
    }
    status
}

/// Writes a status if it differs from the live one, and an Event per transition.
///
/// # Errors
/// What the API server says.
pub async fn write(
    context: &Context,
    endpoint: &MonitoredEndpoint,
    make: impl Fn(&MonitoredEndpoint) -> MonitoredEndpointStatus,
) -> Result<(), Error> {
    let seen = context.written.is_seen(&endpoint.metadata);
    if seen && endpoint.status.as_ref() == Some(&make(endpoint)) {
        return Ok(());
    }
    // What is in the store may be older than what was written last.
    let api: Api<MonitoredEndpoint> =
        Api::namespaced(context.client.clone(), &endpoint.namespace().unwrap_or_default());
    let Some(live) = api.get_opt(&endpoint.name_any()).await? else {
        return Ok(());
    };
    if !conditions::unchanged(&endpoint.metadata, &live.metadata) {
        return Ok(());
    }
    let status = make(&live);
    if live.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let subject = Subject {
        api_version: &MonitoredEndpoint::api_version(&()),
        kind: &MonitoredEndpoint::kind(&()),
        name: &endpoint.name_any(),
    };
    let result = status_patch::write(context, &api, subject, FIELD_MANAGER, &json!(status)).await;
    let outcome = if result.is_ok() { "ok" } else { "error" };
    context.metrics.status_writes.with_label_values(&["monitoredendpoint", outcome]).inc();
    result?;
    let before = live.status.clone().unwrap_or_default();
    let about = live.object_ref(&());
    let changed = conditions::transitions(&before.conditions, &status.conditions);
    context.events.transitions(&about, &changed).await;
    if let (Some(state), true) = (status.state, before.state != status.state)
        && state != EndpointState::Unknown
    {
        let message = status.last_check.and_then(|check| check.message);
        let note = message.unwrap_or_else(|| format!("the endpoint is {}", state.as_str().to_lowercase()));
        let warning = matches!(state, EndpointState::Down | EndpointState::Degraded);
        context.events.say(&about, warning, "Check", state.as_str(), &note).await;
    }
    Ok(())
}

/// Says of an object that it cannot be read, without being able to read it. By the owner of its other
/// status, for only an owner can take back what is said.
///
/// # Errors
/// What the API server says.
pub async fn report_unreadable<K>(
    context: &Context,
    invalid: &InvalidObject,
    manager: &str,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let meta = &invalid.metadata;
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = meta.name.clone().unwrap_or_default();
    let resource = kube::api::ApiResource::erase::<K>(&());
    let api: Api<kube::api::DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let Some(live) = api.get_opt(&name).await?.filter(|live| conditions::unchanged(meta, &live.metadata))
    else {
        return Ok(());
    };
    let conditions = live.data.pointer("/status/conditions").cloned();
    let before = conditions
        .and_then(|conditions| serde_json::from_value::<Vec<_>>(conditions).ok())
        .unwrap_or_default();
    let message =
        format!("this object cannot be read and is left alone until it is corrected: {}", invalid.error);
    let findings = [
        Finding::new("Ready", false, "InvalidSpec", message.clone()),
        Finding::new("Degraded", true, "InvalidSpec", message),
    ];
    let after = conditions::settle(&before, &findings, meta.generation, Timestamp::now());
    if before == after {
        return Ok(());
    }
    // The rest of the status stays as it is, whatever it says.
    let mut status = live.data.get("status").cloned().unwrap_or_default();
    status["conditions"] = json!(after);
    status["observedGeneration"] = json!(meta.generation);
    let subject = Subject { api_version: &K::api_version(&()), kind: &K::kind(&()), name: &name };
    status_patch::write(context, &api, subject, manager, &status).await?;
    context.metrics.status_writes.with_label_values(&[&*K::kind(&()).to_lowercase(), "ok"]).inc();
    let changed = conditions::transitions(&before, &after);
    context.events.transitions(&live.object_ref(&resource), &changed).await;
    Ok(())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
