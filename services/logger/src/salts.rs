//! Salts of visitor ids, held in memory for as long as the store keeps them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hmac::Hmac;
use sha2::Sha256;
use tokio::time::timeout;
use watchkeeper_store::{Store, day_of, now_ms};

use crate::enrich::keyed;

/// Days held at most, apart from those about today's; hits of the past may need any.
const DAYS: usize = 4_096;

/// Longest wait for salts: while the store is away, hits go to the spool and must not wait here.
const PATIENCE: Duration = Duration::from_secs(2);

/// The salts that hits need; clones share what is held. Without a store nobody has an id.
#[derive(Clone, Default)]
pub struct Salts {
    store: Option<Store>,
    held: Arc<RwLock<HashMap<i64, Held>>>,
}

/// The hash under a day's salt, ready for a visitor of the day.
struct Held {
    hash: Hmac<Sha256>,
    expires_at: i64,
}

impl Salts {
    /// Salts that all processes on this store share.
    pub fn new(store: Store) -> Self {
        Self { store: Some(store), held: Arc::default() }
    }

    /// Makes the salts of these UTC days ready for [`Salts::of`]. While the store is away, a day
    /// whose salt is not held has none, and its hits have no visitor.
    pub async fn prepare(&self, days: impl IntoIterator<Item = i64>) {
        let Some(store) = &self.store else { return };
        let mut days: BTreeSet<i64> = days.into_iter().filter(|day| self.of(*day).is_none()).collect();
        if days.is_empty() {
            return;
        }
        // With today's comes tomorrow's, so that midnight needs no store.
        let today = day_of(now_ms());
        if days.contains(&today) {
            days.insert(today + 1);
        }
        let days: Vec<i64> = days.into_iter().collect();
        match timeout(PATIENCE, store.visitor_salts(&days)).await {
            Ok(Ok(salts)) => {
                let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                let now = now_ms();
                held.retain(|_, salt| salt.expires_at > now);
                if held.len() + salts.len() > DAYS {
                    // Not those that everybody needs, for somebody who sends hits of all times.
                    held.retain(|day, _| day.abs_diff(today) <= 1);
                }
                held.extend(salts.into_iter().map(|(day, salt)| {
                    (day, Held { hash: keyed(&salt.bytes), expires_at: salt.expires_at })
                }));
            }
            Ok(Err(error)) => tracing::warn!(%error, "visitors cannot be told apart: there is no salt"),
            Err(_) => tracing::warn!("visitors cannot be told apart: the store does not answer"),
        }
    }

    /// The hash under the salt of a UTC day that was prepared.
    pub(crate) fn of(&self, day: i64) -> Option<Hmac<Sha256>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(&day).filter(|held| held.expires_at > now_ms()).map(|held| held.hash.clone())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use watchkeeper_store::Options;

    use super::*;

    #[tokio::test]
    async fn hits_of_all_times_take_nobody_the_salts_of_now() {
        let directory = TempDir::new().expect("temporary directory");
        let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
        let salts = Salts::new(store.clone());
        let today = day_of(now_ms());
        salts.prepare([today]).await;
        let held = |day: usize| {
            let held = Held { hash: keyed(&[7; 32]), expires_at: i64::MAX };
            (i64::try_from(day).expect("a day"), held)
        };
        salts.held.write().expect("lock").extend((0..DAYS).map(held));
        salts.prepare([5_000]).await;
        assert!(salts.of(5_000).is_some() && salts.of(0).is_none(), "those of the past make room");
        assert!(salts.of(today).is_some() && salts.of(today + 1).is_some());
        store.close().await;
    }
}
