//! Makes, follows and removes the endpoints of annotated objects of one kind, while any instance looks
//! for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::discovery::Source;
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};

use super::annotations::{self, Wish};
use super::endpoint::{self, Parts};
use super::write::{api, delete, settle};
use super::{Object, Refusal, instance, target};
use crate::analytics_instance::apply::owned_by;
use crate::context::{Context, Error};
use crate::foreign::ForeignKind;
use crate::labels;
use crate::monitored_endpoint::dereference::{Admission, admit};
use crate::monitored_endpoint::link;
use crate::retry::jittered;
use crate::run::Place;
use crate::stores::{Guarded, InstanceKey};
use crate::watch::{self, Reporting};

const NAME: &str = "discovery";
const RESYNC: Duration = Duration::from_secs(10 * 3_600);
/// Reason of an endpoint that stays because nobody can tell whether it is wanted.
const UNDECIDED: &str = "Undecided";

/// One kind of annotated objects in one part of the cluster.
#[derive(Clone)]
pub struct Look {
    /// The kind.
    pub source: Source,
    /// Where.
    pub place: Place,
    /// What its watches report to.
    pub reporting: Reporting,
}

impl Look {
    fn foreign(&self) -> Option<ForeignKind> {
        (self.source == Source::HttpRoute).then_some(ForeignKind::HttpRoute)
    }
}

struct Work {
    context: Arc<Context>,
    source: Source,
    known: Known,
}

/// Says whether there is an object of a namespace and name.
type Known = Arc<dyn Fn(&InstanceKey) -> bool + Send + Sync>;

