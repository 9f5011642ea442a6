//! How each endpoint spent its days: the days that are over are kept, since they do not change.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use watchkeeper_store::{Availability, DAY_MS, DaySpent, Result, Store, day_of};

/// Days that are shown as bars.
pub(crate) const DAYS: i64 = 90;

/// How long the course of today counts.
const FRESH: Duration = Duration::from_secs(20);

/// Time after midnight at which yesterday's last checks have surely arrived, milliseconds.
const SETTLED: i64 = 600_000;

/// How long days that are over count: checks that arrived late, as after a night without the database,
/// are found then.
const AGAIN: Duration = Duration::from_secs(3_600);

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

/// A day of all endpoints as it was known at a moment.
#[derive(Debug, Clone)]
struct Day {
    /// Counted from 1970.
    day: i64,
    /// Up to which moment it is known, UTC milliseconds.
    to: i64,
    spent: Arc<HashMap<i64, DaySpent>>,
}

impl Day {
    fn whole(day: i64, spent: HashMap<i64, DaySpent>) -> Self {
        Self { day, to: (day + 1) * DAY_MS, spent: Arc::new(spent) }
    }
}

/// The days of all endpoints, for a process.
#[derive(Debug, Default)]
pub(crate) struct Histories(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Days that are over, and when the first of them was read.
    past: BTreeMap<i64, Day>,
    past_from: Option<Instant>,
    /// Days that still change, and when they were read.
    recent: Option<(Instant, Vec<Day>)>,
}

/// The last [`DAYS`] days of all endpoints, the oldest first.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub now: i64,
    days: Vec<Day>,
}

impl Histories {
    /// The days until `now`; the first call after a start, and one an hour, reads them all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, store: &Store, now: i64) -> Result<History> {
        // Held while reading: a crowd waits for one read instead of making its own.
        let mut known = self.0.lock().await;
        let today = day_of(now);
        // Yesterday's last checks may still be under way.
        let settled = day_of(now - SETTLED);
        if known.past_from.is_none_or(|at| at.elapsed() >= AGAIN) {
            known.past.clear();
            known.past_from = Some(Instant::now());
        }
        known.past = known.past.split_off(&(today - DAYS + 1));
        let missing = (today - DAYS + 1..settled).find(|day| !known.past.contains_key(day));
        if let Some(first) = missing {
            let days = store.days_of_all(first..settled).await?;
            known.past.extend(days.into_iter().map(|(day, spent)| (day, Day::whole(day, spent))));
        }
        let fresh = known.recent.as_ref().is_some_and(|(at, days)| {
            at.elapsed() < FRESH && days.last().is_some_and(|last| last.day == today)
        });
        if !fresh {
            let mut recent = Vec::new();
            for day in settled..=today {
                let to = ((day + 1) * DAY_MS).min(now);
                let all = store.availability_of_all(day * DAY_MS, to).await?;
                let spent = all.iter().map(|(id, found)| (*id, found.into())).collect();
                recent.push(Day { day, to, spent: Arc::new(spent) });
            }
            known.recent = Some((Instant::now(), recent));
        }
        let past = known.past.range(..settled).map(|(_, day)| day.clone());
        // What was read before the last day settled has that day too.
        let recent = known.recent.iter().flat_map(|(_, days)| days.iter().cloned());
        let recent = recent.filter(|day| day.day >= settled);
        Ok(History { now, days: past.chain(recent).collect() })
    }
}

impl History {
    /// How an endpoint made at `created` spent each day, the oldest first. What was before it was
    /// made is nothing, not unknown.
    pub fn of(&self, endpoint: i64, created: i64) -> Vec<Share> {
        self.days
            .iter()
            .map(|day| {
                let (from, to) = (day.day * DAY_MS, ((day.day + 1) * DAY_MS).min(self.now));
                // It can have been watched before it was made: when it moved from another installation.
                match day.spent.get(&endpoint) {
                    Some(spent) => {
                        let [up, degraded, down, maintenance] =
                            [spent.up_ms, spent.degraded_ms, spent.down_ms, spent.maintenance_ms]
                                .map(i64::from);
                        let known = up + degraded + down + maintenance;
                        let existed = (to - created.clamp(from, to.max(from))).max(known);
                        let unknown = (day.to - from - known).clamp(0, existed - known);
                        Share { up, degraded, down, maintenance, unknown }
                    }
                    None => Share { unknown: (to - created.max(from)).max(0), ..Share::default() },
                }
            })
            .collect()
    }

    /// The first millisecond of the day at a place of [`History::of`].
    pub fn start(&self, place: usize) -> i64 {
        self.days.get(place).map_or(self.now, |day| day.day * DAY_MS)
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
        let now = 3 * DAY_MS + 1_000;
        let half = DaySpent { up_ms: u32::try_from(DAY_MS / 2).expect("small"), ..DaySpent::default() };
        let days = [vec![], vec![(7, half)], vec![]];
        let days = (1..).zip(days).map(|(day, spent)| Day::whole(day, spent.into_iter().collect()));
        let history = History { now, days: days.collect() };
        let shares = history.of(7, 2 * DAY_MS + DAY_MS / 2);
        assert_eq!(shares[0], Share::default());
        assert_eq!(shares[1], Share { up: DAY_MS / 2, ..Share::default() });
        assert_eq!(shares[2], Share { unknown: 1_000, ..Share::default() });
        assert_eq!(history.start(1), 2 * DAY_MS);
    }
}
