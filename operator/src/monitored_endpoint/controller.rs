//! Runs the phases for every endpoint that changed, or whose instance, Secret or state did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::MonitoredEndpoint;

use super::dereference::{Admission, dereference, secret_keys};
use super::validate::{Decision, validate};
use super::{finalizer, link, status};
use crate::conditions::Finding;
use crate::context::{Context, Error};
use crate::discovery::controller as discovery;
use crate::labels;
use crate::retry::jittered;
use crate::run::Place;
use crate::stores::{Guarded, InstanceKey};
use crate::watch::{self, Reporting};

const NAME: &str = "monitoredendpoint";
const RESYNC: Duration = Duration::from_secs(10 * 3_600);
/// Failures in a row after which an endpoint that was watched is said not to be.
const PATIENCE: u32 = 3;

/// Runs until told to stop; reconciles under way come to their end.
pub async fn run(
    place: Place,
    stream: impl Stream<Item = Result<Guarded<MonitoredEndpoint>, watcher::Error>> + Send + 'static,
    reader: Store<Guarded<MonitoredEndpoint>>,
    reporting: Reporting,
    context: Arc<Context>,
    instances: broadcast::Receiver<InstanceKey>,
    stop: CancellationToken,
) {
    let of_instance = reader.clone();
    let instances = link::heard(instances).flat_map(move |key| {
        let referring = |object: &Arc<Guarded<MonitoredEndpoint>>| {
            key.as_ref().is_none_or(|key| {
                object.0.as_ref().is_ok_and(|endpoint| InstanceKey::referred(endpoint) == *key)
            })
        };
        let found: Vec<_> = of_instance
            .state()
            .iter()
            .filter(|object| referring(object))
            .map(|object| ObjectRef::from_obj(object.as_ref()))
            .collect();
        futures::stream::iter(found)
    });
    let of_secret = reader.clone();
    let secrets = watch::children::<Secret>(place.api(&context.client), labels::NOT_MANAGED, reporting);
    let config = Config::default().concurrency(32).debounce(Duration::from_millis(50));
    Controller::for_stream(stream, reader.clone())
        .with_config(config)
        .watches_stream(secrets, move |secret| referring_to(&of_secret, &secret))
        .reconcile_on(instances)
        .reconcile_on(context.links.endpoints_touched(reader))
        .reconcile_all_on(watch::leading(context.gate.subscribe()))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, on_error, context)
        .for_each(|_| async {})
        .await;
}

