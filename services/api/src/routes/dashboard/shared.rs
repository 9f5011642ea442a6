//! What all pages share: the key of their seals, and the bounds on what strangers may try.

use std::{num::NonZeroU32, sync::Arc, time::Instant};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use watchkeeper_store::{Result, Store};

use super::monitors::{board::Boards, history::Histories, spans::Spans};
use crate::{limits::Requests, peer::Peer};

/// Attempts to sign in a minute: of one network, and of all together.
const SIGN_INS: (u32, NonZeroU32) = (20, NonZeroU32::MIN.saturating_add(999));

/// Attempts at one share's password a minute: of one network, and of all together.
const UNLOCKS: (u32, NonZeroU32) = (10, NonZeroU32::MIN.saturating_add(99));

/// Passwords that are hashed at once; each takes 19 MiB for a moment.
const HASHES: usize = 2;

/// Live pages that are served at once, and those among them that shares show.
const WATCHERS: usize = 64;
const GUESTS: usize = 48;

/// Attempts at secrets: whoever has used theirs up leaves those of the others alone.
pub(crate) struct Attempts {
    each: u32,
    of_each: Requests,
    of_all: DefaultKeyedRateLimiter<i64>,
}

impl Attempts {
    fn new((each, all): (u32, NonZeroU32)) -> Self {
        Self { each, of_each: Requests::default(), of_all: RateLimiter::keyed(Quota::per_minute(all)) }
    }

    /// Takes an attempt at one of the secrets; tells whether there was one left.
    pub fn take(&self, secret: i64, peer: Peer) -> bool {
        // Their own first: those that are refused to one network cost the others nothing.
        self.of_each.count(peer.network(), secret.to_string(), self.each, Instant::now()).is_ok()
            && self.of_all.check_key(&secret).is_ok()
    }
}

/// A place of a live page, and one of those of guests.
pub(crate) type Seat = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// The places of live pages.
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    guests: Arc<Semaphore>,
}

impl Seats {
    fn new(all: usize, guests: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), guests: Arc::new(Semaphore::new(guests)) }
    }

    /// Takes a place, if there is one. Guests, who come by a share that may be public, leave some to
    /// whose dashboard it is.
    pub fn take(&self, guest: bool) -> Option<Seat> {
        let as_guest = guest.then(|| Arc::clone(&self.guests).try_acquire_owned()).transpose().ok()?;
        Some((Arc::clone(&self.all).try_acquire_owned().ok()?, as_guest))
    }
}

/// What all pages of a process share.
pub(crate) struct Shared {
    key: OnceCell<[u8; 32]>,
    pub sign_ins: Attempts,
    pub unlocks: Attempts,
    pub hashes: Semaphore,
    pub watchers: Seats,
    pub board: Boards,
    pub history: Histories,
    pub spans: Spans,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            key: OnceCell::new(),
            sign_ins: Attempts::new(SIGN_INS),
            unlocks: Attempts::new(UNLOCKS),
            hashes: Semaphore::new(HASHES),
            watchers: Seats::new(WATCHERS, GUESTS),
            board: Boards::default(),
            history: Histories::default(),
            spans: Spans::default(),
        }
    }
}

impl Shared {
    /// The key of the seals, which all replicas share.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn key(&self, store: &Store) -> Result<[u8; 32]> {
        self.key.get_or_try_init(|| store.installation_key("dashboard")).await.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_leave_places_to_owners() {
        let seats = Seats::new(3, 2);
        let guests = [0; 4].map(|_| seats.take(true));
        assert_eq!(guests.iter().flatten().count(), 2);
        let owner = seats.take(false);
        assert!(owner.is_some() && seats.take(false).is_none(), "three in all");
        drop(guests);
        assert!(seats.take(true).is_some(), "who leaves makes room");
    }

    #[test]
    fn a_stranger_uses_up_their_own_attempts_and_many_strangers_those_of_all() {
        let attempts = Attempts::new((2, NonZeroU32::MIN.saturating_add(5)));
        let take = |secret, peer: &str| attempts.take(secret, Peer(peer.parse().expect("address")));
        let stranger = "2001:db8::1";
        assert_eq!([0; 9].map(|_| take(1, stranger)).iter().filter(|taken| **taken).count(), 2);
        assert!(!take(1, "2001:db8::2"), "another address of the same network");
        assert!(take(1, "192.0.2.1") && take(2, stranger));
        assert!(take(1, "192.0.2.2") && take(1, "192.0.2.3") && take(1, "192.0.2.4"));
        assert!(!take(1, "192.0.2.5"), "six in all");
    }
}
