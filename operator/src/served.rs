//! Finds out, again and again, which [`ForeignKind`]s the cluster serves, so that they may
//! come and go while the operator runs. Asking takes no permission beyond discovery, which
//! everybody has; watching the CRDs themselves would take one for the whole cluster.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use kube::Client;
use tokio::sync::watch as flag;
use tokio_util::sync::CancellationToken;

use crate::foreign::ForeignKind;
use crate::health::Health;
use crate::retry::jittered;

/// How soon a first look that has failed is repeated.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a first look may fail before what it could not tell counts as absent: instances that need
/// none of it must not wait for ever.
const PATIENCE: u32 = 5;
/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What `/readyz` calls the first look.
const PENDING: &str = "look at which optional kinds are served";

/// The kinds that a cluster serves.
pub type Served = BTreeSet<ForeignKind>;

/// Knows what the cluster serves.
#[derive(Debug, Clone)]
pub struct ServedKinds {
    served: flag::Receiver<Option<Served>>,
}

/// Where what was found is put.
pub type Found = flag::Sender<Option<Served>>;

impl ServedKinds {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new() -> (Found, Self) {
        let (found, served) = flag::channel(None);
        (found, Self { served })
    }

    /// What is served now; waits for the first look.
    pub async fn kinds(&self) -> Served {
        let mut served = self.served.clone();
        // An error means that nobody looks any more, which is when the process ends.
        served.wait_for(Option::is_some).await.ok().and_then(|served| served.clone()).unwrap_or_default()
    }

    /// Waits until a kind is served, or is not any more; nothing when nobody looks any more.
    pub async fn until(&self, kind: ForeignKind, wanted: bool) -> Option<()> {
        let mut served = self.served.clone();
        let holds =
            |served: &Option<Served>| served.as_ref().is_some_and(|all| all.contains(&kind)) == wanted;
        served.wait_for(holds).await.ok().map(drop)
    }

    /// Says so each time that something else is served than before, the first look aside.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        futures::stream::unfold((self.served.clone(), None), |(mut served, mut known)| async move {
            loop {
                let now = served.borrow_and_update().clone();
                let first = known.is_none();
                if now != known {
                    known = now;
                    if !first {
                        return Some(((), (served, known)));
                    }
                }
                served.changed().await.ok()?;
            }
        })
    }

    /// The stream that `begin` makes, as long as a kind is served, and anew when it is so again.
    pub fn while_served<T: Send + 'static>(
        &self,
        kind: ForeignKind,
        begin: impl Fn() -> BoxStream<'static, T> + Send + 'static,
        ended: impl Fn() + Send + 'static,
    ) -> impl Stream<Item = T> + Send + 'static {
        let holds = move |served: &Option<Served>| served.as_ref().is_some_and(|all| all.contains(&kind));
        let state = (self.served.clone(), None::<BoxStream<'static, T>>, begin, ended);
        futures::stream::unfold(state, move |(mut served, mut stream, begin, ended)| async move {
            loop {
                let Some(current) = stream.as_mut() else {
                    served.wait_for(|now| holds(now)).await.ok()?;
                    stream = Some(begin());
                    continue;
                };
                let item = tokio::select! {
                    gone = served.wait_for(|now| !holds(now)) => {
                        gone.ok()?;
                        None
                    }
                    item = current.next() => Some(item?),
                };
                match item {
                    Some(item) => return Some((item, (served, stream, begin, ended))),
                    None => {
                        stream = None;
                        ended();
                    }
                }
            }
        })
    }
}

/// Looks every `interval` until told to stop.
pub async fn run(client: Client, interval: Duration, found: Found, health: Health, stop: CancellationToken) {
    follow(interval, found, health, stop, async |kind| looked_up(&client, kind).await).await;
}

/// Whether a kind is served; nothing when nobody could tell.
async fn looked_up(client: &Client, kind: ForeignKind) -> Option<bool> {
    let asked = client.list_api_group_resources(kind.api_version());
    match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(answer) => judged(
            kind,
            answer.map(|list| list.resources.iter().any(|resource| resource.kind == kind.name())),
        ),
        Err(_) => {
            tracing::warn!(kind = kind.name(), "no answer to whether the cluster serves this kind");
            None
        }
    }
}

/// What an answer means. Who may not even ask may not use the kind either.
fn judged(kind: ForeignKind, answer: Result<bool, kube::Error>) -> Option<bool> {
    match answer {
        Ok(served) => Some(served),
        Err(kube::Error::Api(status)) if status.code == 404 => Some(false),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(
                kind = kind.name(),
                message = status.message,
                "not permitted to ask for this kind"
            );
            Some(false)
        }
        Err(error) => {
            tracing::warn!(kind = kind.name(), %error, "cannot find out whether the cluster serves this kind");
            None
        }
    }
}

