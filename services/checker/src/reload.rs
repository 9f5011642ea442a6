//! Keeping up with the set of endpoints.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use watchkeeper_store::Endpoint;

use crate::ChangeHandle;
use crate::backend::Backend;
use crate::leadership::Term;

/// All endpoints, as they were in one term of this replica's.
pub(crate) struct Loaded {
    pub term: u64,
    pub endpoints: Vec<Endpoint>,
}

/// Sends the whole set of endpoints into `sets` when this replica starts to
/// lead and whenever the set has changed since; looks every `every`, or at
/// once when told by `changes`. Ends when nobody receives any more.
pub(crate) async fn poll<B: Backend>(
    backend: B,
    changes: ChangeHandle,
    every: Duration,
    mut leading: watch::Receiver<Term>,
    sets: mpsc::Sender<Loaded>,
) {
    let mut seen = None;
    loop {
        let Some(term) = *leading.borrow_and_update() else {
            if leading.changed().await.is_err() {
                return;
            }
            continue;
        };
        // What was sent in an earlier term was forgotten with it.
        let known = seen.filter(|(then, _)| *then == term).map(|(_, revision)| revision);
        match changed(&backend, known).await {
            Ok(Some((revision, endpoints))) => {
                if sets.send(Loaded { term, endpoints }).await.is_err() {
                    return;
                }
                seen = Some((term, revision));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the endpoints cannot be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = changes.notified() => {}
            ended = leading.changed() => if ended.is_err() { return },
        }
    }
}

async fn changed<B: Backend>(
    backend: &B,
    seen: Option<i64>,
) -> watchkeeper_store::Result<Option<(i64, Vec<Endpoint>)>> {
    // Read before the set: a change in between is seen again next time.
    let revision = backend.revision().await?;
    if seen == Some(revision) {
        return Ok(None);
    }
    Ok(Some((revision, backend.endpoints().await?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, endpoint};

    #[tokio::test]
    async fn a_term_that_ends_and_begins_again_at_once_is_loaded_anew() {
        let store = Fake::default();
        store.set(vec![endpoint(1, "http://example.test/")]);
        let (term, leading) = watch::channel(Some(1));
        let (sets, mut loaded) = mpsc::channel(1);
        let every = Duration::from_secs(3_600);
        let task = tokio::spawn(poll(store, ChangeHandle::new(), every, leading, sets));
        assert_eq!(loaded.recv().await.map(|set| set.term), Some(1));

        term.send_replace(None);
        term.send_replace(Some(2));
        let again = loaded.recv().await.expect("a set");
        assert_eq!((again.term, again.endpoints.len()), (2, 1));

        drop(term);
        task.await.expect("it ends with its leadership");
    }

    #[tokio::test]
    async fn an_unchanged_set_is_not_sent_again_and_a_changed_one_is() {
        let store = Fake::default();
        let (_term, leading) = watch::channel(Some(1));
        let (sets, mut loaded) = mpsc::channel(1);
        let every = Duration::from_millis(5);
        tokio::spawn(poll(store.clone(), ChangeHandle::new(), every, leading, sets));
        assert!(loaded.recv().await.is_some_and(|set| set.endpoints.is_empty()));
        let quiet = tokio::time::timeout(Duration::from_millis(100), loaded.recv()).await;
        assert!(quiet.is_err(), "it was sent again");
        store.set(vec![endpoint(1, "http://example.test/")]);
        assert!(loaded.recv().await.is_some_and(|set| set.endpoints.len() == 1));
    }
}
