//! Storing results in batches, and keeping them while the store is away.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use watchkeeper_store::{PlannedCheck, Recording, StoreError};

use crate::backend::{Backend, bounded};
use crate::metrics::Metrics;

/// Most results in one transaction.
const BATCH: usize = 1_000;
/// How long the first result of a batch waits for company.
const LINGER: Duration = Duration::from_millis(250);
/// Results kept while the store is away; the oldest go first.
const KEPT: usize = 50_000;
/// Pauses between tries while the store is away.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// Longest wait for the store to take a batch.
const PATIENCE: Duration = Duration::from_secs(15);

/// A result and the term under which it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub term: i64,
    pub check: PlannedCheck,
}

/// Takes results in and stores them.
pub(crate) struct Recorder<B> {
    backend: B,
    metrics: Metrics,
    incoming: mpsc::Receiver<Found>,
    waiting: Vec<Found>,
}

impl<B: Backend> Recorder<B> {
    /// Starts storing what is sent into the returned sender. The task ends
    /// when all senders are gone and everything is stored.
    pub fn start(backend: B, metrics: Metrics) -> (mpsc::Sender<Found>, JoinHandle<()>) {
        let (results, incoming) = mpsc::channel(4 * BATCH);
        let recorder = Self { backend, metrics, incoming, waiting: Vec::new() };
        (results, tokio::spawn(recorder.run()))
    }

    async fn run(mut self) {
        while self.fill().await {
            self.store().await;
        }
    }

    /// Waits for results; `false` when there will be no more.
    async fn fill(&mut self) -> bool {
        if self.incoming.recv_many(&mut self.waiting, BATCH).await == 0 {
            return false;
        }
        if self.waiting.len() < BATCH {
            let _ = tokio::time::timeout(LINGER, self.receive_batch()).await;
        }
        true
    }

    async fn receive_batch(&mut self) {
        while self.waiting.len() < BATCH {
            let room = BATCH - self.waiting.len();
            if self.incoming.recv_many(&mut self.waiting, room).await == 0 {
                return;
            }
        }
    }

    /// Stores all that waits, however long the store is away. A batch is of one term.
    async fn store(&mut self) {
        while let Some(term) = self.waiting.first().map(|found| found.term) {
            let count = self.waiting.iter().take(BATCH).take_while(|found| found.term == term).count();
            let batch: Vec<PlannedCheck> = self.waiting.drain(..count).map(|found| found.check).collect();
            self.store_batch(term, batch).await;
        }
        self.metrics.pending.set(0);
    }

