//! The streams of changes that start reconciles: trimmed, in pages, told apart by what matters.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{PredicateConfig, WatchStreamExt, predicates, watcher as watch};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch as flag};

use crate::discovery::annotations;
use crate::health::Health;
use crate::labels;
use crate::metrics::Metrics;
use crate::stores::{Guarded, InstanceKey};

const PAGE: u32 = 50;

/// What all watches report to.
#[derive(Clone)]
pub struct Reporting {
    /// Knows what is pending.
    pub health: Health,
    /// Counts errors.
    pub metrics: Arc<Metrics>,
    /// Where the watch looks, for people.
    pub place: String,
}

impl Reporting {
    /// For watches without which the process is ready all the same.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { health: Health::default(), ..self.clone() }
    }

    /// Notes that a kind is known to be unknown, which is all right.
    pub fn done_with<K: Resource<DynamicType = ()>>(&self) {
        self.metrics.crd_missing.with_label_values(&[&*K::kind(&())]).set(0);
    }

    fn pending<K: Resource<DynamicType = ()>>(&self) -> String {
        format!("watch of {} in {}", K::kind(&()), self.place)
    }

    fn see<K: Resource<DynamicType = ()>, T>(&self, event: &Result<Event<T>, watcher::Error>) {
        let kind = K::kind(&());
        match event {
            Ok(Event::InitDone) => {
                self.health.settle(&self.pending::<K>());
                self.metrics.crd_missing.with_label_values(&[&*kind]).set(0);
            }
            Ok(_) => {}
            Err(error) => {
                self.metrics.watch_errors.with_label_values(&[&*kind]).inc();
                let missing = matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404);
                if missing {
                    self.metrics.crd_missing.with_label_values(&[&*kind]).set(1);
                    tracing::warn!(%kind, "the API server does not know this kind: install the CRDs");
                } else {
                    tracing::warn!(%kind, %error, "a watch failed and begins again");
                }
            }
        }
    }
}

/// Who hears of changes of objects, once the store knows them.
pub struct News<K> {
    /// The instance that an object concerns.
    pub about: fn(&Guarded<K>) -> InstanceKey,
    /// What makes a change of an object one to tell; nothing while it concerns nobody.
    pub essence: fn(&Guarded<K>) -> Option<u64>,
    /// Hears of the instances.
    pub changed: mpsc::UnboundedSender<InstanceKey>,
}

/// Hash of uid and generation: news is what is new, has another spec, or is gone.
#[must_use]
pub fn version<K: Resource>(object: &K) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    object.meta().uid.hash(&mut hasher);
    object.meta().generation.hash(&mut hasher);
    Some(hasher.finish())
}

/// Changes of one of the two kinds, after they are in the store. Emits an object when its
/// generation, finalizers, deletion or uid change; status is no reason.
pub fn primary<K>(
    api: Api<Guarded<K>>,
    writer: Writer<Guarded<K>>,
    reporting: Reporting,
    news: News<K>,
) -> impl Stream<Item = Result<Guarded<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    reporting.health.pend(&reporting.pending::<K>());
    let mut tap = Tap { known: HashMap::new(), arriving: Vec::new(), news };
    let mut shown = 0;
    let seen = reporting.clone();
    watch(api, watcher::Config::default().page_size(PAGE))
        .inspect(move |event| reporting.see::<K, _>(event))
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .inspect(move |event| {
            tap.see(event);
            let count = i64::try_from(tap.known.len()).unwrap_or(i64::MAX);
            // Other places have theirs.
            seen.metrics.objects.with_label_values(&[&*K::kind(&())]).add(count - shown);
            shown = count;
        })
        .applied_objects()
        .predicate_filter(essence::<Guarded<K>>, PredicateConfig::default())
}

/// Hash of all that a reconcile of a primary object depends on.
fn essence<K: Resource>(object: &K) -> Option<u64> {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    meta.generation.hash(&mut hasher);
    meta.finalizers.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    meta.uid.hash(&mut hasher);
    Some(hasher.finish())
}

