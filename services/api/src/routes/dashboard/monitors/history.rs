//! How each endpoint spent its days: the days that are over are kept, since they do not change.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use watchkeeper_store::{Availability, DAY_MS, Result, Store, day_of};

/// Days that are shown as bars.
pub(crate) const DAYS: i64 = 90;

/// How long the course of today counts.
const FRESH: Duration = Duration::from_secs(20);

/// Time after midnight at which yesterday's last checks have surely arrived, milliseconds.
const SETTLED: i64 = 600_000;

/// How a span of time was spent, milliseconds of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub up: i64,
    pub degraded: i64,
    pub down: i64,
    pub maintenance: i64,
    pub unknown: i64,
}

impl From<&Availability> for Share {
    fn from(it: &Availability) -> Self {
        Self {
            up: it.up_ms,
            degraded: it.degraded_ms,
            down: it.down_ms,
            maintenance: it.maintenance_ms,
            unknown: it.unknown_ms,
        }
    }
}

impl std::ops::AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.up += other.up;
        self.degraded += other.degraded;
        self.down += other.down;
        self.maintenance += other.maintenance;
        self.unknown += other.unknown;
    }
}

/// What a bar says at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Not watched yet.
    Absent,
    Unknown,
    Up,
    Degraded,
    /// Down for some of the time.
    Partial,
    Down,
    Maintenance,
}

impl Class {
    /// The class in the style sheet.
    pub const fn css(self) -> &'static str {
        match self {
            Self::Absent => "b-absent",
            Self::Unknown => "b-unknown",
            Self::Up => "b-up",
            Self::Degraded => "b-degraded",
            Self::Partial => "b-partial",
            Self::Down => "b-down",
            Self::Maintenance => "b-maintenance",
        }
    }
}

/// Share of down time from which on a bar is red, not orange.
const RED: f64 = 0.05;

#[allow(clippy::cast_precision_loss)] // milliseconds far below 2^52
impl Share {
    /// Up or degraded among the time known to be that or down, 0 to 1. What nobody observed and
    /// maintenance count as neither.
    pub fn uptime(&self) -> Option<f64> {
        let good = self.up + self.degraded;
        (good + self.down > 0).then(|| good as f64 / (good + self.down) as f64)
    }

    /// Share of time that nobody observed, 0 to 1; `None` of no time at all.
    pub fn unobserved(&self) -> Option<f64> {
        let whole = self.up + self.degraded + self.down + self.maintenance + self.unknown;
        (whole > 0).then(|| self.unknown as f64 / whole as f64)
    }

    pub fn class(&self) -> Class {
        let judged = self.up + self.degraded + self.down;
        match judged {
            0 if self.maintenance > 0 => Class::Maintenance,
            0 if self.unknown > 0 => Class::Unknown,
            0 => Class::Absent,
            _ if self.down as f64 >= RED * judged as f64 && self.down > 0 => Class::Down,
            _ if self.down > 0 => Class::Partial,
            _ if self.degraded > 0 => Class::Degraded,
            _ => Class::Up,
        }
    }
}

type Day = Arc<HashMap<i64, [u32; 5]>>;

/// The days of all endpoints, for a process.
#[derive(Debug, Default)]
pub(crate) struct Histories(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Days that are over.
    past: BTreeMap<i64, Day>,
    /// Days that still change, and when they were read.
    recent: Option<(Instant, Vec<(i64, Day)>)>,
}

/// The last [`DAYS`] days of all endpoints, the oldest first.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub now: i64,
    days: Vec<(i64, Day)>,
}

impl Histories {
    /// The days until `now`; the first call after a start reads them all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, store: &Store, now: i64) -> Result<History> {
        // Held while reading: a crowd waits for one read instead of making its own.
        let mut known = self.0.lock().await;
        let today = day_of(now);
        // Yesterday's last checks may still be under way.
        let settled = day_of(now - SETTLED);
        known.past = known.past.split_off(&(today - DAYS + 1));
        for day in today - DAYS + 1..settled {
            if let std::collections::btree_map::Entry::Vacant(free) = known.past.entry(day) {
                free.insert(read(store, day * DAY_MS, (day + 1) * DAY_MS).await?);
            }
        }
        let fresh = known.recent.as_ref().is_some_and(|(at, days)| {
            at.elapsed() < FRESH && days.last().is_some_and(|(day, _)| *day == today)
        });
        if !fresh {
            let mut recent = Vec::new();
            for day in settled..=today {
                recent.push((day, read(store, day * DAY_MS, ((day + 1) * DAY_MS).min(now)).await?));
            }
            known.recent = Some((Instant::now(), recent));
        }
        let past = known.past.range(..settled).map(|(day, shares)| (*day, Arc::clone(shares)));
        let recent = known.recent.iter().flat_map(|(_, days)| days.iter().cloned());
        Ok(History { now, days: past.chain(recent).collect() })
    }
}

