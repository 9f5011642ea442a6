//! Attempts within one check: an endpoint is down when the last one failed.

use std::time::Duration;

use watchkeeper_store::{EndpointSpec, Retry};

use crate::result::Outcome;

/// Longest pause that doubling leads to, before chance changes it.
const LONGEST: Duration = Duration::from_secs(60);

/// Which attempts follow a bad one, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    further: u32,
    backoff: Duration,
    retry: Retry,
}

impl Policy {
    /// What a specification says.
    pub fn of(spec: &EndpointSpec) -> Self {
        Self { further: spec.retries, backoff: spec.backoff, retry: spec.retry }
    }

    /// One attempt and no more.
    pub fn once() -> Self {
        Self { further: 0, backoff: Duration::ZERO, retry: Retry::default() }
    }

    /// Whether another attempt follows the `made` ones.
    fn goes_on(&self, outcome: &Outcome, made: u32) -> bool {
        let answered = outcome.status.is_some() && self.retry.no_answer_only;
        !outcome.ok && !answered && made <= self.further
    }

    /// The pause after `made` attempts; `chance` is from 0 to 1.
    fn pause(&self, made: u32, chance: f64) -> Duration {
        if !self.retry.exponential {
            return self.backoff;
        }
        let doubled = self.backoff.saturating_mul(1_u32.checked_shl(made - 1).unwrap_or(u32::MAX));
        doubled.min(LONGEST).mul_f64(0.5 + chance.clamp(0.0, 1.0))
    }
}

/// Runs `probe` until it succeeds, or until `policy` has no further attempt. The
/// last attempt's outcome is the check's, with a message that says how many there
/// were when there was more than one.
pub(crate) async fn attempts<F>(policy: Policy, mut probe: impl FnMut() -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let mut made: u32 = 1;
    loop {
        let outcome = probe().await;
        if !policy.goes_on(&outcome, made) {
            return with_count(outcome, made);
        }
        tokio::time::sleep(policy.pause(made, rand::random())).await;
        made += 1;
    }
}

fn with_count(mut outcome: Outcome, made: u32) -> Outcome {
    if made > 1 {
        let count = format!("after {made} attempts");
        outcome.message = Some(match outcome.message {
            Some(message) => format!("{message} ({count})"),
            None => format!("good {count}"),
        });
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const BACKOFF: Duration = Duration::from_millis(20);

    fn outcome(ok: bool) -> Outcome {
        Outcome { ok, message: (!ok).then(|| "refused".into()), ..Outcome::default() }
    }

    async fn run(further: u32, good_at: u32) -> (Outcome, u32, Duration) {
        let start = Instant::now();
        let mut made = 0;
        let policy = Policy { further, backoff: BACKOFF, retry: Retry::default() };
        let got = attempts(policy, || {
            made += 1;
            std::future::ready(outcome(made == good_at))
        })
        .await;
        (got, made, start.elapsed())
    }

    #[tokio::test]
    async fn without_retries_a_failure_stands() {
        let (got, made, waited) = run(0, 2).await;
        assert_eq!((got.ok, made), (false, 1));
        assert!(waited < BACKOFF);
        assert_eq!(got.message.as_deref(), Some("refused"));
    }

    #[tokio::test]
    async fn a_success_ends_the_attempts_and_says_how_many() {
        let (got, made, waited) = run(3, 2).await;
        assert_eq!((got.ok, made), (true, 2));
        assert!(waited >= BACKOFF);
        assert_eq!(got.message.as_deref(), Some("good after 2 attempts"));
    }

    #[tokio::test]
    async fn the_last_failure_says_how_many_there_were() {
        let (got, made, waited) = run(2, 9).await;
        assert_eq!((got.ok, made), (false, 3));
        assert!(waited >= 2 * BACKOFF);
        assert_eq!(got.message.as_deref(), Some("refused (after 3 attempts)"));
    }

    #[tokio::test]
    async fn an_answer_stands_where_only_silence_is_asked_again() {
        let retry = Retry { no_answer_only: true, exponential: false };
        let policy = Policy { further: 2, backoff: Duration::ZERO, retry };
        for (status, attempts_made) in [(Some(500), 1), (None, 3)] {
            let mut made = 0;
            attempts(policy, || {
                made += 1;
                std::future::ready(Outcome { status, ..outcome(false) })
            })
            .await;
            assert_eq!(made, attempts_made, "{status:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_vary_by_a_half() {
        let retry = Retry { no_answer_only: false, exponential: true };
        let policy = Policy { further: 9, backoff: Duration::from_secs(1), retry };
        let bounds = |made| [0.0, 1.0].map(|chance| policy.pause(made, chance).as_secs_f64());
        assert_eq!(bounds(1), [0.5, 1.5]);
        assert_eq!(bounds(2), [1.0, 3.0]);
        assert_eq!(bounds(7), [30.0, 90.0]);
        assert_eq!(bounds(40), [30.0, 90.0]);
    }
}
