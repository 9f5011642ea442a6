//! Runs the phases for every instance that changed, or whose children did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::AnalyticsInstance;

use super::apply::{FIELD_MANAGER, Live, apply};
use super::backup;
use super::build::{build, certificate_secret};
use super::child::{Child, ChildKind};
use super::dereference::dereference;
use super::notifications;
use super::plan::Plan;
use super::projects::{self, Registered};
use super::prune::{leftovers, prune};
use super::validate::validate;
use super::{status, storage};
use crate::context::{Context, Error};
use crate::foreign::{Certificate, ForeignKind, HTTPRoute, PrometheusRule, ServiceMonitor};
use crate::labels;
use crate::monitored_endpoint::push::ApiClient;
use crate::monitored_endpoint::status::report_unreadable;
use crate::retry::jittered;
use crate::run::Place;
use crate::stores::{Guarded, InstanceKey};
use crate::watch::{self, Reporting};

const NAME: &str = "analyticsinstance";
/// Even if a watch has missed something, everything is looked at again.
const RESYNC: Duration = Duration::from_secs(10 * 3_600);
/// How soon a database that does not answer yet is looked at again.
const STARTING: Duration = Duration::from_secs(30);

struct Work {
    context: Arc<Context>,
    registered: Registered,
}

/// Runs until told to stop; reconciles under way come to their end.
pub async fn run(
    place: Place,
    stream: impl Stream<Item = Result<Guarded<AnalyticsInstance>, watcher::Error>> + Send + 'static,
    reader: Store<Guarded<AnalyticsInstance>>,
    reporting: Reporting,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let config = Config::default().concurrency(32).debounce(Duration::from_millis(200));
    let mut controller = Controller::for_stream(stream, reader.clone()).with_config(config);
    for kind in ChildKind::ALL {
        // Exhaustive: a new kind of child does not compile until it is watched.
        controller = match kind {
            ChildKind::ServiceAccount => own::<ServiceAccount>(controller, &place, &reporting, &context),
            ChildKind::ConfigMap => own::<ConfigMap>(controller, &place, &reporting, &context),
            ChildKind::Secret => own::<Secret>(controller, &place, &reporting, &context),
            ChildKind::NetworkPolicy => own::<NetworkPolicy>(controller, &place, &reporting, &context),
            ChildKind::Service => own::<Service>(controller, &place, &reporting, &context),
            ChildKind::StatefulSet => own::<StatefulSet>(controller, &place, &reporting, &context),
            ChildKind::Deployment => own::<Deployment>(controller, &place, &reporting, &context),
            ChildKind::HorizontalPodAutoscaler => {
                let api = place.api(&context.client);
                controller.owns_stream(watch::children_beside_status::<HorizontalPodAutoscaler>(
                    api,
                    labels::MANAGED,
                    reporting.clone(),
                ))
            }
            ChildKind::PodDisruptionBudget => {
                own::<PodDisruptionBudget>(controller, &place, &reporting, &context)
            }
            ChildKind::Ingress => own::<Ingress>(controller, &place, &reporting, &context),
            ChildKind::HttpRoute => controller.owns_stream(while_served::<HTTPRoute>(
                ForeignKind::HttpRoute,
                &place,
                &reporting,
                &context,
            )),
            ChildKind::ServiceMonitor => controller.owns_stream(while_served::<ServiceMonitor>(
                ForeignKind::ServiceMonitor,
                &place,
                &reporting,
                &context,
            )),
            ChildKind::PrometheusRule => controller.owns_stream(while_served::<PrometheusRule>(
                ForeignKind::PrometheusRule,
                &place,
                &reporting,
                &context,
            )),
            ChildKind::CronJob => own::<CronJob>(controller, &place, &reporting, &context),
        };
    }
    let (referring, copied, certified) = (reader.clone(), reader.clone(), reader.clone());
    let foreign_secrets =
        watch::children::<Secret>(place.api(&context.client), labels::NOT_MANAGED, reporting.clone());
    let jobs = watch::children::<Job>(place.api(&context.client), labels::MANAGED, reporting.clone());
    let certificates = while_served::<Certificate>(ForeignKind::Certificate, &place, &reporting, &context);
    let counts = context.links.counts_changed(reader.clone());
    let work = Arc::new(Work { context: context.clone(), registered: Registered::default() });
    let told = work.clone();
    let leading = watch::leading(context.gate.subscribe()).inspect(move |()| told.registered.forget_all());
    controller
        .watches_stream(foreign_secrets, move |secret| referring_to(&referring, &secret))
        .watches_stream(jobs, move |job| labelled(&copied, &job))
        .watches_stream(certificates, move |certificate| labelled(&certified, &certificate))
        .reconcile_on(counts)
        .reconcile_all_on(leading)
        .reconcile_all_on(context.served.changes())
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, on_error, work)
        .for_each(|_| async {})
        .await;
}

type Instances = Controller<Guarded<AnalyticsInstance>>;

fn own<K>(controller: Instances, place: &Place, reporting: &Reporting, context: &Context) -> Instances
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
    PartialObjectMeta<K>: serde::de::DeserializeOwned,
{
    let api: Api<PartialObjectMeta<K>> = place.api(&context.client);
    controller.owns_stream(watch::children::<K>(api, labels::MANAGED, reporting.clone()))
}

