//! Links: one connection to the API of each instance that has endpoints. A link compares
//! the full set at its start and now and then, so that leftovers go and losses are told
//! again, and hears of every transition in between.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::analytics_instance::EndpointCounts;
use watchkeeper_crds::monitored_endpoint::EndpointState;
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};

use super::pace::{BEAT, gathered, portions};
use super::push::{ApiClient, ApiError, Payload, Report};
use super::status::is_stale;
use crate::analytics_instance::dereference::trimmed;
use crate::analytics_instance::diff::hash;
use crate::analytics_instance::plan::admin_secret_of;
use crate::context::{Context, Error, Settings};
use crate::metrics::Metrics;
use crate::retry::{backoff, jittered};
use crate::stores::{Guarded, InstanceKey, Stores};

/// Time for which changes of counts are gathered. Of many endpoints some change all the time, and the
/// reconcile of an instance, which its controller puts off while it is asked for, would never come.
const COUNTING: Duration = Duration::from_secs(2);

/// Links to the APIs of all instances.
pub struct Links {
    http: reqwest::Client,
    settings: Settings,
    stores: Stores,
    metrics: Arc<Metrics>,
    links: Mutex<HashMap<InstanceKey, Arc<Link>>>,
    begin: tokio::sync::Notify,
    /// Uids of endpoints that should be looked at again.
    touched: broadcast::Sender<Arc<HashSet<String>>>,
    /// Instances whose counts have changed.
    counted: broadcast::Sender<InstanceKey>,
}

#[derive(Default)]
struct Link {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// How endpoints are, by uid.
    reports: HashMap<String, Report>,
    /// Hash of what the API was told, by uid.
    told: HashMap<String, String>,
    running: bool,
}

