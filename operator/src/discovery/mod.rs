//! Discovery: an Ingress, HTTPRoute or Service with the annotation `watchkeeper.dev/monitor: "true"`
//! has a MonitoredEndpoint that follows it and goes with it, where an AnalyticsInstance looks for such
//! objects (`spec.endpoints.discovery`).
//!
//! `annotations` reads what people write, `target` finds what is to be asked, `instance` who asks,
//! `endpoint` makes the object of it; all pure. `controller` does what follows, `write` the last of it.

pub mod annotations;
pub mod controller;
pub mod endpoint;
pub mod instance;
pub mod target;
pub mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch as flag;
use watchkeeper_crds::discovery::Source;

use crate::conditions::Finding;
use crate::stores::{InstanceKey, Stores};

/// Why an object has no endpoint, in a form for its Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One word.
    pub reason: &'static str,
    /// A sentence that says what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal with both of its parts.
    #[must_use]
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// An annotated object: its kind, and its namespace and name.
pub type Object = (Source, InstanceKey);

/// By instance, the objects whose endpoints could not be written for want of a permission, and what the API
/// server said. No instance is without objects.
type Forbidden = BTreeMap<InstanceKey, BTreeMap<Object, String>>;

/// Takes objects out; gives the instances that are left without any.
fn take_out(all: &mut Forbidden, out: impl Fn(&InstanceKey, &Object) -> bool) -> Vec<InstanceKey> {
    let mut free = Vec::new();
    all.retain(|key, objects| {
        objects.retain(|object, _| !out(key, object));
        if objects.is_empty() {
            free.push(key.clone());
        }
        !objects.is_empty()
    });
    free
}

/// What the parts of the operator know about discovery.
pub struct Discovery {
    wanted: flag::Sender<BTreeSet<Source>>,
    forbidden: Mutex<Forbidden>,
}

impl Default for Discovery {
    fn default() -> Self {
        Self { wanted: flag::channel(BTreeSet::new()).0, forbidden: Mutex::default() }
    }
}

impl Discovery {
    /// Finds out anew which kinds any instance looks for.
    pub fn reconsider(&self, stores: &Stores) {
        let now: BTreeSet<Source> = stores
            .readable_instances()
            .iter()
            .filter_map(|object| object.0.as_ref().ok())
            .map(|instance| &instance.spec.endpoints.discovery)
            .filter(|discovery| discovery.enabled)
            .flat_map(|discovery| discovery.kinds.iter().copied())
            .collect();
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != now;
            *wanted = now;
            changed
        });
    }

    /// The kinds that any instance looks for.
    #[must_use]
    pub fn wanted(&self) -> flag::Receiver<BTreeSet<Source>> {
        self.wanted.subscribe()
    }

    /// Notes of an object whether its endpoint could be written, or for want of which permission of which
    /// instance's it could not; gives the instances of which something else is to be said now.
    fn note(&self, object: &Object, forbidden: Option<(&InstanceKey, &str)>) -> Vec<InstanceKey> {
        let mut all = self.lock();
        let elsewhere = |key: &InstanceKey| forbidden.is_none_or(|(of, _)| of != key);
        let mut changed = take_out(&mut all, |key, other| other == object && elsewhere(key));
        if let Some((key, message)) = forbidden {
            let objects = all.entry(key.clone()).or_default();
            if objects.is_empty() {
                changed.push(key.clone());
            }
            objects.insert(object.clone(), message.to_owned());
        }
        changed
    }

    /// Forgets objects; gives the instances of which something else is to be said now.
    fn forget_objects(&self, gone: impl Fn(&Object) -> bool) -> Vec<InstanceKey> {
        take_out(&mut self.lock(), |_, object| gone(object))
    }

    /// Forgets an instance.
    pub fn forget(&self, key: &InstanceKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Forbidden> {
        self.forbidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How discovery goes for an instance that asks for it.
    #[must_use]
    pub fn finding(&self, key: &InstanceKey) -> Finding {
        const KIND: &str = "DiscoveryReady";
        match self.lock().get(key).and_then(|objects| objects.values().next()) {
            None => Finding::new(KIND, true, "Looking", "annotated objects become MonitoredEndpoints"),
            Some(message) => Finding::new(
                KIND,
                false,
                "Forbidden",
                format!(
                    "the operator may not make MonitoredEndpoints: {message}; install the chart with rbac.discovery=true, or bind the role watchkeeper-operator-discovery"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> InstanceKey {
        InstanceKey { namespace: "web".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_refusal_is_news_once_and_so_is_its_end() {
        let discovery = Discovery::default();
        let (shop, front) = (key("shop"), (Source::Ingress, key("front")));
        assert!(discovery.finding(&shop).status);
        assert_eq!(discovery.note(&front, Some((&shop, "no"))), std::slice::from_ref(&shop));
        assert!(discovery.note(&front, Some((&shop, "no"))).is_empty());
        assert!(discovery.finding(&shop).message.contains("rbac.discovery=true"));
        assert_eq!(discovery.note(&front, None), std::slice::from_ref(&shop));
        assert!(discovery.note(&front, None).is_empty());
        assert!(discovery.finding(&shop).status);
    }

    #[test]
    fn a_refusal_is_over_when_no_object_is_left_that_met_it() {
        let discovery = Discovery::default();
        let (shop, blog) = (key("shop"), key("blog"));
        let (front, back) = ((Source::Ingress, key("front")), (Source::Service, key("front")));
        discovery.note(&front, Some((&shop, "no")));
        discovery.note(&back, Some((&shop, "no")));
        assert!(discovery.forget_objects(|object| *object == front).is_empty());
        assert!(!discovery.finding(&shop).status, "one of two objects has gone");
        // The other asks another instance now.
        assert_eq!(discovery.note(&back, Some((&blog, "no"))), [shop.clone(), blog.clone()]);
        assert!(discovery.finding(&shop).status);
        assert_eq!(discovery.forget_objects(|object| *object == back), std::slice::from_ref(&blog));
        assert!(discovery.finding(&blog).status);
    }
}