/// Looks for objects of a kind as long as any instance wants it and the cluster serves the kind, until
/// told to stop.
pub async fn run<K>(
    look: Look,
    context: Arc<Context>,
    instances: broadcast::Sender<InstanceKey>,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
    PartialObjectMeta<K>: DeserializeOwned,
{
    let mut wanted = context.discovery.wanted();
    let source = look.source;
    while !stop.is_cancelled() {
        let begin = async {
            // An error means that nobody decides any more, which is when the process ends.
            wanted.wait_for(|wanted| wanted.contains(&source)).await.ok()?;
            match look.foreign() {
                Some(kind) => context.served.until(kind, true).await,
                None => Some(()),
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            begun = begin => if begun.is_none() { return },
        }
        let ended = stop.child_token();
        let over = async {
            let gone = async {
                match look.foreign() {
                    Some(kind) => context.served.until(kind, false).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = wanted.wait_for(|wanted| !wanted.contains(&source)) => {}
                _ = gone => {}
            }
        };
        let mut session =
            std::pin::pin!(session::<K>(&look, context.clone(), instances.subscribe(), ended.clone()));
        tokio::select! {
            () = &mut session => {}
            () = over => {
                ended.cancel();
                session.await;
            }
        }
    }
}

async fn session<K>(
    look: &Look,
    context: Arc<Context>,
    instances: broadcast::Receiver<InstanceKey>,
    ended: CancellationToken,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
    PartialObjectMeta<K>: DeserializeOwned,
{
    let (reader, writer) = reflector::store::<PartialObjectMeta<K>>();
    let reporting = look.reporting.apart();
    let store = reader.clone();
    let known: Known = Arc::new(move |key: &InstanceKey| {
        store.get(&ObjectRef::new(&key.name).within(&key.namespace)).is_some()
    });
    let (concerned, exists, swept) = (context.clone(), known.clone(), look.clone());
    let gone = move || sweep(&concerned, &swept, &*exists);
    let stream = watch::annotated::<K>(look.place.api(&context.client), writer, reporting.clone(), gone);
    let of_source = format!("{}={}", labels::SOURCE, look.source.kind());
    let endpoints = watch::children_beside_status::<MonitoredEndpoint>(
        look.place.api(&context.client),
        &of_source,
        reporting,
    );
    let all = reader.clone();
    // What an instance lets in or looks for concerns every object.
    let heard = link::heard(instances).flat_map(move |_| futures::stream::iter(asking(&all)));
    let config = Config::default().concurrency(8).debounce(Duration::from_millis(200));
    let work = Arc::new(Work { context: context.clone(), source: look.source, known });
    Controller::for_stream(stream, reader)
        .with_config(config)
        .owns_stream(endpoints)
        .reconcile_on(heard)
        .reconcile_all_on(watch::leading(context.gate.subscribe()))
        .graceful_shutdown_on(ended.cancelled_owned())
        .run(reconcile::<K>, on_error::<K>, work)
        .for_each(|_| async {})
        .await;
    // Nobody looks for them any more.
    sweep(&context, look, |_| false);
}

/// Forgets what has kept objects from their endpoints that exist no more.
fn sweep(context: &Context, look: &Look, exists: impl Fn(&InstanceKey) -> bool) {
    let gone =
        |(source, key): &Object| *source == look.source && look.place.holds(&key.namespace) && !exists(key);
    recount(context, &context.discovery.forget_objects(gone));
}

fn recount(context: &Context, instances: &[InstanceKey]) {
    for key in instances {
        context.links.recount(key);
    }
}

fn asking<K>(store: &Store<PartialObjectMeta<K>>) -> Vec<ObjectRef<PartialObjectMeta<K>>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let all = store.state();
    let asks = all.iter().filter(|object| annotations::asks(object.annotations()));
    asks.map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}

fn on_error<K: Resource<DynamicType = ()>>(
    object: Arc<PartialObjectMeta<K>>,
    _: &Error,
    work: Arc<Work>,
) -> Action {
    Action::requeue(work.context.retries.failed(&retry_key(work.source, object.as_ref())))
}

fn retry_key<K: Resource>(source: Source, object: &K) -> String {
    format!("{NAME} {} {}", source.kind(), InstanceKey::of(object))
}

async fn reconcile<K>(object: Arc<PartialObjectMeta<K>>, work: Arc<Work>) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let context = work.context.as_ref();
    if !context.gate.is_open() {
        context.metrics.reconciles.with_label_values(&[NAME, "standby"]).inc();
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    context.stores.mostly_ready().await;
    let result = follow(context, work.source, object.as_ref()).await;
    let key = InstanceKey::of(object.as_ref());
    // It may have gone meanwhile, and that have been heard of before anything was noted.
    if !(work.known)(&key) {
        recount(context, &context.discovery.note(&(work.source, key), None));
    }
    context.metrics.reconcile_seconds.with_label_values(&[NAME]).observe(begun.elapsed().as_secs_f64());
    match result {
        Err(Error::Standby) => Ok(Action::await_change()),
        Ok(refusal) => {
            if let Some(Refusal { reason, message }) = refusal {
                context.events.say(&object.object_ref(&()), true, "Discover", reason, &message).await;
            }
            context.metrics.reconciles.with_label_values(&[NAME, "ok"]).inc();
            context.retries.succeeded(&retry_key(work.source, object.as_ref()));
            Ok(Action::requeue(jittered(RESYNC)))
        }
        Err(error) => {
            context.metrics.reconciles.with_label_values(&[NAME, "error"]).inc();
            context.metrics.reconcile_errors.with_label_values(&[NAME, error.reason()]).inc();
            tracing::warn!(object = %retry_key(work.source, object.as_ref()), %error, "an annotated object has not the endpoint that it should have");
            Err(error)
        }
    }
}

/// What an object should have.
enum Outcome {
    /// This endpoint, of this instance.
    Wanted(Box<Value>, InstanceKey),
    /// None; for this reason, if it is one to tell.
    Unwanted(Option<Refusal>),
    /// Nobody can tell; what is there stays.
    Refused(Refusal),
}

/// Makes the endpoint of an object be as it should; says what keeps it from that.
async fn follow<K>(
    context: &Context,
    source: Source,
    meta: &PartialObjectMeta<K>,
) -> Result<Option<Refusal>, Error>
where
    K: Resource<DynamicType = ()>,
{
    let namespace = meta.namespace().unwrap_or_default();
    let name = endpoint::name_of(source, &meta.name_any());
    let object = (source, InstanceKey::of(meta));
    let known = context.stores.endpoint(&namespace, &name);
    if known.is_none() && !annotations::asks(meta.annotations()) {
        recount(context, &context.discovery.note(&object, None));
        return Ok(None);
    }
    let uid = meta.uid().unwrap_or_default();
    let endpoints = api(context, &namespace);
    let live = endpoints.get_opt(&name).await?;
    let ours = |object: &DynamicObject| {
        owned_by(object, &uid)
            && object.labels().get(labels::SOURCE).map(String::as_str) == Some(source.kind())
    };
    let before = live.as_ref().filter(|live| ours(live)).and_then(endpoint::instance_of);
    let outcome = match annotations::read(meta.annotations()) {
        Ok(Some(wish)) => {
            decide::<K>(context, source, &namespace, &meta.name_any(), &wish, before.clone()).await?
        }
        Ok(None) => Outcome::Unwanted(None),
        Err(refusal) => Outcome::Refused(refusal),
    };
    let (key, result) = match (outcome, live) {
        (Outcome::Refused(refusal), _) => (None, Ok(Some(refusal))),
        (Outcome::Unwanted(reason), Some(live)) if ours(&live) => {
            (before, delete(context, &endpoints, &live).await.map(|()| reason))
        }
        (Outcome::Unwanted(reason), _) => (None, Ok(reason)),
        (Outcome::Wanted(..), Some(live)) if !ours(&live) => {
            let refusal = Refusal::new(
                "NameTaken",
                format!(
                    "there is a MonitoredEndpoint {name} that was not made of this object; rename it, or watch this object by it"
                ),
            );
            (None, Ok(Some(refusal)))
        }
        (Outcome::Wanted(wanted, key), live) => {
            let result = match settle(context, &endpoints, *wanted, live).await {
                // The schema knows better than the annotations what there may be.
                Err(Error::Apply { message, hopeless: true, .. }) => {
                    Ok(Some(Refusal::new("InvalidAnnotation", message)))
                }
                result => result.map(|()| None),
            };
            (Some(key), result)
        }
    };
    let forbidden = match (&key, &result) {
        (Some(key), Err(Error::Forbidden { message, .. })) => Some((key, message.as_str())),
        _ => None,
    };
    // Another failure says nothing of the permission.
    if forbidden.is_some() || result.is_ok() {
        recount(context, &context.discovery.note(&object, forbidden));
    }
    result
}

/// What an object should have that has an endpoint of the instance `before`, if it has one.
async fn decide<K>(
    context: &Context,
    source: Source,
    namespace: &str,
    name: &str,
    wish: &Wish,
    before: Option<InstanceKey>,
) -> Result<Outcome, Error>
where
    K: Resource<DynamicType = ()>,
{
    let mut looking = Vec::new();
    for found in context.stores.readable_instances() {
        if looks(&found, source, namespace) && admit(context, namespace, &found).await? == Admission::Allowed
        {
            looking.push(found);
        }
    }
    let candidates: Vec<InstanceKey> = looking.iter().map(|found| InstanceKey::of(found.as_ref())).collect();
    let chosen = instance::choose(&candidates, wish, namespace);
    // What its instance has measured is gone with an endpoint. So only who knows that it wants none of the
    // object takes it away, or who does what the object itself says.
    let meant = |key: &InstanceKey| wish.instance.is_some() || Some(key) == before.as_ref();
    if let Some(before) = &before
        && !chosen.as_ref().is_ok_and(|key| key.as_ref().is_some_and(meant))
        && let Some(doubt) = doubt(context, source, namespace, before).await?
    {
        return Ok(Outcome::Refused(doubt));
    }
    let key = match chosen {
        Ok(Some(key)) => key,
        Ok(None) => return Ok(Outcome::Unwanted(None)),
        // It may have been let in before, and has no place there now.
        Err(refusal) if refusal.reason == instance::NOT_LOOKING => {
            return Ok(Outcome::Unwanted(Some(refusal)));
        }
        Err(refusal) => return Ok(Outcome::Refused(refusal)),
    };
    let found = candidates.iter().zip(&looking).find(|(candidate, _)| **candidate == key);
    let Some(defaults) = found.and_then(|(_, found)| found.0.as_ref().ok()).map(defaults) else {
        return Ok(Outcome::Unwanted(None));
    };
    let sources: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), namespace, &ApiResource::erase::<K>(&()));
    let Some(object) = sources.get_opt(name).await? else {
        return Ok(Outcome::Unwanted(None));
    };
    let uid = object.uid().unwrap_or_default();
    let value = serde_json::to_value(&object).map_err(|error| Error::Kube(kube::Error::SerdeError(error)))?;
    let target = match target::find(source, &value, wish) {
        Ok(target) => target,
        Err(refusal) => return Ok(Outcome::Refused(refusal)),
    };
    let wanted = endpoint::build(&Parts {
        source,
        api_version: &K::api_version(&()),
        namespace,
        name,
        uid: &uid,
        wish,
        target: &target,
        instance: &key,
        defaults,
    });
    Ok(Outcome::Wanted(Box::new(wanted), key))
}

fn looks(found: &Guarded<AnalyticsInstance>, source: Source, namespace: &str) -> bool {
    found.0.as_ref().is_ok_and(|found| instance::looks(found, source, namespace))
}

/// Why nobody can tell whether an instance wants an endpoint of an object; nothing where that is clear.
async fn doubt(
    context: &Context,
    source: Source,
    namespace: &str,
    key: &InstanceKey,
) -> Result<Option<Refusal>, Error> {
    let Some(found) = context.stores.instance(key) else {
        let refusal = Refusal::new(
            UNDECIDED,
            format!(
                "AnalyticsInstance {key} cannot be read, and until it can, its endpoint of this object stays"
            ),
        );
        return Ok((!context.stores.lacks(key)).then_some(refusal));
    };
    if !looks(&found, source, namespace) || admit(context, namespace, &found).await? != Admission::Unreadable
    {
        return Ok(None);
    }
    Ok(Some(Refusal::new(
        UNDECIDED,
        format!(
            "the operator may not read the labels of namespace {namespace}, by which AnalyticsInstance {key} chooses, so its endpoint of this object stays as it is; set spec.endpoints.namespaceSelector of {key} to {{}} or let the operator read Namespaces"
        ),
    )))
}

fn defaults(instance: &AnalyticsInstance) -> &watchkeeper_crds::discovery::Discovery {
    &instance.spec.endpoints.discovery
}

/// Whether an endpoint was made of an object that no instance looks for any more.
#[must_use]
pub fn is_leftover(context: &Context, endpoint: &MonitoredEndpoint) -> bool {
    let Some(source) = endpoint::source_of(endpoint) else {
        return false;
    };
    let key = InstanceKey::referred(endpoint);
    match context.stores.instance(&key) {
        Some(found) => found
            .0
            .as_ref()
            .is_ok_and(|found| !instance::looks(found, source, &endpoint.namespace().unwrap_or_default())),
        // Not known yet, or not readable, is not gone.
        None => context.stores.lacks(&key),
    }
}

/// Deletes an endpoint that is left over.
///
/// # Errors
/// What the API server says.
pub async fn remove(context: &Context, endpoint: &MonitoredEndpoint) -> Result<(), Error> {
    let endpoints = api(context, &endpoint.namespace().unwrap_or_default());
    match endpoints.get_opt(&endpoint.name_any()).await? {
        Some(live) if live.uid() == endpoint.uid() => delete(context, &endpoints, &live).await,
        _ => Ok(()),
    }
}
