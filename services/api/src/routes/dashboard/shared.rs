//! What all pages share: the key of their seals, and the bounds on what strangers may try.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OnceCell, Semaphore};
use watchkeeper_store::{Result, Store};

use super::monitors::{board::Boards, history::Histories};

/// Attempts to sign in that all strangers together have a minute.
const SIGN_INS: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// Attempts at one share's password a minute.
const UNLOCKS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Passwords that are hashed at once; each takes 19 MiB for a moment.
const HASHES: usize = 2;

/// Live pages that are served at once.
const WATCHERS: usize = 64;

/// What all pages of a process share.
pub(crate) struct Shared {
    key: OnceCell<[u8; 32]>,
    pub sign_ins: DefaultDirectRateLimiter,
    pub unlocks: DefaultKeyedRateLimiter<i64>,
    pub hashes: Semaphore,
    pub watchers: Arc<Semaphore>,
    pub board: Boards,
    pub history: Histories,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            key: OnceCell::new(),
            sign_ins: RateLimiter::direct(Quota::per_minute(SIGN_INS)),
            unlocks: RateLimiter::keyed(Quota::per_minute(UNLOCKS)),
            hashes: Semaphore::new(HASHES),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            board: Boards::default(),
            history: Histories::default(),
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
