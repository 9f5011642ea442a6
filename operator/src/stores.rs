//! All instances and endpoints that are known, over all namespaces that are served.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use tokio::sync::OnceCell;
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};

/// An object, or what is known of one that cannot be read.
pub type Guarded<K> = DeserializeGuard<K>;

/// Namespace and name of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl InstanceKey {
    /// Of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self {
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            name: object.meta().name.clone().unwrap_or_default(),
        }
    }

    /// Of the instance that an endpoint refers to.
    #[must_use]
    pub fn referred(endpoint: &MonitoredEndpoint) -> Self {
        let reference = &endpoint.spec.instance_ref;
        Self {
            namespace: reference.namespace.clone().or_else(|| endpoint.namespace()).unwrap_or_default(),
            name: reference.name.clone(),
        }
    }
}

impl std::fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One store per served namespace, or one for all.
#[derive(Clone)]
pub struct Stores {
    /// Instances.
    pub instances: Vec<Store<Guarded<AnalyticsInstance>>>,
    /// Endpoints.
    pub endpoints: Vec<Store<Guarded<MonitoredEndpoint>>>,
    patience: Duration,
    waited: Arc<OnceCell<()>>,
}

impl Stores {
    /// No stores yet, for which everything will wait so long at most.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { instances: Vec::new(), endpoints: Vec::new(), patience, waited: Arc::default() }
    }

    /// Waits until everything that exists is known.
    pub async fn ready(&self) {
        for store in &self.instances {
            // The only error is that the watch ended, and then the process ends too.
            let _ = store.wait_until_ready().await;
        }
        for store in &self.endpoints {
            let _ = store.wait_until_ready().await;
        }
    }

    /// Waits as [`Self::ready`] does, but not for ever, and all together once: one namespace that cannot be
    /// read holds up no other.
    pub async fn mostly_ready(&self) {
        let wait = || async {
            if tokio::time::timeout(self.patience, self.ready()).await.is_err() {
                tracing::warn!("some namespaces cannot be read; the others go on without them");
            }
        };
        self.waited.get_or_init(wait).await;
    }

    /// Whether everything that exists is known by now.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.ready().now_or_never().is_some()
    }

    /// Whether it is certain that there is no instance of a key.
    #[must_use]
    pub fn lacks(&self, key: &InstanceKey) -> bool {
        self.complete() && !self.knows(key)
    }

    /// Whether there is an instance of a key, readable or not.
    #[must_use]
    pub fn knows(&self, key: &InstanceKey) -> bool {
        self.instances.iter().any(|store| store.find(|object| InstanceKey::of(object) == *key).is_some())
    }

    /// The instance of a key, if it is known and can be read.
    #[must_use]
    pub fn instance(&self, key: &InstanceKey) -> Option<Arc<Guarded<AnalyticsInstance>>> {
        self.instances
            .iter()
            .filter_map(|store| {
                store.find(|object| {
                    object.meta().name.as_deref() == Some(&key.name)
                        && object.meta().namespace.as_deref() == Some(&key.namespace)
                })
            })
            .find(|object| object.0.is_ok())
    }

    /// All instances that can be read.
    #[must_use]
    pub fn readable_instances(&self) -> Vec<Arc<Guarded<AnalyticsInstance>>> {
        self.instances.iter().flat_map(Store::state).filter(|object| object.0.is_ok()).collect()
    }

    /// The endpoint of a name, readable or not.
    #[must_use]
    pub fn endpoint(&self, namespace: &str, name: &str) -> Option<Arc<Guarded<MonitoredEndpoint>>> {
        let key = ObjectRef::new(name).within(namespace);
        self.endpoints.iter().find_map(|store| store.get(&key))
    }

    /// All readable endpoints that refer to an instance, leaving ones included.
    #[must_use]
    pub fn endpoints_of(&self, key: &InstanceKey) -> Vec<Arc<Guarded<MonitoredEndpoint>>> {
        self.endpoints
            .iter()
            .flat_map(Store::state)
            .filter(|object| object.0.as_ref().is_ok_and(|endpoint| InstanceKey::referred(endpoint) == *key))
            .collect()
    }

    /// Uids that the API of an instance may know: of the endpoints that refer to it, and of those that
    /// cannot be read, which may.
    #[must_use]
    pub fn uids_kept_by(&self, key: &InstanceKey) -> HashSet<String> {
        self.endpoints
            .iter()
            .flat_map(Store::state)
            .filter(|object| {
                object.0.as_ref().map_or(true, |endpoint| InstanceKey::referred(endpoint) == *key)
            })
            .filter_map(|object| object.uid())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_cannot_be_read_is_kept_by_every_instance_and_wanted_by_none() {
        let (reader, mut writer) = reflector::store::<Guarded<MonitoredEndpoint>>();
        for (uid, spec) in [
            ("own", json!({"instanceRef": {"name": "main"}, "http": {"url": "http://a"}})),
            ("foreign", json!({"instanceRef": {"name": "other"}, "http": {"url": "http://a"}})),
            ("broken", json!({"instanceRef": {"name": "main"}, "interval": "soon"})),
        ] {
            let object: Value = json!({
                "apiVersion": "watchkeeper.dev/v1alpha1", "kind": "MonitoredEndpoint",
                "metadata": {"name": uid, "namespace": "shop", "uid": uid}, "spec": spec,
            });
            let object = serde_json::from_value(object).expect("guarded");
            writer.apply_watcher_event(&watcher::Event::Apply(object));
        }
        let mut stores = Stores::new(Duration::ZERO);
        stores.endpoints.push(reader);
        let key = |name: &str| InstanceKey { namespace: "shop".into(), name: name.into() };
        let kept = |name| {
            let mut kept: Vec<_> = stores.uids_kept_by(&key(name)).into_iter().collect();
            kept.sort();
            kept
        };
        assert_eq!(kept("main"), ["broken", "own"]);
        assert_eq!(kept("other"), ["broken", "foreign"]);
        let wanted = stores.endpoints_of(&key("main"));
        assert_eq!(wanted.iter().filter_map(|object| object.uid()).collect::<Vec<_>>(), ["own"]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_waited_for_once_and_certain_only_when_it_has_come() {
        let (reader, mut writer) = reflector::store::<Guarded<MonitoredEndpoint>>();
        let mut stores = Stores::new(Duration::from_millis(1));
        stores.endpoints.push(reader);
        let key = InstanceKey { namespace: "shop".into(), name: "main".into() };
        stores.mostly_ready().await;
        assert!(stores.clone().mostly_ready().now_or_never().is_some(), "it is waited for again");
        assert!(!stores.complete() && !stores.lacks(&key));
        writer.apply_watcher_event(&watcher::Event::Init);
        writer.apply_watcher_event(&watcher::Event::InitDone);
        assert!(stores.complete() && stores.lacks(&key));
    }
}
