//! Keeping up with the set of endpoints.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use watchkeeper_store::{Endpoint, StoreError};

use crate::ChangeHandle;
use crate::backend::{Backend, bounded};
use crate::tenure::Tenure;

/// Longest wait for the store.
const PATIENCE: Duration = Duration::from_secs(15);

/// All endpoints that this replica owns, as they were in one epoch of its tenure.
pub(crate) struct Loaded {
    pub epoch: u64,
    pub endpoints: Vec<Endpoint>,
    /// Newest instant for which a check of each endpoint is stored.
    pub newest: HashMap<i64, i64>,
}

/// Sends the whole set of endpoints into `sets` when a tenure begins or its
/// shards change, and whenever the set has changed since; looks every `every`,
/// or at once when told by `changes`. Ends when nobody receives any more.
pub(crate) async fn poll<B: Backend>(
    backend: B,
    changes: ChangeHandle,
    every: Duration,
    mut tenure: watch::Receiver<Option<Tenure>>,
    sets: mpsc::Sender<Loaded>,
) {
    let mut seen = None;
    loop {
        let Some(now) = tenure.borrow_and_update().clone() else {
            if tenure.changed().await.is_err() {
                return;
            }
            continue;
        };
        // What was sent in an earlier epoch held other shards.
        let known = seen.filter(|(then, _)| *then == now.epoch).map(|(_, revision)| revision);
        match changed(&backend, known, &now).await {
            Ok(Some((revision, loaded))) => {
                if sets.send(loaded).await.is_err() {
                    return;
                }
                seen = Some((now.epoch, revision));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the endpoints cannot be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = changes.notified() => {}
            ended = epoch_after(&mut tenure, now.epoch) => if !ended { return },
        }
    }
}

/// Waits for another epoch, or for none; `false` when there will be no more.
async fn epoch_after(tenure: &mut watch::Receiver<Option<Tenure>>, epoch: u64) -> bool {
    tenure.wait_for(|now| now.as_ref().is_none_or(|now| now.epoch != epoch)).await.is_ok()
}

async fn changed<B: Backend>(
    backend: &B,
    seen: Option<i64>,
    tenure: &Tenure,
) -> Result<Option<(i64, Loaded)>, StoreError> {
    let store = backend.clone();
    // Read before the set: a change in between is seen again next time.
    let revision = bounded(backend, PATIENCE, async move { store.revision().await }).await?;
    if seen == Some(revision) {
        return Ok(None);
    }
    let store = backend.clone();
    let read = async move { Ok((store.endpoints().await?, store.newest_planned().await?)) };
    let (mut endpoints, newest) = bounded(backend, PATIENCE, read).await?;
    endpoints.retain(|endpoint| tenure.owns(endpoint.id));
    Ok(Some((revision, Loaded { epoch: tenure.epoch, endpoints, newest })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, endpoint, tenure};

    #[tokio::test]
    async fn an_epoch_that_ends_and_begins_again_at_once_is_loaded_anew() {
        let store = Fake::default();
        store.set(vec![endpoint(1, "http://example.test/")]);
        let (tenures, seen) = watch::channel(Some(tenure(1, 0..256)));
        let (sets, mut loaded) = mpsc::channel(1);
        let every = Duration::from_secs(3_600);
        let task = tokio::spawn(poll(store, ChangeHandle::new(), every, seen, sets));
        assert_eq!(loaded.recv().await.map(|set| set.epoch), Some(1));

        tenures.send_replace(None);
        tenures.send_replace(Some(tenure(2, 0..256)));
        let again = loaded.recv().await.expect("a set");
        assert_eq!((again.epoch, again.endpoints.len()), (2, 1));

        // Of shards that are another's, nothing is loaded.
        tenures.send_replace(Some(tenure(3, 2..256)));
        let again = loaded.recv().await.expect("a set");
        assert_eq!((again.epoch, again.endpoints.len()), (3, 0));

        drop(tenures);
        task.await.expect("it ends with its tenure");
    }

    #[tokio::test]
    async fn an_unchanged_set_is_not_sent_again_and_a_changed_one_is() {
        let store = Fake::default();
        let (_tenures, seen) = watch::channel(Some(tenure(1, 0..256)));
        let (sets, mut loaded) = mpsc::channel(1);
        let every = Duration::from_millis(5);
        tokio::spawn(poll(store.clone(), ChangeHandle::new(), every, seen, sets));
        assert!(loaded.recv().await.is_some_and(|set| set.endpoints.is_empty()));
        let quiet = tokio::time::timeout(Duration::from_millis(100), loaded.recv()).await;
        assert!(quiet.is_err(), "it was sent again");
        store.set(vec![endpoint(1, "http://example.test/")]);
        assert!(loaded.recv().await.is_some_and(|set| set.endpoints.len() == 1));
    }
}