/// The instance that an object concerns, and how.
type Concern = Option<(InstanceKey, u64)>;

/// Tells others whom the objects concern that are new, changed or gone.
struct Tap<K> {
    /// By namespace and name of the object.
    known: HashMap<InstanceKey, Concern>,
    arriving: Vec<(InstanceKey, Concern)>,
    news: News<K>,
}

impl<K> Tap<K>
where
    Guarded<K>: Resource,
{
    fn concern(&self, object: &Guarded<K>) -> Concern {
        (self.news.essence)(object).map(|essence| ((self.news.about)(object), essence))
    }

    fn see(&mut self, event: &Result<Event<Guarded<K>>, watcher::Error>) {
        match event {
            Ok(Event::Init) => self.arriving.clear(),
            // The store shows the objects of a list only when the list is complete.
            Ok(Event::InitApply(object)) => {
                let concern = self.concern(object);
                self.arriving.push((InstanceKey::of(object), concern));
            }
            Ok(Event::InitDone) => {
                let now: HashMap<_, _> = self.arriving.drain(..).collect();
                let before = std::mem::take(&mut self.known);
                for (_, gone) in before.iter().filter(|(key, _)| !now.contains_key(*key)) {
                    self.tell(gone);
                }
                for (key, concern) in &now {
                    if before.get(key) != Some(concern) {
                        self.tell(concern);
                    }
                }
                self.known = now;
            }
            Ok(Event::Apply(object)) => {
                let concern = self.concern(object);
                let before = self.known.insert(InstanceKey::of(object), concern.clone()).flatten();
                if before != concern {
                    self.tell(&concern);
                    // Whom it concerns no more wants to know too.
                    if before.as_ref().map(|(key, _)| key) != concern.as_ref().map(|(key, _)| key) {
                        self.tell(&before);
                    }
                }
            }
            Ok(Event::Delete(object)) => {
                let gone = self.known.remove(&InstanceKey::of(object)).flatten();
                self.tell(&gone);
            }
            Err(_) => {}
        }
    }

    fn tell(&self, concern: &Concern) {
        if let Some((key, _)) = concern {
            // Nobody listens any more only when the process is ending.
            let _ = self.news.changed.send(key.clone());
        }
    }
}

