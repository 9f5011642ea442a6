//! Attempts within one check: an endpoint is down when the last one failed.

use std::time::Duration;

use crate::result::Outcome;

/// Runs `probe` until it succeeds, at most `1 + further` times, waiting
/// `backoff` in between. The last attempt's outcome is the check's, with a
/// message that says how many there were when there was more than one.
pub(crate) async fn attempts<F>(further: u32, backoff: Duration, mut probe: impl FnMut() -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let mut made: u32 = 1;
    loop {
        let outcome = probe().await;
        if outcome.ok || made > further {
            return with_count(outcome, made);
        }
        tokio::time::sleep(backoff).await;
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
        Outcome { ok, status: None, duration: Duration::ZERO, message: (!ok).then(|| "refused".into()) }
    }

    async fn run(further: u32, good_at: u32) -> (Outcome, u32, Duration) {
        let start = Instant::now();
        let mut made = 0;
        let got = attempts(further, BACKOFF, || {
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
}