async fn read(store: &Store, from: i64, to: i64) -> Result<Day> {
    // A day has 86,400,000 milliseconds.
    let small = |ms: i64| u32::try_from(ms).unwrap_or_default();
    let all = store.availability_of_all(from, to).await?;
    let packed = all.into_iter().map(|(id, it)| {
        (id, [it.up_ms, it.degraded_ms, it.down_ms, it.maintenance_ms, it.unknown_ms].map(small))
    });
    Ok(Arc::new(packed.collect()))
}

impl History {
    /// How an endpoint made at `created` spent each day, the oldest first. What was before it was
    /// made is nothing, not unknown.
    pub fn of(&self, endpoint: i64, created: i64) -> Vec<Share> {
        self.days
            .iter()
            .map(|(day, shares)| {
                let (from, to) = (day * DAY_MS, ((day + 1) * DAY_MS).min(self.now));
                // It can have been watched before it was made: when it moved from another installation.
                match shares.get(&endpoint) {
                    Some(packed) => {
                        let [up, degraded, down, maintenance, unknown] = packed.map(i64::from);
                        let known = up + degraded + down + maintenance;
                        let existed = (to - created.clamp(from, to.max(from))).max(known);
                        let unknown = unknown.min(existed - known);
                        Share { up, degraded, down, maintenance, unknown }
                    }
                    None => Share { unknown: (to - created.max(from)).max(0), ..Share::default() },
                }
            })
            .collect()
    }

    /// The first millisecond of the day at a place of [`History::of`].
    pub fn start(&self, place: usize) -> i64 {
        self.days.get(place).map_or(self.now, |(day, _)| day * DAY_MS)
    }
}

/// The sum of spans.
pub(crate) fn total(shares: &[Share]) -> Share {
    shares.iter().fold(Share::default(), |mut sum, share| {
        sum += *share;
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_observed_is_neither_up_nor_down() {
        let share = Share { up: 90, down: 10, maintenance: 50, unknown: 50, degraded: 0 };
        assert_eq!((share.uptime(), share.unobserved()), (Some(0.9), Some(0.25)));
        let nothing = Share { unknown: 100, ..Share::default() };
        assert_eq!(
            (nothing.uptime(), nothing.unobserved(), nothing.class()),
            (None, Some(1.0), Class::Unknown)
        );
        assert_eq!((Share::default().unobserved(), Share::default().class()), (None, Class::Absent));
    }

    #[test]
    fn a_bar_tells_the_worst_that_matters() {
        let class = |up, degraded, down| Share { up, degraded, down, ..Share::default() }.class();
        assert_eq!(
            [class(100, 0, 0), class(90, 10, 0), class(96, 0, 4), class(95, 0, 5), class(0, 0, 1)],
            [Class::Up, Class::Degraded, Class::Partial, Class::Down, Class::Down]
        );
    }

    #[test]
    fn days_before_an_endpoint_was_made_are_nothing() {
        let day = |entries: &[(i64, [u32; 5])]| Arc::new(entries.iter().copied().collect::<HashMap<_, _>>());
        let now = 3 * DAY_MS + 1_000;
        let half = u32::try_from(DAY_MS / 2).expect("small");
        let history = History {
            now,
            days: vec![(1, day(&[])), (2, day(&[(7, [half, 0, 0, 0, half])])), (3, day(&[]))],
        };
        let shares = history.of(7, 2 * DAY_MS + DAY_MS / 2);
        assert_eq!(shares[0], Share::default());
        assert_eq!(shares[1], Share { up: DAY_MS / 2, ..Share::default() });
        assert_eq!(shares[2], Share { unknown: 1_000, ..Share::default() });
        assert_eq!(history.start(1), 2 * DAY_MS);
    }
}
