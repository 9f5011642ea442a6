//! Which large children are as they were applied, so that they need not be read again to be compared.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::core::ObjectMeta;

use crate::stores::InstanceKey;

/// Children as they were last seen to be as wanted, by instance and name.
#[derive(Debug, Default)]
pub struct Applied {
    known: Mutex<HashMap<InstanceKey, HashMap<String, Mark>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Mark {
    uid: Option<String>,
    version: Option<String>,
    fingerprint: String,
}

impl Mark {
    fn new(live: &ObjectMeta, fingerprint: &str) -> Self {
        Self {
            uid: live.uid.clone(),
            version: live.resource_version.clone(),
            fingerprint: fingerprint.to_owned(),
        }
    }
}

impl Applied {
    /// Whether a child that is wanted like this has not been touched since it was so.
    #[must_use]
    pub fn holds(&self, key: &InstanceKey, live: &ObjectMeta, fingerprint: &str) -> bool {
        let name = live.name.as_deref().unwrap_or_default();
        let known = self.lock();
        let mark = known.get(key).and_then(|children| children.get(name));
        mark.is_some_and(|mark| *mark == Mark::new(live, fingerprint))
    }

    /// Notes that a child is as it is wanted.
    pub fn note(&self, key: &InstanceKey, live: &ObjectMeta, fingerprint: &str) {
        let name = live.name.clone().unwrap_or_default();
        self.lock().entry(key.clone()).or_default().insert(name, Mark::new(live, fingerprint));
    }

    /// Forgets the children of an instance that it wants no more.
    pub fn keep(&self, key: &InstanceKey, wanted: impl Fn(&str) -> bool) {
        if let Some(children) = self.lock().get_mut(key) {
            children.retain(|name, _| wanted(name));
        }
    }

    /// Forgets an instance.
    pub fn forget(&self, key: &InstanceKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceKey, HashMap<String, Mark>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, uid: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_child_holds_until_it_is_touched_made_anew_or_wanted_otherwise() {
        let applied = Applied::default();
        let key = InstanceKey { namespace: "web".to_owned(), name: "shop".to_owned() };
        let live = meta("shop-slo", "a", "1");
        assert!(!applied.holds(&key, &live, "x"));
        applied.note(&key, &live, "x");
        assert!(applied.holds(&key, &live, "x"));
        assert!(!applied.holds(&key, &live, "y"), "it is wanted otherwise");
        assert!(!applied.holds(&key, &meta("shop-slo", "a", "2"), "x"), "somebody has touched it");
        assert!(!applied.holds(&key, &meta("shop-slo", "b", "1"), "x"), "it is another");
        assert!(!applied.holds(&key, &meta("shop-slo-2", "a", "1"), "x"));

        applied.keep(&key, |name| name == "shop-slo");
        assert!(applied.holds(&key, &live, "x"));
        applied.keep(&key, |_| false);
        assert!(!applied.holds(&key, &live, "x"));
        applied.note(&key, &live, "x");
        applied.forget(&key);
        assert!(applied.lock().is_empty());
    }
}
