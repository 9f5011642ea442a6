//! Holding the lease that lets one replica probe.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watchkeeper_store::Lease;

use crate::backend::Backend;

/// Longest time to give the lease up; it runs out by itself otherwise.
const RELEASE_TIME: Duration = Duration::from_secs(2);

/// Which of its terms this replica leads in, if it does. A lease that was lost
/// and won again is another term, so that nobody misses the loss in between.
pub(crate) type Term = Option<u64>;

/// One replica's claim to the lease.
pub(crate) struct Leadership<B> {
    pub backend: B,
    pub lease: Lease,
}

impl<B: Backend> Leadership<B> {
    /// Takes the lease when it is free, renews it, and says in `term`
    /// whether it is held. A grant counts from before it was asked for and ends a
    /// sixth early, so that this replica stops before another one starts,
    /// whatever became of its answers.
    pub async fn keep(self, term: watch::Sender<Term>, shutdown: CancellationToken) {
        let renew = self.lease.ttl / 3;
        let mut until = Instant::now();
        let mut terms = 0;
        loop {
            let asked = Instant::now();
            let answer = tokio::select! {
                answer = tokio::time::timeout(renew, self.backend.hold(&self.lease)) => answer,
                () = shutdown.cancelled() => break,
            };
            let pause = match answer {
                Ok(Ok(true)) => {
                    until = asked + self.lease.ttl * 5 / 6;
                    set(&term, true, &mut terms);
                    renew
                }
                Ok(Ok(false)) => {
                    until = asked;
                    set(&term, false, &mut terms);
                    renew
                }
                failed => {
                    match failed {
                        Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be renewed"),
                        _ => tracing::warn!("the lease cannot be renewed: the store is too slow"),
                    }
                    renew.min(Duration::from_secs(1))
                }
            };
            let next = Instant::now() + pause;
            if until < next {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => set(&term, false, &mut terms),
                    () = shutdown.cancelled() => break,
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = shutdown.cancelled() => break,
            }
        }
        // Everyone who acts on the lease has ended when nobody listens.
        term.closed().await;
        let release = self.backend.release(&self.lease);
        match tokio::time::timeout(RELEASE_TIME, release).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease is not given up and will run out"),
            Err(_) => tracing::warn!("the lease is not given up and will run out"),
        }
    }
}

fn set(term: &watch::Sender<Term>, leads: bool, terms: &mut u64) {
    if term.borrow().is_some() == leads {
        return;
    }
    if leads {
        *terms += 1;
        tracing::info!(term = *terms, "this replica checks now");
    } else {
        tracing::info!("this replica does not check any more");
    }
    term.send_replace(leads.then_some(*terms));
}