/// Instances whose spec names a Secret that is not ours.
fn referring_to(
    store: &Store<Guarded<AnalyticsInstance>>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<Guarded<AnalyticsInstance>>> {
    let (name, namespace) = (secret.name_any(), secret.namespace());
    store
        .state()
        .iter()
        .filter(|object| object.namespace() == namespace)
        .filter(|object| object.0.as_ref().is_ok_and(|instance| refers(instance, &name)))
        .map(|object| ObjectRef::from_obj(object.as_ref()))
        .collect()
}

/// Changes of a kind that the cluster need not know, from when it does.
fn while_served<K>(
    kind: ForeignKind,
    place: &Place,
    reporting: &Reporting,
    context: &Context,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
    PartialObjectMeta<K>: serde::de::DeserializeOwned,
{
    let api: Api<PartialObjectMeta<K>> = place.api(&context.client);
    let reporting = reporting.apart();
    let done = reporting.clone();
    let begin = move || watch::children::<K>(api.clone(), labels::MANAGED, reporting.clone()).boxed();
    context.served.while_served(kind, begin, move || done.done_with::<K>())
}

/// The instance that an object belongs to by its labels; its owner is a child of ours: of a Job
/// the CronJob, of a Certificate the Ingress.
fn labelled<K>(
    store: &Store<Guarded<AnalyticsInstance>>,
    object: &PartialObjectMeta<K>,
) -> Option<ObjectRef<Guarded<AnalyticsInstance>>> {
    let labels = object.metadata.labels.as_ref()?;
    let name = labels.get("app.kubernetes.io/instance")?;
    let instance = ObjectRef::new(name).within(object.metadata.namespace.as_ref()?);
    store.get(&instance).map(|_| instance)
}

fn refers(instance: &AnalyticsInstance, secret: &str) -> bool {
    let spec = &instance.spec;
    let external = spec.database.external.as_ref();
    let named = [
        spec.access.admin_secret_ref.as_ref().map(|reference| &reference.name),
        external.map(|external| &external.url_from.name),
        external.and_then(|external| external.ca.as_ref()).map(|reference| &reference.name),
        spec.site.as_ref().map(|site| &site.secret_ref.name),
    ];
    named.into_iter().flatten().any(|name| name == secret)
        || notifications::refers(instance, secret)
        || certificate_secret(&instance.name_any(), spec).as_deref() == Some(secret)
}

async fn reconcile(object: Arc<Guarded<AnalyticsInstance>>, work: Arc<Work>) -> Result<Action, Error> {
    let context = &work.context;
    if !context.gate.is_open() {
        context.metrics.reconciles.with_label_values(&[NAME, "standby"]).inc();
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    context.stores.mostly_ready().await;
    let result = match &object.0 {
        Ok(instance) => reconcile_instance(instance, &work).await,
        Err(invalid) => {
            show(context, &InstanceKey::of(object.as_ref()), false, true);
            report_unreadable::<AnalyticsInstance>(context, invalid, FIELD_MANAGER).await.map(|()| RESYNC)
        }
    };
    context.metrics.reconcile_seconds.with_label_values(&[NAME]).observe(begun.elapsed().as_secs_f64());
    match result {
        Err(Error::Standby) => Ok(Action::await_change()),
        Ok(again) => {
            context.metrics.reconciles.with_label_values(&[NAME, "ok"]).inc();
            context.retries.succeeded(&retry_key(&object));
            Ok(Action::requeue(jittered(again)))
        }
        Err(error) => {
            context.metrics.reconciles.with_label_values(&[NAME, "error"]).inc();
            context.metrics.reconcile_errors.with_label_values(&[NAME, error.reason()]).inc();
            tracing::warn!(instance = %InstanceKey::of(object.as_ref()), %error, "an instance is not as it should be");
            Err(error)
        }
    }
}

fn on_error(object: Arc<Guarded<AnalyticsInstance>>, _: &Error, work: Arc<Work>) -> Action {
    Action::requeue(work.context.retries.failed(&retry_key(&object)))
}

fn retry_key(object: &Guarded<AnalyticsInstance>) -> String {
    format!("{NAME} {}", InstanceKey::of(object))
}

/// Says when to look again.
async fn reconcile_instance(instance: &AnalyticsInstance, work: &Work) -> Result<Duration, Error> {
    let context = work.context.as_ref();
    if instance.metadata.deletion_timestamp.is_some() {
        // The garbage collector takes the children; there is nothing else to do.
        return Ok(RESYNC);
    }
    let namespace = instance.namespace().unwrap_or_default();
    let served = context.served.kinds().await;
    let mut live = Live::read(&context.client, &namespace, &instance.name_any(), served).await?;
    let result = if instance.spec.paused { Ok(RESYNC) } else { bring_about(instance, work, &mut live).await };
    if matches!(result, Err(Error::Standby)) {
        return result;
    }
    let endpoints = context.links.counts(&InstanceKey::of(instance));
    let seen = status::observe(context, instance, &live, endpoints, result.as_ref().err()).await?;
    let now = Timestamp::now();
    let conditions = status::compute(instance, &seen, &context.settings.image, now).conditions;
    let holds =
        |kind: &str| conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    show(context, &InstanceKey::of(instance), holds("Ready"), holds("Degraded"));
    status::write(context, instance, |live| status::compute(live, &seen, &context.settings.image, now))
        .await?;
    // How a pod fails is not watched.
    let starting = seen.database.is_some_and(|database| !database.answers());
    result.map(|again| if starting { STARTING } else { again })
}

/// Shows in the metrics how an instance is, if it still is and this process is to say so.
fn show(context: &Context, key: &InstanceKey, ready: bool, degraded: bool) {
    context.metrics.tell_instance(key, ready, degraded);
    // Looked at last: whoever takes it away may have done so just before.
    if !context.gate.is_open() || !context.stores.knows(key) {
        context.metrics.forget_instance(key);
    }
}

/// The phases from dereference to prune. Says when to look again.
async fn bring_about(instance: &AnalyticsInstance, work: &Work, live: &mut Live) -> Result<Duration, Error> {
    let context = work.context.as_ref();
    let references = dereference(context, instance, live).await?;
    let token = references.admin_token.clone();
    let plan = validate(instance, references, &context.settings)?;
    let children = build(&plan)?.in_order()?;
    // What was refused is told at the end: it is no reason to leave anything else undone.
    let claim = backup::ensure_claim(context, &plan).await;
    let ours = matches!(claim, Ok(()) | Err(Error::StorageNotExpandable { .. } | Error::ClaimDiffers(_)));
    // Copies must not land on a volume that is somebody else's.
    let safe: Vec<_> =
        children.iter().filter(|child| ours || child.kind != ChildKind::CronJob).cloned().collect();
    let refused = apply(context, &plan, &safe, live).await?;
    // The old way in stays until there is another, and a database until its volume does not go with it.
    let shut = refused.iter().any(|(kind, _)| kind.is_way_in());
    let freed = free(context, &plan, &children, live).await;
    let held = !matches!(freed, Ok(true));
    let spared = |kind: ChildKind| (shut && kind.is_way_in()) || (held && kind == ChildKind::StatefulSet);
    let pruned = prune(context, &plan.namespace, &plan.uid, &children, live, spared).await?;
    // Another process may lead by the time of an answer, and may have told what is newer.
    let told = context.gate.while_open(tell_api(work, instance, &plan, live, &token, &pruned)).await;
    let told = told.unwrap_or(Err(Error::Standby));
    refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error)).and(claim).and(told)?;
    // Its controller tells when it has let go; this is in case that is missed.
    freed.map(|freed| if freed { RESYNC } else { STARTING })
}

/// Whether a database that is wanted no more may go, its volume left behind.
async fn free(context: &Context, plan: &Plan, children: &[Child], live: &Live) -> Result<bool, Error> {
    let mut left = leftovers(children, live, &plan.uid).into_iter();
    match left.find(|(kind, _)| *kind == ChildKind::StatefulSet) {
        Some((_, set)) => storage::let_go(context, &plan.namespace, set).await,
        None => Ok(true),
    }
}

/// Tells the API about projects and channels, as soon as there is an API.
async fn tell_api(
    work: &Work,
    instance: &AnalyticsInstance,
    plan: &Plan,
    live: &Live,
    token: &str,
    pruned: &[kube::api::DynamicObject],
) -> Result<(), Error> {
    let context = work.context.as_ref();
    let deployment = live.get(ChildKind::Deployment, &plan.child_name("api"));
    let workload = status::Workload::read("api", deployment);
    if workload.ready == 0 {
        work.registered.forget(&plan.uid);
        return Ok(());
    }
    let url = context.settings.api_url(&plan.namespace, &plan.name);
    let api = ApiClient::new(context.links.http(), &url, token);
    projects::forget(context, &api, pruned, plan).await;
    let channels = notifications::tell(context, &work.registered, instance, &api).await;
    let told = projects::register(context, &work.registered, plan, &api).await.and(channels);
    // A pod of before may have answered, whose database may be another: what it heard has to be told again.
    if !workload.settled {
        work.registered.forget(&plan.uid);
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_of_any_secret_that_the_spec_names_is_noticed() {
        let instance = |spec| AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap());
        let external = instance(json!({
            "database": {"external": {"urlFrom": {"name": "db", "key": "url"}, "ca": {"name": "ca", "key": "ca"}}},
            "access": {"adminSecretRef": {"name": "boss", "key": "token"}},
            "ingress": {"host": "a.example", "tls": {"issuerRef": {"name": "x"}}},
            "notifications": {"channels": [{"name": "ops", "slack":
                {"url": {"valueFrom": {"secretKeyRef": {"name": "slack", "key": "url"}}}}}]}}));
        for name in ["db", "ca", "boss", "shop-tls", "slack"] {
            assert!(refers(&external, name), "{name}");
        }
        assert!(!refers(&external, "other"));
        assert!(!refers(&instance(json!({})), "shop-tls"));
    }
}
