//! The loop that looks for what is due, and what becomes of each message.

use std::{collections::HashSet, sync::Arc, time::Duration};

use prometheus::Registry;
use rand::Rng;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::notifications;
use watchkeeper_store::{
    Store,
    alerts::{Claim, Kind, Notice, Verdict},
    now_ms,
};

use crate::{
    NotifierError, channels,
    failure::{Failure, Untaken},
    http::Http,
    message::Message,
    metrics::Metrics,
};

/// How the notifier behaves.
#[derive(Debug, Clone)]
pub struct NotifierOptions {
    /// Time between looks at the outbox.
    pub poll: Duration,
    /// Longest time for a message, all of its requests included.
    pub patience: Duration,
    /// Longest wait for the database.
    pub answer: Duration,
    /// How long a claim lasts: the time after which a message is sent again when
    /// its sender died. Longer than `patience`, so that no living sender loses it.
    pub lease: Duration,
    /// First and longest pause between attempts.
    pub pauses: (Duration, Duration),
    /// How long after its first attempt a notice is given up.
    pub give_up: Duration,
    /// Attempts at what is refused for good, should somebody mend it meanwhile.
    pub refusals: i64,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            answer: Duration::from_secs(15),
            lease: Duration::from_secs(60),
            pauses: (Duration::from_secs(2), Duration::from_secs(600)),
            give_up: Duration::from_secs(24 * 3_600),
            refusals: 3,
        }
    }
}

/// Time between looks at how long the queue is.
const MEASURE: Duration = Duration::from_secs(10);

/// How long the last messages may take at shutdown.
const FINISH_TIME: Duration = Duration::from_secs(5);

/// Sends what is due until `shutdown`, and then what it has claimed.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    store: Store,
    registry: Registry,
    options: NotifierOptions,
    shutdown: CancellationToken,
) -> Result<(), NotifierError> {
    let metrics = Metrics::new(&registry)?;
    let delivery = Delivery::new(store, metrics, options)?;
    if let Err(error) = delivery.store.end_claims_of_the_dead().await {
        tracing::warn!(%error, "claims of a process before this one end by themselves");
    }
    let mut working = JoinSet::new();
    let mut busy = HashSet::new();
    let mut measured = None;
    loop {
        match delivery.ask(|store| async move { store.channels_due().await }).await {
            Ok(due) => {
                for channel in due {
                    if busy.insert(channel.clone()) {
                        let (delivery, stop) = (Arc::clone(&delivery), shutdown.clone());
                        working.spawn(async move {
                            delivery.drain(&channel, &stop).await;
                            channel
                        });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the outbox of notices cannot be read"),
        }
        if measured.is_none_or(|at: Instant| at.elapsed() >= MEASURE) {
            measured = Some(Instant::now());
            match delivery.ask(|store| async move { store.notice_queue().await }).await {
                Ok(queue) => delivery.metrics.queue(queue),
                Err(error) => tracing::warn!(%error, "the outbox of notices cannot be counted"),
            }
        }
        let look_again = tokio::time::sleep(delivery.options.poll);
        tokio::pin!(look_again);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    let finish = async { while working.join_next().await.is_some() {} };
                    let _ = tokio::time::timeout(FINISH_TIME, finish).await;
                    return Ok(());
                }
                () = &mut look_again => break,
                Some(ended) = working.join_next() => match ended {
                    Ok(channel) => drop(busy.remove(&channel)),
                    Err(error) => {
                        tracing::error!(%error, "a delivery panicked");
                        // Which one is not told; a second worker on a channel does no harm.
                        busy.clear();
                    }
                },
            }
        }
    }
}

/// What a delivery needs.
pub(crate) struct Delivery {
    store: Store,
    http: Http,
    metrics: Metrics,
    options: NotifierOptions,
}

impl Delivery {
    pub fn new(store: Store, metrics: Metrics, options: NotifierOptions) -> Result<Arc<Self>, NotifierError> {
        Ok(Arc::new(Self { store, http: Http::new()?, metrics, options }))
    }

    /// Asks the store something, without waiting for ever for one that is gone.
    async fn ask<T: Send + 'static, W>(&self, work: impl FnOnce(Store) -> W) -> watchkeeper_store::Result<T>
    where
        W: Future<Output = watchkeeper_store::Result<T>> + Send + 'static,
    {
        self.store.within(self.options.answer, work(self.store.clone())).await
    }

