//! When each endpoint is due: pure bookkeeping over instants that the caller
//! passes in.
//!
//! Every endpoint has a grid of instants, one interval apart, shifted by a
//! phase that depends on its id. The phase spreads many endpoints evenly over
//! the interval, and because it is counted from the Unix epoch, a replica that
//! takes over goes on with the grid of the one before it. Due instants are
//! taken from the grid and not from the end of the last check, so checks do
//! not drift.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// Shortest interval; anything less is raised to it.
pub(crate) const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval; anything more is lowered to it.
const MAX_INTERVAL: Duration = Duration::from_secs(366 * 86_400);

/// Who is due when.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    slots: HashMap<i64, Slot>,
    queue: BTreeSet<(Instant, i64)>,
}

#[derive(Debug)]
struct Slot {
    interval: Duration,
    /// Some instant of the grid.
    anchor: Instant,
    due: Instant,
    running: bool,
}

/// An endpoint whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The endpoint.
    pub id: i64,
    /// When it should have started.
    pub at: Instant,
}

/// When the first check of an endpoint is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// At the next instant of its grid: it has been checked before.
    OnGrid,
    /// Within a second or two: somebody waits to see what it does.
    Soon,
}

impl Schedule {
    /// Adds an endpoint, or replaces it and forgets that it is running.
    ///
    /// `now` and `unix` are the same moment, the latter since the Unix epoch.
    pub fn insert(&mut self, id: i64, interval: Duration, first: First, now: Instant, unix: Duration) {
        self.remove(id);
        let interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        let anchor = now + until_grid(id, interval, unix);
        let due = match first {
            First::OnGrid => anchor,
            // Spread a little, so that a large new set does not start at once.
            First::Soon => now + share(id, 2 * MIN_INTERVAL.min(interval)),
        };
        self.queue.insert((due, id));
        self.slots.insert(id, Slot { interval, anchor, due, running: false });
    }

    /// Forgets an endpoint.
    pub fn remove(&mut self, id: i64) {
        if let Some(slot) = self.slots.remove(&id) {
            self.queue.remove(&(slot.due, id));
        }
    }

    /// The next instant at which [`Schedule::pop_due`] may have something.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// Takes one endpoint that is due at `now`, marks it as running and plans
    /// its next instant. An endpoint that still runs misses its turn; turns
    /// missed while nobody asked are not made up for.
    pub fn pop_due(&mut self, now: Instant) -> Option<Due> {
        loop {
            let &(at, id) = self.queue.first().filter(|(at, _)| *at <= now)?;
            self.queue.pop_first();
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            // Not sooner than half an interval after a check off the grid.
            slot.due = slot.grid_after(now.max(at + slot.interval / 2));
            self.queue.insert((slot.due, id));
            if !std::mem::replace(&mut slot.running, true) {
                return Some(Due { id, at });
            }
        }
    }

    /// Says that an endpoint's check has ended.
    pub fn finish(&mut self, id: i64) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.running = false;
        }
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

impl Slot {
    /// The first instant of the grid after `instant`.
    fn grid_after(&self, instant: Instant) -> Instant {
        let Some(past) = instant.checked_duration_since(self.anchor) else {
            return self.anchor;
        };
        let into = past.as_nanos() % self.interval.as_nanos();
        instant + (self.interval - nanos(into))
    }
}

/// Time from `unix` to the next instant of an endpoint's grid.
fn until_grid(id: i64, interval: Duration, unix: Duration) -> Duration {
    let length = interval.as_nanos();
    let phase = share(id, interval).as_nanos();
    let into = (unix.as_nanos() + length - phase) % length;
    nanos(length - into)
}

/// A part of `whole` that depends on the id alone and is spread evenly.
fn share(id: i64, whole: Duration) -> Duration {
    // The standard library's hasher with its fixed keys: the same on every
    // replica of one build, which is all that a takeover needs.
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let part = u128::from(hasher.finish() >> 32);
    nanos((whole.as_nanos() * part) >> 32)
}

/// Intervals are bounded, so their nanoseconds fit.
fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