async fn follow<F: Future<Output = Option<bool>>>(
    interval: Duration,
    found: Found,
    health: Health,
    stop: CancellationToken,
    look: impl Fn(ForeignKind) -> F,
) {
    health.pend(PENDING);
    let mut failures = 0;
    loop {
        let before = found.borrow().clone();
        let mut now = before.clone().unwrap_or_default();
        let mut unknown = false;
        for kind in ForeignKind::ALL {
            match look(kind).await {
                Some(true) => {
                    if now.insert(kind) {
                        tracing::info!(kind = kind.name(), "the cluster serves this kind");
                    }
                }
                Some(false) => {
                    if now.remove(&kind) {
                        tracing::info!(kind = kind.name(), "the cluster serves this kind no more");
                    }
                }
                None => unknown = true,
            }
        }
        // What was known before counts until it is known better; a first look should be whole.
        failures += u32::from(unknown);
        let wait = before.is_none() && unknown && failures < PATIENCE;
        if !wait {
            found.send_if_modified(|served| {
                let changed = served.as_ref() != Some(&now);
                *served = Some(now);
                changed
            });
            health.settle(PENDING);
        }
        let pause = if wait { AGAIN.min(interval) } else { jittered(interval) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn only(kind: ForeignKind) -> Option<Served> {
        Some([kind].into())
    }

    #[tokio::test]
    async fn a_watch_lives_as_long_as_its_kind_and_begins_anew() {
        let (found, kinds) = ServedKinds::new();
        let ends = Arc::new(Mutex::new(0));
        let counted = ends.clone();
        let stream = kinds.while_served(
            ForeignKind::HttpRoute,
            || futures::stream::iter(["event"]).chain(futures::stream::pending()).boxed(),
            move || *counted.lock().unwrap() += 1,
        );
        let mut stream = std::pin::pin!(stream);
        assert!(futures::poll!(stream.next()).is_pending());
        found.send_replace(only(ForeignKind::Certificate));
        assert!(futures::poll!(stream.next()).is_pending());
        found.send_replace(only(ForeignKind::HttpRoute));
        assert_eq!(stream.next().await, Some("event"));
        assert!(futures::poll!(stream.next()).is_pending());
        found.send_replace(Some(Served::new()));
        assert!(futures::poll!(stream.next()).is_pending());
        assert_eq!(*ends.lock().unwrap(), 1);
        found.send_replace(only(ForeignKind::HttpRoute));
        assert_eq!(stream.next().await, Some("event"));
    }

    #[tokio::test]
    async fn the_first_look_is_no_change_and_later_ones_are() {
        let (found, kinds) = ServedKinds::new();
        let mut changes = std::pin::pin!(kinds.changes());
        assert!(futures::poll!(changes.next()).is_pending());
        found.send_replace(Some(Served::new()));
        assert!(futures::poll!(changes.next()).is_pending());
        found.send_replace(only(ForeignKind::Certificate));
        assert_eq!(changes.next().await, Some(()));
        found.send_replace(only(ForeignKind::Certificate));
        assert!(futures::poll!(changes.next()).is_pending());
    }

    #[tokio::test]
    async fn what_nobody_can_tell_counts_as_absent_after_a_while_until_it_is_known() {
        let (found, kinds) = ServedKinds::new();
        let (answer, answers) = flag::channel(None);
        let (health, stop) = (Health::default(), CancellationToken::new());
        let interval = Duration::from_millis(1);
        let task = tokio::spawn(follow(interval, found, health.clone(), stop.clone(), move |kind| {
            let answer = if kind == ForeignKind::Certificate { *answers.borrow() } else { Some(true) };
            async move { answer }
        }));
        let others: Served =
            [ForeignKind::HttpRoute, ForeignKind::ServiceMonitor, ForeignKind::PrometheusRule].into();
        assert_eq!(kinds.kinds().await, others);
        assert!(health.pending().is_empty());
        answer.send_replace(Some(true));
        let mut served = kinds.served.clone();
        served.wait_for(|served| *served == Some(Served::from(ForeignKind::ALL))).await.unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    #[test]
    fn a_refusal_is_an_answer_and_trouble_is_none() {
        let refused = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            judged(ForeignKind::HttpRoute, Err(kube::Error::Api(Box::new(status))))
        };
        assert_eq!(refused(404), Some(false));
        assert_eq!(refused(403), Some(false));
        assert_eq!(refused(503), None);
        assert_eq!(judged(ForeignKind::HttpRoute, Ok(true)), Some(true));
    }

    #[tokio::test]
    async fn what_could_not_be_found_out_stays_as_it_was_known() {
        let (found, kinds) = ServedKinds::new();
        let (answer, answers) = flag::channel(None);
        let (looks, mut looked) = flag::channel(0);
        let stop = CancellationToken::new();
        let health = Health::default();
        let interval = Duration::from_millis(1);
        let task = tokio::spawn(follow(interval, found, health.clone(), stop.clone(), move |_| {
            looks.send_modify(|looks| *looks += 1);
            let answer = *answers.borrow();
            async move { answer }
        }));
        // Four kinds a round: after nine looks two rounds are over.
        looked.wait_for(|looks| *looks >= 4).await.unwrap();
        assert_eq!(*kinds.served.borrow(), None);
        assert_eq!(health.pending(), [PENDING]);
        let mut two_rounds = async || {
            let enough = *looked.borrow() + 9;
            looked.wait_for(|looks| *looks >= enough).await.unwrap();
        };
        answer.send_replace(Some(true));
        assert_eq!(kinds.kinds().await, Served::from(ForeignKind::ALL));
        assert!(health.pending().is_empty());
        answer.send_replace(None);
        two_rounds().await;
        assert_eq!(kinds.kinds().await, Served::from(ForeignKind::ALL));
        answer.send_replace(Some(false));
        two_rounds().await;
        assert_eq!(kinds.kinds().await, Served::new());
        stop.cancel();
        task.await.unwrap();
    }
}
