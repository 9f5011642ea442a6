//! Visits of addresses. Unlike those of [`Metric::Sessions`](crate::Metric::Sessions), which go by
//! visitors whose ids change every day, they go on over midnight.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use jiff::tz::TimeZone;
use rustc_hash::FxHashMap;
use watchkeeper_store::{DAY_MS, Hit, ProjectId};

use crate::{Analytics, AskError, Bucket, ask::aside, calendar::Calendar};

/// What counting visits takes in memory at most.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Distinct addresses and visitors of a range.
    who: usize,
    /// Requests of one day.
    requests: usize,
    /// Buckets in which visits of one of them began, over all of them.
    began: usize,
}

/// Of some hundred MiB each.
const BOUNDS: Bounds = Bounds { who: 1_000_000, requests: 8_000_000, began: 4_000_000 };

/// One visit: requests of one address with less than the idle time in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Time of its first request, UTC milliseconds.
    pub first: i64,
    /// Time of its last request, UTC milliseconds.
    pub last: i64,
    /// Its requests.
    pub requests: u64,
}

impl Visit {
    /// Requests a second between its first and its last; 0 while these are the same moment.
    #[allow(clippy::cast_precision_loss)] // counts and times stay far below 2^53
    pub fn requests_per_second(&self) -> f64 {
        match self.last - self.first {
            0 => 0.0,
            length => self.requests as f64 * 1_000.0 / length as f64,
        }
    }
}

/// Tells visits apart among requests that come in order of time.
#[derive(Debug)]
pub struct Visits<K> {
    idle: i64,
    open: FxHashMap<K, Visit>,
}

impl<K: Eq + Hash> Visits<K> {
    /// A gap of `idle` milliseconds, or more, starts a new visit.
    pub fn new(idle: i64) -> Self {
        Self { idle, open: FxHashMap::default() }
    }

    /// Adds a request; returns the visit before it if that has ended.
    pub fn push(&mut self, who: K, ts: i64) -> Option<Visit> {
        let fresh = Visit { first: ts, last: ts, requests: 1 };
        let visit = match self.open.entry(who) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(fresh);
                return None;
            }
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
        };
        if ts - visit.last >= self.idle {
            return Some(std::mem::replace(visit, fresh));
        }
        visit.last = ts;
        visit.requests += 1;
        None
    }

    /// Takes the visits that have ended by `ts`.
    pub fn ended(&mut self, ts: i64) -> Vec<(K, Visit)> {
        let idle = self.idle;
        self.open.extract_if(|_, visit| ts - visit.last >= idle).collect()
    }

    /// The visits that nothing has ended.
    pub fn finish(self) -> impl Iterator<Item = (K, Visit)> {
        self.open.into_iter()
    }
}

/// Visits that began in one bucket of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VisitCount {
    /// Of addresses that people ask from.
    pub users: u64,
    /// Of addresses that robots ask from.
    pub bots: u64,
}

/// Who asks: an address, or the visitor where no address was kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Address(String),
    Visitor(i64),
}

/// The requests of a day, as numbers of who made them.
#[derive(Debug)]
struct Requests {
    bounds: Bounds,
    /// Which of the bounds was met: what came after that is not there.
    beyond: Option<AskError>,
    // With a random key, since whoever reports views chooses what stands for an address.
    numbers: HashMap<Who, u32, ahash::RandomState>,
    /// By number, whether a hit said that a robot made it.
    bots: Vec<bool>,
    all: Vec<(i64, u32)>,
}

impl Requests {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, beyond: None, numbers: HashMap::default(), bots: Vec::new(), all: Vec::new() }
    }

    fn add(&mut self, hit: &Hit) {
        if self.beyond.is_some() {
            return;
        }
        if self.all.len() >= self.bounds.requests {
            self.beyond = Some(beyond(self.bounds.requests, "requests in a day"));
            return;
        }
        let who = match (&hit.ip, hit.visitor) {
            (Some(ip), _) => Who::Address(ip.clone()),
            (None, Some(visitor)) => Who::Visitor(visitor),
            (None, None) => return,
        };
        if self.bots.len() >= self.bounds.who && !self.numbers.contains_key(&who) {
            self.beyond = Some(beyond(self.bounds.who, "addresses"));
            return;
        }
        let next = u32::try_from(self.bots.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(who).or_insert(next);
        if number == next {
            self.bots.push(false);
        }
        if let Some(bot) = self.bots.get_mut(number as usize) {
            *bot |= hit.bot == Some(true);
        }
        self.all.push((hit.ts, number));
    }
}

fn beyond(most: usize, what: &str) -> AskError {
    AskError::Question(format!("the range has more than {most} {what}; ask for a shorter one"))
}

/// How many visits began, by who made them and by the start of their bucket.
struct Began {
    from: i64,
    to: i64,
    bucket: Bucket,
    counts: FxHashMap<(u32, i64), u64>,
}

impl Began {
    fn add(&mut self, visits: impl IntoIterator<Item = (u32, Visit)>) {
        let utc = TimeZone::UTC;
        let calendar = Calendar::new(&utc, self.from);
        for (who, visit) in visits {
            if (self.from..self.to).contains(&visit.first) {
                let (start, _) = calendar.bucket(visit.first, self.bucket);
                *self.counts.entry((who, start)).or_default() += 1;
            }
        }
    }
}