    /// Stores a batch in its order. What the database never takes is found by
    /// halving and dropped, so that it holds up nothing else.
    async fn store_batch(&mut self, term: i64, batch: Vec<PlannedCheck>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let others = parts.iter().map(Vec::len).sum();
            let Err(error) = self.store_part(term, &part, others).await else { continue };
            let later = part.split_off(part.len() / 2);
            if let [planned] = later.as_slice()
                && part.is_empty()
            {
                let endpoint = planned.check.endpoint;
                tracing::error!(endpoint, %error, "a result is dropped: the store never takes it");
                self.metrics.dropped.inc();
                continue;
            }
            parts.extend([later, part]);
        }
    }

    /// Stores results, however long the store is away; `others` wait besides.
    ///
    /// # Errors
    /// When the store would never take them all.
    async fn store_part(
        &mut self,
        term: i64,
        part: &[PlannedCheck],
        others: usize,
    ) -> Result<(), StoreError> {
        let backend = self.backend.clone();
        let mut pause = RETRY.0;
        loop {
            let results = part.len() + others + self.waiting.len();
            self.metrics.pending.set(i64::try_from(results).unwrap_or(i64::MAX));
            let (store, checks) = (backend.clone(), part.to_vec());
            let work = async move { store.record(term, checks).await };
            match self.receiving_during(bounded(&backend, PATIENCE, work)).await {
                Ok(Recording { refused, .. }) => {
                    self.metrics.refused.inc_by(refused as u64);
                    return Ok(());
                }
                Err(StoreError::Fenced) => {
                    tracing::warn!(results = part.len(), "results are refused: another checker took over");
                    self.metrics.refused.inc_by(part.len() as u64);
                    return Ok(());
                }
                Err(error) if error.is_lasting() => return Err(error),
                Err(error) => tracing::warn!(%error, results, "results cannot be stored yet"),
            }
            self.receiving_during(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Goes on taking results in until `work` is done, so that no check has to
    /// wait for the store.
    async fn receiving_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut open = true;
        loop {
            tokio::select! {
                done = &mut work => return done,
                received = self.incoming.recv_many(&mut self.waiting, BATCH), if open => {
                    open = received > 0;
                    let excess = self.waiting.len().saturating_sub(KEPT);
                    self.waiting.drain(..excess);
                    self.metrics.dropped.inc_by(excess as u64);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use watchkeeper_store::{Check, LastCheck, ProjectId};

    use super::*;
    use crate::testing::{Fake, UNFIT, eventually};

    fn found(at: i64) -> Found {
        let result = LastCheck { at, ok: true, status: Some(200), duration_us: 1, ..LastCheck::default() };
        let check = Check { project: ProjectId(1), endpoint: 1, result };
        Found { term: 1, check: PlannedCheck { due: at, check } }
    }

    #[tokio::test]
    async fn a_store_that_hangs_holds_nobody_up_and_gets_every_result_in_order() {
        let store = Fake::default();
        let metrics = Metrics::new(&Registry::new()).expect("metrics");
        let (results, recorder) = Recorder::start(store.clone(), metrics);
        store.set_hanging(true);
        // More than the channel holds, so sending ends only if somebody receives.
        for at in 0..20_000 {
            results.send(found(at)).await.expect("the recorder runs");
        }
        assert!(store.checks().is_empty());
        store.set_hanging(false);
        drop(results);
        recorder.await.expect("it ends when all is stored");
        let stored: Vec<i64> = store.checks().iter().map(|check| check.result.at).collect();
        assert_eq!(stored, (0..20_000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn while_the_store_is_away_the_newest_results_are_kept() {
        let store = Fake::default();
        let metrics = Metrics::new(&Registry::new()).expect("metrics");
        let (results, recorder) = Recorder::start(store.clone(), metrics.clone());
        store.set_away(true);
        let sent = KEPT as i64 + 10_000;
        for at in 0..sent {
            results.send(found(at)).await.expect("the recorder runs");
        }
        eventually("some are dropped", || metrics.dropped.get() > 0).await;
        store.set_away(false);
        drop(results);
        recorder.await.expect("it ends when all is stored");
        let stored = store.checks();
        assert_eq!(stored.len() as u64 + metrics.dropped.get(), sent as u64);
        assert_eq!(stored.last().map(|check| check.result.at), Some(sent - 1));
    }

    #[tokio::test]
    async fn a_result_that_the_store_never_takes_holds_up_no_other() {
        let store = Fake::default();
        let metrics = Metrics::new(&Registry::new()).expect("metrics");
        let (results, recorder) = Recorder::start(store.clone(), metrics.clone());
        for at in 0..100 {
            let mut found = found(at);
            found.check.check.result.message = (at % 40 == 17).then(|| UNFIT.into());
            results.send(found).await.expect("the recorder runs");
        }
        drop(results);
        recorder.await.expect("it ends when all is stored");
        let stored: Vec<i64> = store.checks().iter().map(|check| check.result.at).collect();
        assert_eq!(stored, (0..100).filter(|at| at % 40 != 17).collect::<Vec<_>>());
        assert_eq!(metrics.dropped.get(), 3);
    }

    #[tokio::test]
    async fn results_of_a_term_that_has_ended_are_refused_and_those_of_the_next_stored() {
        let store = Fake::default();
        let metrics = Metrics::new(&Registry::new()).expect("metrics");
        let (results, recorder) = Recorder::start(store.clone(), metrics.clone());
        store.end_term();
        let term = store.join_now();
        for (at, term) in [(1, term - 1), (2, term - 1), (3, term)] {
            results.send(Found { term, ..found(at) }).await.expect("the recorder runs");
        }
        drop(results);
        recorder.await.expect("it ends when all is stored");
        assert_eq!(store.checks().iter().map(|check| check.result.at).collect::<Vec<_>>(), [3]);
        assert_eq!(metrics.refused.get(), 2);
    }
}