/// Objects of which some carry annotations of ours, after their metadata is in the store. Emits those
/// that ask for something, and those that did when they were seen last. Calls `gone` when the store may
/// have lost some.
pub fn annotated<K>(
    api: Api<PartialObjectMeta<K>>,
    writer: Writer<PartialObjectMeta<K>>,
    reporting: Reporting,
    gone: impl Fn() + Send + 'static,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: DeserializeOwned,
{
    let mut asked = HashSet::new();
    selected(api, labels::NOT_MANAGED, reporting)
        .modify(|object: &mut PartialObjectMeta<K>| {
            object.metadata.managed_fields = None;
            object.metadata.labels = None;
            object.metadata.owner_references = None;
            let annotations = object.metadata.annotations.take().unwrap_or_default();
            let ours = annotations.into_iter().filter(|(name, _)| name.starts_with(annotations::PREFIX));
            object.metadata.annotations = Some(ours.collect());
        })
        .reflect(writer)
        .inspect(move |event| {
            if matches!(event, Ok(Event::Delete(_) | Event::InitDone)) {
                gone();
            }
        })
        .applied_objects()
        .predicate_filter(wishes::<PartialObjectMeta<K>>, PredicateConfig::default())
        .try_filter_map(move |object| {
            let key = InstanceKey::of(&object);
            let news = if annotations::asks(object.annotations()) {
                asked.insert(key);
                true
            } else {
                asked.remove(&key)
            };
            std::future::ready(Ok(news.then_some(object)))
        })
}

/// Hash of all that an annotated object's endpoint depends on.
fn wishes<K: Resource>(object: &K) -> Option<u64> {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    meta.uid.hash(&mut hasher);
    meta.annotations.hash(&mut hasher);
    // A Service has no generation.
    match meta.generation {
        Some(generation) => generation.hash(&mut hasher),
        None => meta.resource_version.hash(&mut hasher),
    }
    Some(hasher.finish())
}

/// Every change of child objects, as metadata only.
pub fn children<K>(
    api: Api<PartialObjectMeta<K>>,
    selector: &str,
    reporting: Reporting,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: DeserializeOwned,
{
    selected(api, selector, reporting)
        .modify(trim)
        .touched_objects()
        .predicate_filter(predicates::resource_version, PredicateConfig::default())
}

/// As [`children`], of a kind whose controller writes status all the time, and which has no
/// generation: what is in status is no reason.
pub fn children_beside_status<K>(
    api: Api<PartialObjectMeta<K>>,
    selector: &str,
    reporting: Reporting,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: DeserializeOwned,
{
    let mut known = HashMap::new();
    selected(api, selector, reporting)
        .try_filter_map(move |event| {
            let news = match &event {
                Event::Apply(object) | Event::InitApply(object) => {
                    let hash = written_beside_status(object);
                    known.insert(InstanceKey::of(object), hash) != Some(hash)
                }
                Event::Delete(object) => {
                    known.remove(&InstanceKey::of(object));
                    true
                }
                Event::Init | Event::InitDone => true,
            };
            std::future::ready(Ok(news.then_some(event)))
        })
        .modify(trim)
        .touched_objects()
}

/// What happens to the objects that a selector selects, told to whoever reports on watches.
fn selected<K>(
    api: Api<PartialObjectMeta<K>>,
    selector: &str,
    mut reporting: Reporting,
) -> impl Stream<Item = Result<Event<PartialObjectMeta<K>>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: DeserializeOwned,
{
    reporting.place = format!("{} ({selector})", reporting.place);
    reporting.health.pend(&reporting.pending::<K>());
    watch(api, watcher::Config::default().labels(selector).page_size(PAGE))
        .inspect(move |event| reporting.see::<K, _>(event))
        .default_backoff()
}

/// Leaves out what no reconcile reads of a child.
fn trim<K>(object: &mut PartialObjectMeta<K>) {
    object.metadata.managed_fields = None;
    object.metadata.annotations = None;
}

/// Hash of who has written what of an object when, its status aside.
fn written_beside_status<K: Resource>(object: &K) -> u64 {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    meta.uid.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    for entry in meta.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none()) {
        entry.manager.hash(&mut hasher);
        entry.time.as_ref().map(|time| time.0.as_nanosecond()).hash(&mut hasher);
        entry.fields_v1.as_ref().map(|fields| fields.0.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Says so each time this process comes to lead.
pub fn leading(flag: flag::Receiver<bool>) -> impl Stream<Item = ()> + Send + 'static {
    futures::stream::unfold(flag, |mut flag| async move {
        loop {
            flag.changed().await.ok()?;
            if *flag.borrow_and_update() {
                return Some(((), flag));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_a_controller_writes_into_status_is_no_news_and_what_anybody_writes_beside_it_is() {
        let hash = |more: Value| {
            let mut entries = vec![json!({"manager": "us", "operation": "Apply", "apiVersion": "v2",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}})];
            entries.extend(more.is_object().then_some(more));
            let object: HorizontalPodAutoscaler =
                serde_json::from_value(json!({"metadata": {"uid": "u", "managedFields": entries}})).unwrap();
            written_beside_status(&object)
        };
        let before = hash(Value::Null);
        let by = |time: &str| {
            json!({"manager": "them", "operation": "Update", "apiVersion": "v2",
            "time": time, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}})
        };
        let mut status = by("2026-01-01T00:00:01Z");
        status["subresource"] = json!("status");
        assert_eq!(hash(status), before);
        assert_ne!(hash(by("2026-01-01T00:00:01Z")), before);
        assert_ne!(hash(by("2026-01-01T00:00:01Z")), hash(by("2026-01-01T00:00:02Z")));
    }
}
