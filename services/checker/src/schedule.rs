//! When each endpoint is due: pure bookkeeping over times that the caller
//! passes in, UTC milliseconds by a clock that all replicas share.
//!
//! Every endpoint has a grid of instants, one interval apart, shifted by a
//! phase that depends on its id. The phase spreads many endpoints evenly over
//! the interval, and because it is counted from the Unix epoch, a replica that
//! takes over goes on with the grid of the one before it. Due instants are
//! taken from the grid and not from the end of the last check, so checks do
//! not drift. The instant for which a check is planned is its identity.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Shortest interval; anything less is raised to it.
pub(crate) const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval; anything more is lowered to it.
const MAX_INTERVAL: Duration = Duration::from_secs(366 * 86_400);
/// Time over which checks are spread that somebody waits for, or that are late.
const SPREAD: i64 = 1_000;
/// How far ahead a stored instant may be before it is taken for one of a clock
/// that was wrong.
const AHEAD: i64 = 60_000;

/// Who is due when.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    slots: HashMap<i64, Slot>,
    queue: BTreeSet<(i64, i64)>,
}

#[derive(Debug)]
struct Slot {
    interval: i64,
    phase: i64,
    start: i64,
    /// Newest instant that a check was planned for.
    newest: Option<i64>,
    next: Next,
    running: bool,
}

/// What the next start of an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// An instant of its grid.
    Grid,
    /// A check off the grid, for somebody who waits to see what it does.
    Soon,
    /// The grid's newest instant, which has passed unchecked.
    Late,
}

/// An endpoint whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The endpoint.
    pub id: i64,
    /// The instant for which this check is planned: later than of every check before.
    pub planned: i64,
    /// When it should have started.
    pub start: i64,
}

/// When the first check of an endpoint is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// At the next instant of its grid after the newest that was checked; at
    /// once if that has passed.
    After(i64),
    /// Within a second: somebody waits to see what it does. An earlier instant
    /// may have been checked.
    Soon(Option<i64>),
}

impl Schedule {
    /// Adds an endpoint, or replaces it and forgets that it is running.
    pub fn insert(&mut self, id: i64, interval: Duration, first: First, now: i64) {
        self.remove(id);
        let interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let spread = share(id, SPREAD.min(interval / 2));
        let mut slot = Slot {
            interval,
            phase: share(id, interval),
            start: now + spread,
            newest: None,
            next: Next::Soon,
            running: false,
        };
        let plausible = |newest: &i64| *newest <= now.saturating_add(AHEAD);
        match first {
            First::Soon(newest) => slot.newest = newest.filter(plausible),
            First::After(newest) => {
                slot.newest = Some(newest).filter(plausible);
                let next = slot.grid_after(slot.newest.unwrap_or(now));
                if next > now {
                    (slot.next, slot.start) = (Next::Grid, next);
                } else {
                    slot.next = Next::Late;
                }
            }
        }
        self.queue.insert((slot.start, id));
        self.slots.insert(id, slot);
    }

    /// Forgets an endpoint.
    pub fn remove(&mut self, id: i64) {
        if let Some(slot) = self.slots.remove(&id) {
            self.queue.remove(&(slot.start, id));
        }
    }

    /// The next time at which [`Schedule::pop_due`] may have something.
    pub fn next_due(&self) -> Option<i64> {
        self.queue.first().map(|(start, _)| *start)
    }

    /// Takes one endpoint that is due at `now`, marks it as running and plans
    /// its next instant. An endpoint that still runs misses its turn; turns
    /// missed while nobody asked are not made up for.
    pub fn pop_due(&mut self, now: i64) -> Option<Due> {
        loop {
            let &(start, id) = self.queue.first().filter(|(start, _)| *start <= now)?;
            self.queue.pop_first();
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            let (planned, after) = match slot.next {
                Next::Grid => (start, now),
                Next::Late => (slot.grid_at(now), now),
                // The grid's next instant not sooner than half an interval after a check off it.
                Next::Soon => (now, now.max(start + slot.interval / 2)),
            };
            slot.next = Next::Grid;
            slot.start = slot.grid_after(after);
            self.queue.insert((slot.start, id));
            if slot.running {
                continue;
            }
            slot.running = true;
            let planned = slot.newest.map_or(planned, |newest| planned.max(newest + 1));
            slot.newest = Some(planned);
            return Some(Due { id, planned, start });
        }
    }

    /// Says that an endpoint's check has ended.
    pub fn finish(&mut self, id: i64) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.running = false;
        }
    }

    /// The newest instant that a check of an endpoint was planned for.
    pub fn newest(&self, id: i64) -> Option<i64> {
        self.slots.get(&id)?.newest
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

impl Slot {
    /// The first instant of the grid after a time.
    fn grid_after(&self, time: i64) -> i64 {
        self.grid_at(time).saturating_add(self.interval)
    }

    /// The newest instant of the grid at a time.
    fn grid_at(&self, time: i64) -> i64 {
        time - (time - self.phase).rem_euclid(self.interval)
    }
}

/// A part of `whole` that depends on the id alone and is spread evenly.
fn share(id: i64, whole: i64) -> i64 {
    // The standard library's hasher with its fixed keys: the same on every
    // replica of one build, which is all that a takeover needs.
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let part = i128::from(hasher.finish() >> 32);
    i64::try_from((i128::from(whole) * part) >> 32).unwrap_or_default()
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
