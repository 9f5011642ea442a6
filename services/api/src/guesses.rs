//! Guesses at the administrator's token in headers. Different wrong tokens are counted and not requests: who
//! guesses has many, and a client that is set up wrong has one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Different wrong tokens that are looked at of one network within [`WINDOW`].
const MOST: usize = 20;

const WINDOW: Duration = Duration::from_secs(60);

/// How long a network from which the right token came is never refused: others who guess there must not
/// lock its administrator out.
const TRUSTED: Duration = Duration::from_secs(86_400);

/// Networks kept; beyond them, those are forgotten of which nothing counts any more, and then all.
const KEPT: usize = 65_536;

/// The guesses of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    networks: Mutex<HashMap<IpAddr, Network>>,
    /// Hashes tokens as no other process does.
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
    /// Notes at `now` that a token came from a network, and whether it is the right one.
    ///
    /// # Errors
    /// When too many wrong ones came from there already: nobody may be told whether this one is right. The
    /// seconds until the next is looked at.
    pub fn note(&self, network: IpAddr, token: &str, right: bool, now: Instant) -> Result<(), u64> {
        let token = self.hasher.hash_one(token);
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
        if network.wrong.contains(&token) || network.is_trusted(now) {
            return Ok(());
        }
        if network.wrong.len() >= MOST {
            return Err((WINDOW - now.duration_since(network.start)).as_secs().max(1));
        }
        network.wrong.push(token);
        Ok(())
    }
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
            assert_eq!(guesses.note(network(1), &guess.to_string(), false, start), Ok(()));
        }
        assert_eq!(guesses.note(network(1), "one more", false, start + 5 * SECOND), Err(55));
        assert_eq!(guesses.note(network(1), "right", true, start + 59 * SECOND), Err(1));
        assert_eq!(guesses.note(network(2), "right", true, start + 59 * SECOND), Ok(()));
        assert_eq!(guesses.note(network(1), "right", true, start + 60 * SECOND), Ok(()));
    }

    #[test]
    fn a_wrong_token_that_comes_again_and_again_is_one_guess() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(guesses.note(network(1), "wrong", false, start), Ok(()));
        }
        assert_eq!(guesses.note(network(1), "right", true, start), Ok(()));
    }

    #[test]
    fn nobody_locks_out_a_network_that_had_the_right_token() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        assert_eq!(guesses.note(network(1), "right", true, start), Ok(()));
        for guess in 0..1_000 {
            assert_eq!(guesses.note(network(1), &guess.to_string(), false, start + SECOND), Ok(()));
        }
        assert_eq!(guesses.note(network(1), "right", true, start + SECOND), Ok(()));
    }
}
