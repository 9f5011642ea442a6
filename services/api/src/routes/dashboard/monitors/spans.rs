//! How endpoints spent the time up to now, as badges tell it. Anybody may ask for those, so that one
//! read stands for all who ask in the same moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use watchkeeper_store::{Availability, DAY_MS, Endpoint, Result, Store, now_ms};

/// How long a span counts: as long as caches may keep a badge.
const FRESH: Duration = Duration::from_secs(15);

/// Spans that are kept; beyond them, all are read anew.
const KEPT: usize = 4_096;

/// A span and when it was read.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Availability)>>>;

/// The spans of a process, by endpoint and days.
#[derive(Debug, Default)]
pub(crate) struct Spans(Mutex<HashMap<(i64, i64), Slot>>);

impl Spans {
    /// How an endpoint spent so many days up to now, or up to a moment ago.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, store: &Store, endpoint: &Endpoint, days: i64) -> Result<Availability> {
        let slot = self.slot(endpoint.id, days);
        // Held while reading: a crowd waits for one read instead of making its own.
        let mut known = slot.lock().await;
        if let Some((read_at, span)) = &*known
            && read_at.elapsed() < FRESH
        {
            return Ok(*span);
        }
        let now = now_ms();
        let span = store.availability(endpoint.project, endpoint.id, now - days * DAY_MS, now).await?;
        *known = Some((Instant::now(), span));
        Ok(span)
    }

    fn slot(&self, endpoint: i64, days: i64) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT {
            slots.clear();
        }
        Arc::clone(slots.entry((endpoint, days)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_the_same_waits_at_the_same_place_and_places_are_bounded() {
        let spans = Spans::default();
        let first = spans.slot(1, 7);
        assert!(Arc::ptr_eq(&first, &spans.slot(1, 7)) && !Arc::ptr_eq(&first, &spans.slot(1, 30)));
        for endpoint in 0..10_000 {
            spans.slot(endpoint, 1);
        }
        let kept = spans.0.lock().expect("unlocked").len();
        assert!(kept <= KEPT, "{kept}");
    }
}
