//! Which namespaces instances let in by labels, looked at again now and then: nobody tells when the labels
//! of a namespace change, and a watch of all namespaces would take a permission that only a ClusterRole
//! can give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::monitored_endpoint::dereference::selects;
use crate::retry::jittered;
use crate::stores::InstanceKey;

/// What the labels of namespaces meant for instances when they were looked at last.
#[derive(Debug, Default)]
pub struct Admissions {
    /// By namespace and instance: whether it was let in.
    known: Mutex<BTreeMap<(String, InstanceKey), bool>>,
}

impl Admissions {
    /// Notes whether an instance lets a namespace in by its labels.
    pub fn note(&self, namespace: &str, instance: InstanceKey, admitted: bool) {
        self.lock().insert((namespace.to_owned(), instance), admitted);
    }

    /// Namespaces that anybody has asked about.
    fn namespaces(&self) -> BTreeSet<String> {
        self.lock().keys().map(|(namespace, _)| namespace.clone()).collect()
    }

    /// Instances for which the labels of a namespace have another meaning by now. They are forgotten, and
    /// so are those for which labels have none any more.
    fn changed(&self, namespace: &str, means: impl Fn(&InstanceKey) -> Option<bool>) -> Vec<InstanceKey> {
        let mut changed = Vec::new();
        self.lock().retain(|(of, instance), admitted| {
            if of != namespace {
                return true;
            }
            let now = means(instance);
            if now.is_some_and(|now| now != *admitted) {
                changed.push(instance.clone());
            }
            now == Some(*admitted)
        });
        changed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, InstanceKey), bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks again and again until told to stop, while this process leads, and tells of the instances for
/// which something has changed.
pub async fn run(context: Arc<Context>, news: broadcast::Sender<InstanceKey>, stop: CancellationToken) {
    loop {
        let turn = async {
            tokio::time::sleep(jittered(context.settings.namespace_refresh)).await;
            if context.gate.is_open() {
                look(&context, &news).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = turn => {}
        }
    }
}

async fn look(context: &Context, news: &broadcast::Sender<InstanceKey>) {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    for name in context.admissions.namespaces() {
        let found = match namespaces.get_metadata_opt(&name).await {
            Ok(found) => found,
            Err(error) => {
                // What was known before counts until it is known better.
                tracing::debug!(namespace = name, %error, "the labels of a namespace cannot be read");
                continue;
            }
        };
        let means = |key: &InstanceKey| {
            let instance = context.stores.instance(key)?;
            let selector = instance.0.as_ref().ok()?.spec.endpoints.namespace_selector.as_ref()?;
            Some(selects(selector, found.as_ref()?.labels()))
        };
        for key in context.admissions.changed(&name, means) {
            tracing::info!(namespace = name, instance = %key, "other labels of a namespace");
            // An error means that no controller runs any more.
            let _ = news.send(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> InstanceKey {
        InstanceKey { namespace: "ops".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn other_labels_are_told_once_to_those_for_whom_they_mean_something_else() {
        let admissions = Admissions::default();
        admissions.note("web", key("a"), true);
        admissions.note("web", key("b"), false);
        admissions.note("lab", key("a"), true);
        assert_eq!(admissions.namespaces().len(), 2);
        assert!(admissions.changed("web", |key| Some(key.name == "a")).is_empty());
        assert_eq!(admissions.changed("web", |_| Some(true)), [key("b")]);
        assert!(admissions.changed("web", |_| Some(true)).is_empty());
        assert_eq!(admissions.changed("lab", |_| Some(false)), [key("a")]);
    }

    #[test]
    fn what_labels_say_nothing_about_is_forgotten() {
        let admissions = Admissions::default();
        admissions.note("gone", key("a"), true);
        assert!(admissions.changed("gone", |_| None).is_empty());
        assert!(admissions.namespaces().is_empty());
    }
}
