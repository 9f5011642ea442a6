//! Guesses at a secret in headers, such as the administrator's token. Different wrong ones are counted and
//! not requests: who guesses has many, and a client that is set up wrong has one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::error::ApiError;

/// Different wrong secrets that are looked at of one network within [`WINDOW`].
const MOST: usize = 20;

const WINDOW: Duration = Duration::from_secs(60);

/// How long a network from which the right secret came is never refused: others who guess there must not
/// lock its owner out.
const TRUSTED: Duration = Duration::from_secs(86_400);

/// Networks kept; beyond them, those are forgotten of which nothing counts any more, and then all.
const KEPT: usize = 65_536;

/// The guesses of the last minute at one secret.
#[derive(Debug, Default)]
pub struct Guesses {
    networks: Mutex<HashMap<IpAddr, Network>>,
    /// Hashes secrets as no other process does.
    hasher: RandomState,
}

#[derive(Debug)]
struct Network {
    start: Instant,
    wrong: Vec<u64>,
    trusted_until: Option<Instant>,
}

impl Network {
    fn is_trusted(&self, now: Instant) -> bool {
        self.trusted_until.is_some_and(|end| now < end)
    }
}

impl Guesses {
    /// Notes at `now` that something was presented from a network, and whether it is the secret.
    ///
    /// # Errors
    /// When too many wrong ones came from there already: nobody may be told whether this one is right. The
    /// seconds until the next is looked at.
    pub fn note(&self, network: IpAddr, presented: &[u8], right: bool, now: Instant) -> Result<(), u64> {
        let presented = self.hasher.hash_one(presented);
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if networks.len() >= KEPT {
            networks.retain(|_, it| it.is_trusted(now) || now.duration_since(it.start) < WINDOW);
            if networks.len() >= KEPT {
                networks.clear();
            }
        }
        let new = || Network { start: now, wrong: Vec::new(), trusted_until: None };
        let network = networks.entry(network).or_insert_with(new);
        if now.duration_since(network.start) >= WINDOW {
            network.start = now;
            network.wrong.clear();
        }
        if right && (network.is_trusted(now) || network.wrong.len() < MOST) {
            network.trusted_until = Some(now + TRUSTED);
            return Ok(());
        }
        if network.wrong.contains(&presented) || network.is_trusted(now) {
            return Ok(());
        }
        if network.wrong.len() >= MOST {
            return Err((WINDOW - now.duration_since(network.start)).as_secs().max(1));
        }
        network.wrong.push(presented);
        Ok(())
    }
}

/// The answer to whoever guesses, with the seconds until the next guess is looked at.
#[must_use]
pub fn refused(seconds: u64) -> ApiError {
    let message = "Too many wrong tokens came from your network. Wait a minute.";
    let refused = ApiError::new(StatusCode::TOO_MANY_REQUESTS, message);
    ApiError { retry_after: u32::try_from(seconds).ok(), ..refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn network(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn who_guesses_is_refused_also_when_right_at_last_until_the_minute_is_over() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        for guess in 0..MOST {
            assert_eq!(guesses.note(network(1), guess.to_string().as_bytes(), false, start), Ok(()));
        }
        assert_eq!(guesses.note(network(1), b"one more", false, start + 5 * SECOND), Err(55));
        assert_eq!(guesses.note(network(1), b"right", true, start + 59 * SECOND), Err(1));
        assert_eq!(guesses.note(network(2), b"right", true, start + 59 * SECOND), Ok(()));
        assert_eq!(guesses.note(network(1), b"right", true, start + 60 * SECOND), Ok(()));
    }

    #[test]
    fn a_wrong_token_that_comes_again_and_again_is_one_guess() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(guesses.note(network(1), b"wrong", false, start), Ok(()));
        }
        assert_eq!(guesses.note(network(1), b"right", true, start), Ok(()));
    }

    #[test]
    fn nobody_locks_out_a_network_that_had_the_right_token() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        assert_eq!(guesses.note(network(1), b"right", true, start), Ok(()));
        for guess in 0..1_000 {
            assert_eq!(guesses.note(network(1), guess.to_string().as_bytes(), false, start + SECOND), Ok(()));
        }
        assert_eq!(guesses.note(network(1), b"right", true, start + SECOND), Ok(()));
    }
}