impl Link {
    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// Links that none needs yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: Settings, stores: Stores, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("watchkeeper-operator/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(60))
            // An API is inside the cluster: no proxy stands between.
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            settings,
            stores,
            metrics,
            links: Mutex::default(),
            begin: tokio::sync::Notify::new(),
            touched: broadcast::channel(1_024).0,
            counted: broadcast::channel(1_024).0,
        })
    }

    /// The HTTP client that all calls share.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    fn link(&self, key: &InstanceKey) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.entry(key.clone()).or_default().clone()
    }

    /// How an endpoint is, as far as its API has said.
    #[must_use]
    pub fn report(&self, key: &InstanceKey, uid: &str) -> Option<Report> {
        self.link(key).lock().reports.get(uid).cloned()
    }

    /// How many endpoints an instance has and how they are.
    #[must_use]
    pub fn counts(&self, key: &InstanceKey) -> EndpointCounts {
        let link = self.link(key);
        let known = link.lock();
        let mut counts = EndpointCounts::default();
        for object in self.stores.endpoints_of(key) {
            let Some(uid) = object.uid() else { continue };
            let Ok(endpoint) = &object.0 else { continue };
            if endpoint.metadata.deletion_timestamp.is_some() {
                continue;
            }
            // Until its API has spoken, what was written last is the best guess.
            let written = endpoint.status.as_ref().and_then(|status| status.state);
            let state = known.reports.get(&uid).map(|report| report.state).or(written);
            counts.total += 1;
            match state {
                Some(EndpointState::Up) => counts.up += 1,
                Some(EndpointState::Down) => counts.down += 1,
                Some(EndpointState::Degraded) => counts.degraded += 1,
                _ => {}
            }
        }
        counts
    }

    /// Tells the API of an instance about an endpoint, unless it was told the same before.
    ///
    /// # Errors
    /// What the API says, or why it cannot be asked.
    pub async fn tell(
        &self,
        context: &Context,
        key: &InstanceKey,
        uid: &str,
        payload: &Payload,
    ) -> Result<(), Error> {
        let link = self.link(key);
        self.begin.notify_one();
        let told = hash(&serde_json::to_string(payload).unwrap_or_default());
        if link.lock().told.get(uid) == Some(&told) {
            return Ok(());
        }
        let api = self.api(context, key).await?;
        // Another process may lead by the time of an answer, and may have told what is newer.
        let put = context.gate.while_open(api.put_endpoint(uid, payload)).await;
        let result = put.ok_or(Error::Standby)?;
        self.count("put_endpoint", result.is_ok());
        result?;
        link.lock().told.insert(uid.to_owned(), told);
        Ok(())
    }

    /// Makes the API of an instance forget an endpoint.
    ///
    /// # Errors
    /// What the API says, or why it cannot be asked.
    pub async fn forget(&self, context: &Context, key: &InstanceKey, uid: &str) -> Result<(), Error> {
        let api = self.api(context, key).await?;
        let result = api.delete_endpoint(uid).await;
        self.count("delete_endpoint", result.is_ok());
        result?;
        let link = self.link(key);
        let mut known = link.lock();
        known.told.remove(uid);
        known.reports.remove(uid);
        drop(known);
        self.recount(key);
        Ok(())
    }

    /// Says that an instance's endpoints may have to be counted again.
    pub fn recount(&self, key: &InstanceKey) {
        // Nobody listens any more only when the process is ending.
        let _ = self.counted.send(key.clone());
    }

    async fn api(&self, context: &Context, key: &InstanceKey) -> Result<ApiClient, Error> {
        let found = self.stores.instance(key);
        let Some(Ok(instance)) = found.as_deref().map(|object| object.0.as_ref()) else {
            return Err(ApiError::Unreachable(format!("there is no AnalyticsInstance {key}")).into());
        };
        let reference = admin_secret_of(&key.name, &instance.spec);
        let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &key.namespace);
        let token = secrets
            .get_opt(&reference.name)
            .await?
            .and_then(|secret| trimmed(&secret, &reference.key))
            .ok_or(Error::SecretMissing { name: reference.name, key: reference.key })?;
        let url = self.settings.api_url(&key.namespace, &key.name);
        Ok(ApiClient::new(&self.http, &url, &token))
    }

    fn count(&self, operation: &str, ok: bool) {
        let outcome = if ok { "ok" } else { "error" };
        self.metrics.api_calls.with_label_values(&[operation, outcome]).inc();
    }

    /// Instances whose counts have changed, as reasons to reconcile them.
    pub fn counts_changed(
        &self,
        reader: Store<Guarded<AnalyticsInstance>>,
    ) -> impl Stream<Item = ObjectRef<Guarded<AnalyticsInstance>>> + Send + 'static {
        gathered(self.counted.subscribe(), COUNTING).flat_map(move |keys| {
            let of_keys = |object: &Arc<Guarded<AnalyticsInstance>>| {
                keys.as_ref().is_none_or(|keys| keys.contains(&InstanceKey::of(object.as_ref())))
            };
            let found: Vec<_> = reader
                .state()
                .iter()
                .filter(|object| of_keys(object))
                .map(|object| ObjectRef::from_obj(object.as_ref()))
                .collect();
            futures::stream::iter(found)
        })
    }

    /// Endpoints that should be looked at again, as reasons to reconcile them.
    pub fn endpoints_touched(
        &self,
        reader: Store<Guarded<MonitoredEndpoint>>,
    ) -> impl Stream<Item = ObjectRef<Guarded<MonitoredEndpoint>>> + Send + 'static {
        heard(self.touched.subscribe()).flat_map(move |uids| {
            let of_uids = |object: &Arc<Guarded<MonitoredEndpoint>>| {
                let uid = object.meta().uid.as_ref();
                uids.as_ref().is_none_or(|uids| uid.is_some_and(|uid| uids.contains(uid)))
            };
            let found: Vec<_> = reader
                .state()
                .iter()
                .filter(|object| of_uids(object))
                .map(|object| ObjectRef::from_obj(object.as_ref()))
                .collect();
            futures::stream::iter(found)
        })
    }

    /// Keeps a link to every instance that needs one, while this process leads.
    pub async fn run(self: Arc<Self>, context: Arc<Context>, stop: CancellationToken) {
        let mut leading = context.gate.subscribe();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                leads = leading.wait_for(|leads| *leads) => if leads.is_err() { return },
            }
            let mut tasks = JoinSet::new();
            loop {
                let keys: Vec<InstanceKey> = {
                    let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
                    links.keys().cloned().collect()
                };
                for key in keys {
                    let link = self.link(&key);
                    let begins = !std::mem::replace(&mut link.lock().running, true);
                    if begins {
                        tasks.spawn(self.clone().follow(context.clone(), key, link));
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = leading.wait_for(|leads| !leads) => break,
                    () = self.begin.notified() => {}
                    Some(_) = tasks.join_next() => {}
                }
            }
            tasks.shutdown().await;
            // Another process writes now: what was told before may no longer hold.
            self.links.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Follows one instance until it is gone.
    async fn follow(self: Arc<Self>, context: Arc<Context>, key: InstanceKey, link: Arc<Link>) {
        self.stores.mostly_ready().await;
        let mut failures = 0;
        while self.stores.instance(&key).is_some() {
            let failed_before = failures;
            match self.session(&context, &key, &link, &mut failures).await {
                Ok(()) => {}
                Err(error) => {
                    failures += 1;
                    if failed_before == 0 {
                        tracing::warn!(instance = %key, %error, "the link to an instance's API is down");
                    }
                    tokio::time::sleep(jittered(backoff(failures).min(Duration::from_secs(30)))).await;
                }
            }
        }
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// One full comparison, then transitions until the next one is due or a call fails.
    async fn session(
        &self,
        context: &Context,
        key: &InstanceKey,
        link: &Link,
        failures: &mut u32,
    ) -> Result<(), Error> {
        let api = self.api(context, key).await?;
        let listing = api.list().await;
        self.count("list_endpoints", listing.is_ok());
        let listing = listing?;
        if *failures > 0 {
            tracing::info!(instance = %key, "the link to an instance's API is up");
        }
        *failures = 0;
        let aged = self.compare(&api, key, link, listing.endpoints).await?;
        let beats = async {
            for portion in portions(&aged, self.settings.api_resync) {
                tokio::time::sleep(BEAT).await;
                // Nobody listens any more only when the process is ending.
                let _ = self.touched.send(Arc::new(portion));
            }
            std::future::pending::<Result<(), Error>>().await
        };
        tokio::select! {
            ended = self.listen(&api, key, link, listing.cursor) => ended,
            ended = beats => ended,
        }
    }

    /// Hears of transitions until the next comparison is due, the instance is gone or a call fails.
    async fn listen(
        &self,
        api: &ApiClient,
        key: &InstanceKey,
        link: &Link,
        mut cursor: String,
    ) -> Result<(), Error> {
        let due = tokio::time::Instant::now() + jittered(self.settings.api_resync);
        while self.stores.instance(key).is_some() {
            let polled = tokio::time::timeout_at(due, api.transitions(&cursor)).await;
            let Ok(polled) = polled else { return Ok(()) };
            let news = polled.inspect_err(|_| self.count("transitions", false))?;
            cursor = news.cursor;
            if !news.transitions.is_empty() {
                self.hear(key, link, news.transitions);
            }
        }
        Ok(())
    }

    /// Removes what the API should not have, tells again what it has lost, and looks at endpoints whose
    /// state is new. Gives those of which only the newest check was written too long ago.
    async fn compare(
        &self,
        api: &ApiClient,
        key: &InstanceKey,
        link: &Link,
        listed: Vec<Report>,
    ) -> Result<Vec<String>, Error> {
        // Who does not know all that exist cannot tell what exists no more.
        let complete = self.stores.complete();
        let objects = self.stores.endpoints_of(key);
        // An endpoint that cannot be read is left alone until it is corrected, with all that was measured of it.
        let kept = self.stores.uids_kept_by(key);
        let listed: HashMap<String, Report> =
            listed.into_iter().map(|report| (report.uid.clone(), report)).collect();
        let mut touched: HashSet<String> = HashSet::new();
        let mut aged = Vec::new();
        for uid in listed.keys().filter(|uid| complete && !kept.contains(*uid)) {
            tracing::info!(instance = %key, uid, "the API forgets an endpoint that no longer exists");
            let result = api.delete_endpoint(uid).await;
            self.count("delete_endpoint", result.is_ok());
            result?;
        }
        let jitter = jittered(self.settings.heartbeat);
        {
            let mut known = link.lock();
            let lost: Vec<String> =
                known.told.keys().filter(|uid| !listed.contains_key(*uid)).cloned().collect();
            for uid in lost {
                known.told.remove(&uid);
                touched.insert(uid);
            }
            for object in &objects {
                let Some(uid) = object.uid() else { continue };
                // Those that could not be told while the API was away.
                if !known.told.contains_key(&uid) {
                    touched.insert(uid.clone());
                }
                let Ok(endpoint) = &object.0 else { continue };
                let Some(report) = listed.get(&uid) else { continue };
                let status = endpoint.status.as_ref();
                if is_stale(status, report, Duration::MAX) {
                    touched.insert(uid);
                } else if is_stale(status, report, jitter) {
                    aged.push(uid);
                }
            }
            known.reports = listed;
        }
        self.touch(key, touched);
        Ok(aged)
    }

    fn hear(&self, key: &InstanceKey, link: &Link, reports: Vec<Report>) {
        let mut known = link.lock();
        let mut touched = HashSet::new();
        for report in reports {
            touched.insert(report.uid.clone());
            known.reports.insert(report.uid.clone(), report);
        }
        drop(known);
        self.touch(key, touched);
    }

    fn touch(&self, key: &InstanceKey, uids: HashSet<String>) {
        if !uids.is_empty() {
            let _ = self.touched.send(Arc::new(uids));
            self.recount(key);
        }
    }
}

/// What a channel says; `None` when so much was said that some of it was missed.
pub fn heard<T: Clone + Send + 'static>(
    channel: broadcast::Receiver<T>,
) -> impl Stream<Item = Option<T>> + Send + 'static {
    futures::stream::unfold(channel, |mut channel| async move {
        match channel.recv().await {
            Ok(value) => Some((Some(value), channel)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some((None, channel)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    })
}