impl Analytics {
    /// Counts the visits that began in `[from, to)` by UTC buckets, empty ones left out. A gap of
    /// `idle` milliseconds starts a new visit. Addresses that were not classified yet do not
    /// count; where no address was kept, visitors do, by what their hits say.
    ///
    /// # Errors
    /// [`AskError::Question`] when the range has too many addresses or requests, and when the store fails.
    pub async fn address_visits(
        &self,
        project: ProjectId,
        from: i64,
        to: i64,
        idle: i64,
        bucket: Bucket,
    ) -> Result<BTreeMap<i64, VisitCount>, AskError> {
        let mut counts = BTreeMap::new();
        if from >= to {
            return Ok(counts);
        }
        let facts = self.store().address_facts(project).await?;
        // A visit that goes on since before the range shows itself by a hit less than `idle` before.
        let early = from.saturating_sub(idle);
        let mut snapshot = self.store().snapshot(project, early, to).await?;
        let (mut visits, mut requests) = (Visits::new(idle), Requests::new(BOUNDS));
        let mut began = Began { from, to, bucket, counts: FxHashMap::default() };
        for day in snapshot.days().to_vec() {
            let add = move |requests: &mut Requests, hit: &Hit| {
                if (early..to).contains(&hit.ts) {
                    requests.add(hit);
                }
            };
            requests = snapshot.fold(day.day, &["ts", "ip", "visitor", "bot"], requests, add).await?;
            if let Some(beyond) = requests.beyond.take() {
                return Err(beyond);
            }
            (requests, visits, began) = aside(move || {
                requests.all.sort_unstable();
                let ended = requests.all.drain(..).filter_map(|(ts, who)| Some((who, visits.push(who, ts)?)));
                began.add(ended);
                began.add(visits.ended((day.day + 1).saturating_mul(DAY_MS)));
                Ok((requests, visits, began))
            })
            .await?;
            if began.counts.len() > BOUNDS.began {
                return Err(beyond(BOUNDS.began, "weeks of addresses"));
            }
        }
        began.add(visits.finish());
        let mut names: Vec<Option<&Who>> = vec![None; requests.bots.len()];
        for (who, number) in &requests.numbers {
            if let Some(name) = names.get_mut(*number as usize) {
                *name = Some(who);
            }
        }
        for ((number, start), count) in began.counts {
            let bot = match names.get(number as usize).copied().flatten() {
                Some(Who::Address(ip)) => facts.get(ip).and_then(|facts| facts.bot),
                Some(Who::Visitor(_)) => requests.bots.get(number as usize).copied(),
                None => None,
            };
            let Some(bot) = bot else { continue };
            let counts: &mut VisitCount = counts.entry(start).or_default();
            *(if bot { &mut counts.bots } else { &mut counts.users }) += count;
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: i64 = 600_000;

    #[test]
    fn a_range_with_more_than_fits_in_memory_is_refused_and_no_more_of_it_is_kept() {
        let asked = |bounds, addresses: &[i64]| {
            let mut requests = Requests::new(bounds);
            for (ts, visitor) in (0..).zip(addresses) {
                requests.add(&Hit { ts, visitor: Some(*visitor), ..Hit::default() });
            }
            let told = requests.beyond.map(|beyond| beyond.to_string()).unwrap_or_default();
            (requests.bots.len(), requests.all.len(), told)
        };
        let bounds = Bounds { who: 2, requests: 4, began: 9 };
        assert_eq!(asked(bounds, &[1, 2, 1, 2]), (2, 4, String::new()));
        let (who, all, told) = asked(bounds, &[1, 2, 3, 1, 4]);
        assert!((who, all) == (2, 2) && told.contains("more than 2 addresses; ask for a shorter"), "{told}");
        let (who, all, told) = asked(bounds, &[1, 1, 1, 1, 1, 1]);
        assert!((who, all) == (1, 4) && told.contains("more than 4 requests in a day"), "{told}");
    }

    fn visits(seconds: &[i64]) -> Vec<Visit> {
        let mut visits = Visits::new(IDLE);
        let mut all: Vec<Visit> =
            seconds.iter().filter_map(|second| visits.push((), second * 1_000)).collect();
        all.extend(visits.finish().map(|(_, visit)| visit));
        all
    }

    #[test]
    fn gaps_of_599_600_and_601_seconds_make_one_two_and_two_visits() {
        assert_eq!([599, 600, 601].map(|gap| visits(&[0, gap]).len()), [1, 2, 2]);
    }

    #[test]
    fn a_visit_ends_by_its_last_request_and_not_by_its_first() {
        assert_eq!(visits(&[0, 500, 1_000, 1_500]), [Visit { first: 0, last: 1_500_000, requests: 4 }]);
    }

    #[test]
    fn a_rate_is_requests_over_the_time_between_first_and_last() {
        let rate = |seconds: &[i64]| visits(seconds)[0].requests_per_second();
        assert!((rate(&[0, 1, 2, 3]) - 4.0 / 3.0).abs() < 1e-9);
        assert_eq!([rate(&[7]), rate(&[7, 7])], [0.0, 0.0]);
    }

    #[test]
    fn what_has_ended_is_taken_and_the_rest_goes_on() {
        let mut visits = Visits::new(IDLE);
        visits.push("old", 0);
        visits.push("new", IDLE - 1);
        let ended: Vec<&str> = visits.ended(IDLE).into_iter().map(|(who, _)| who).collect();
        assert_eq!(ended, ["old"]);
        assert_eq!(visits.finish().count(), 1);
    }
}