/// Endpoints with a header whose value is in a Secret.
fn referring_to(
    store: &Store<Guarded<MonitoredEndpoint>>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<Guarded<MonitoredEndpoint>>> {
    let (name, namespace) = (secret.name_any(), secret.namespace());
    let names =
        |endpoint: &MonitoredEndpoint| secret_keys(endpoint).iter().any(|(secret, _)| *secret == name);
    store
        .state()
        .iter()
        .filter(|object| object.namespace() == namespace && object.0.as_ref().is_ok_and(names))
        .map(|object| ObjectRef::from_obj(object.as_ref()))
        .collect()
}

async fn reconcile(object: Arc<Guarded<MonitoredEndpoint>>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.gate.is_open() {
        context.metrics.reconciles.with_label_values(&[NAME, "standby"]).inc();
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    context.stores.mostly_ready().await;
    let result = match &object.0 {
        Ok(endpoint) => reconcile_endpoint(endpoint, &context).await,
        Err(invalid) if invalid.metadata.deletion_timestamp.is_some() => {
            finalizer::release_unreadable(&context, &object).await
        }
        Err(invalid) => {
            status::report_unreadable::<MonitoredEndpoint>(&context, invalid, status::FIELD_MANAGER).await
        }
    };
    context.metrics.reconcile_seconds.with_label_values(&[NAME]).observe(begun.elapsed().as_secs_f64());
    match result {
        Err(Error::Standby) => Ok(Action::await_change()),
        Ok(()) => {
            context.metrics.reconciles.with_label_values(&[NAME, "ok"]).inc();
            context.retries.succeeded(&retry_key(&object));
            Ok(Action::requeue(jittered(RESYNC)))
        }
        Err(error) => {
            context.metrics.reconciles.with_label_values(&[NAME, "error"]).inc();
            context.metrics.reconcile_errors.with_label_values(&[NAME, error.reason()]).inc();
            tracing::debug!(endpoint = %retry_key(&object), %error, "an endpoint is not watched as it should be");
            Err(error)
        }
    }
}

fn on_error(object: Arc<Guarded<MonitoredEndpoint>>, _: &Error, context: Arc<Context>) -> Action {
    Action::requeue(context.retries.failed(&retry_key(&object)))
}

fn retry_key(object: &Guarded<MonitoredEndpoint>) -> String {
    format!("{NAME} {}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

async fn reconcile_endpoint(endpoint: &MonitoredEndpoint, context: &Context) -> Result<(), Error> {
    let key = InstanceKey::referred(endpoint);
    if endpoint.metadata.deletion_timestamp.is_some() {
        return finalizer::release(context, endpoint, &key).await;
    }
    if discovery::is_leftover(context, endpoint) {
        match discovery::remove(context, endpoint).await {
            // Who may make none may delete none; then it is one like any other.
            Err(Error::Forbidden { message, .. }) => {
                tracing::warn!(endpoint = %retry_key_of(endpoint), message, "an endpoint is left over and stays");
            }
            result => return result,
        }
    }
    let result = push(endpoint, context).await;
    let report = context.links.report(&key, &endpoint.uid().unwrap_or_default());
    let findings = match &result {
        Ok(Some(rejected)) => {
            vec![Finding { kind: "Ready", ..rejected.clone() }, rejected.clone()]
        }
        Ok(None) => vec![status::watched(&key, report.as_ref()), accepted(&key)],
        Err(Error::Standby) => return Err(Error::Standby),
        // What was known of it was old; that is no news of the endpoint.
        Err(Error::Kube(kube::Error::Api(status))) if status.code == 409 => return result.map(|_| ()),
        Err(error) => {
            if is_watched(endpoint)
                && context.retries.count(&retry_key_of(endpoint)) < PATIENCE
                && !is_final(error)
            {
                // An API that restarts is no news.
                return result.map(|_| ());
            }
            vec![Finding::new("Ready", false, error.reason(), error.to_string()), accepted(&key)]
        }
    };
    let (heartbeat, now) = (jittered(context.settings.heartbeat), Timestamp::now());
    let new = endpoint.status.as_ref().is_none_or(|status| status.conditions.is_empty());
    status::write(context, endpoint, |live| {
        status::compute(live, &findings, report.as_ref(), heartbeat, now)
    })
    .await?;
    if new {
        context.links.recount(&key);
    }
    match result {
        // Trying again changes nothing until the spec changes.
        Err(error) if is_final(&error) => Ok(()),
        result => result.map(|_| ()),
    }
}

/// Tells the API about an endpoint, or says why not.
async fn push(endpoint: &MonitoredEndpoint, context: &Context) -> Result<Option<Finding>, Error> {
    let references = dereference(context, endpoint).await?;
    match validate(endpoint, &references)? {
        Decision::Reject(finding) => {
            // It may have been let in before. Only a clear no takes away what was measured since: an
            // instance may come back, and so may the permission to tell.
            if references.admission == Admission::NotAllowed && finalizer::is_set(endpoint) {
                let uid = endpoint.uid().unwrap_or_default();
                context.links.forget(context, &references.instance, &uid).await?;
            }
            Ok(Some(finding))
        }
        Decision::Push(payload) => {
            finalizer::set(context, endpoint).await?;
            let uid = endpoint.uid().unwrap_or_default();
            context.links.tell(context, &references.instance, &uid, &payload).await?;
            Ok(None)
        }
    }
}

fn accepted(key: &InstanceKey) -> Finding {
    Finding::new("Accepted", true, "Accepted", format!("AnalyticsInstance {key} lets this endpoint in"))
}

fn is_final(error: &Error) -> bool {
    matches!(error, Error::Api(error) if error.is_final())
}

fn is_watched(endpoint: &MonitoredEndpoint) -> bool {
    let conditions = endpoint.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn retry_key_of(endpoint: &MonitoredEndpoint) -> String {
    format!("{NAME} {}/{}", endpoint.namespace().unwrap_or_default(), endpoint.name_any())
}
