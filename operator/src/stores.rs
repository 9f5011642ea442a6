//! All instances and endpoints that are known, over all namespaces that are served.

use std::collections::HashSet;
use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
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

/// How long reconciles wait for a namespace that cannot be read.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// One store per served namespace, or one for all.
#[derive(Clone)]
pub struct Stores {
    /// Instances.
    pub instances: Vec<Store<Guarded<AnalyticsInstance>>>,
    /// Endpoints.
    pub endpoints: Vec<Store<Guarded<MonitoredEndpoint>>>,
}

impl Stores {
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

    /// Waits as [`Self::ready`] does, but not for ever: one namespace that cannot be read holds up no other.
    pub async fn mostly_ready(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.ready()).await;
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
        let stores = Stores { instances: Vec::new(), endpoints: vec![reader] };
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
}
