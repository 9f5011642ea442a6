//! Discovery: an Ingress, HTTPRoute or Service with the annotation `watchkeeper.dev/monitor: "true"`
//! has a MonitoredEndpoint that follows it and goes with it, where an AnalyticsInstance looks for such
//! objects (`spec.endpoints.discovery`).
//!
//! `annotations` reads what people write, `target` finds what is to be asked, `instance` who asks,
//! `endpoint` makes the object of it; all pure. `controller` does what follows.

pub mod annotations;
pub mod controller;
pub mod endpoint;
pub mod instance;
pub mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

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

/// What the parts of the operator know about discovery.
pub struct Discovery {
    wanted: flag::Sender<BTreeSet<Source>>,
    forbidden: Mutex<BTreeMap<InstanceKey, String>>,
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

    /// Notes whether endpoints of an instance may be made and deleted; says whether that is news.
    fn note(&self, key: &InstanceKey, forbidden: Option<&str>) -> bool {
        let mut all = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match forbidden {
            Some(message) => all.insert(key.clone(), message.to_owned()),
            None => all.remove(key),
        };
        before.is_some() != forbidden.is_some()
    }

    /// How discovery goes for an instance that asks for it.
    #[must_use]
    pub fn finding(&self, key: &InstanceKey) -> Finding {
        const KIND: &str = "DiscoveryReady";
        let all = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(key) {
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

    #[test]
    fn a_refusal_is_news_once_and_so_is_its_end() {
        let discovery = Discovery::default();
        let key = InstanceKey { namespace: "web".to_owned(), name: "shop".to_owned() };
        assert!(discovery.finding(&key).status);
        assert!(discovery.note(&key, Some("no")));
        assert!(!discovery.note(&key, Some("no")));
        assert!(discovery.finding(&key).message.contains("rbac.discovery=true"));
        assert!(discovery.note(&key, None));
        assert!(!discovery.note(&key, None));
    }
}