    /// Sends what is due for a channel, one message after another.
    pub async fn drain(&self, channel: &str, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let asked = Instant::now();
            let (name, lease) = (channel.to_owned(), self.options.lease);
            match self.ask(|store| async move { store.claim_notices(&name, lease).await }).await {
                Ok(Some(claim)) => self.deliver(&claim, asked).await,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(channel, %error, "notices cannot be claimed");
                    return;
                }
            }
        }
    }

    async fn deliver(&self, claim: &Claim, asked: Instant) {
        let spare = self.options.lease.saturating_sub(self.options.patience);
        // A process that was stopped after its claim must not send what another may be sending.
        if asked.elapsed() >= spare {
            tracing::warn!(
                delivery = claim.delivery,
                "a claim is left to others: this process was stopped for a while"
            );
            return;
        }
        let untaken = match tokio::time::timeout(self.options.patience, self.send(claim)).await {
            Ok(untaken) => untaken,
            Err(_) => whole(claim, Failure::passing("no answer in time")),
        };
        let failed: HashSet<usize> = untaken.iter().flat_map(|part| &part.places).copied().collect();
        let taken: Vec<usize> = (0..claim.notices.len()).filter(|place| !failed.contains(place)).collect();
        if !taken.is_empty() {
            self.conclude(&claim.part(&taken), &Verdict::Sent, asked).await;
        }
        for Untaken { places, failure } in untaken {
            let part = claim.part(&places);
            let verdict = self.judge(&part, failure);
            self.conclude(&part, &verdict, asked).await;
        }
    }

    /// Tells and notes what became of a message, or of a part of it.
    async fn conclude(&self, claim: &Claim, verdict: &Verdict, asked: Instant) {
        let kind = claim.channel.as_ref().map_or("none", |channel| channel.kind.as_str());
        let name = claim.channel.as_ref().map_or("", |channel| channel.name.as_str());
        let count = claim.notices.len();
        let outcome = match verdict {
            Verdict::Sent => {
                tracing::info!(
                    channel = name,
                    delivery = claim.delivery,
                    notices = count,
                    "a notice is sent"
                );
                "sent"
            }
            Verdict::Again { error, after } => {
                tracing::warn!(
                    channel = name,
                    delivery = claim.delivery,
                    error,
                    ?after,
                    "a notice is tried again"
                );
                "retried"
            }
            Verdict::Dead { error } => {
                tracing::error!(channel = name, delivery = claim.delivery, error, "a notice is given up");
                "dead"
            }
        };
        self.metrics.count(kind, outcome, count);
        self.settle(claim, verdict, asked).await;
    }

    /// Sends a message; returns what of it was not taken.
    async fn send(&self, claim: &Claim) -> Vec<Untaken> {
        let Some(channel) = &claim.channel else {
            let error = "the channel is not there, or lacks something such as its Secret";
            return whole(claim, Failure::permanent(error));
        };
        // An error could repeat a part of the configuration.
        let Ok(config) = serde_json::from_value::<notifications::Channel>(channel.config.clone()) else {
            let error = "the channel's configuration cannot be understood; apply its manifest again";
            return whole(claim, Failure::permanent(error));
        };
        channels::send(&self.http, &config, &Message::new(claim, now_ms())).await
    }

    fn judge(&self, claim: &Claim, failure: Failure) -> Verdict {
        let error = failure.error;
        // Of several in one message the one that was tried least decides: each has its time.
        let attempts = claim.notices.iter().map(|notice| notice.attempts + 1).min().unwrap_or(1);
        let now = now_ms();
        let tried = |notice: &Notice| notice.tried_at.map_or(0, |first| now.saturating_sub(first));
        let tried = claim.notices.iter().map(tried).min().unwrap_or_default();
        let tried = Duration::from_millis(u64::try_from(tried).unwrap_or_default());
        let test = claim.notices.iter().any(|notice| notice.kind == Kind::Test);
        let refused = failure.permanent && attempts >= self.options.refusals;
        let (most, pause) = claim.channel.as_ref().map_or((None, None), |it| (it.attempts, it.pause));
        let (refused, late) = match most {
            Some(most) => (false, attempts >= i64::from(most)),
            None => (refused, tried >= self.options.give_up),
        };
        // Somebody waits for the outcome of a test.
        if test || refused || late {
            return Verdict::Dead { error };
        }
        Verdict::Again { error, after: pause.unwrap_or_else(|| self.pause(attempts, failure.retry_after)) }
    }

    /// Twice as long each time, and not at the same moment as everybody else.
    fn pause(&self, attempts: i64, wanted: Option<Duration>) -> Duration {
        let (first, longest) = self.options.pauses;
        let doubled = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let pause = first.saturating_mul(1 << doubled).min(longest);
        let jittered = pause.mul_f64(rand::rng().random_range(0.8..1.2));
        wanted.map_or(jittered, |wanted| jittered.max(wanted.min(longest)))
    }

    /// Notes the outcome, for as long as the claim lasts: what is not noted is sent again.
    async fn settle(&self, claim: &Claim, verdict: &Verdict, asked: Instant) {
        let mut pause = Duration::from_millis(50);
        loop {
            let (settled, said) = (claim.clone(), verdict.clone());
            match self.ask(|store| async move { store.settle_notices(&settled, &said).await }).await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!(
                        delivery = claim.delivery,
                        "another replica has taken a claim over that had ended"
                    );
                    return;
                }
                Err(error) if asked.elapsed() < self.options.lease => {
                    tracing::warn!(delivery = claim.delivery, %error, "the outcome of a notice cannot be noted yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                Err(error) => {
                    tracing::error!(delivery = claim.delivery, %error, "the outcome of a notice is not noted: it will be sent again");
                    return;
                }
            }
        }
    }
}

/// All of a message, which failed together.
fn whole(claim: &Claim, failure: Failure) -> Vec<Untaken> {
    vec![Untaken { places: (0..claim.notices.len()).collect(), failure }]
}
