//! How the time of an endpoint was spent: pure accounting over its checks.
//!
//! What a check found holds until the next one, but no longer than until the
//! next should have ended: its interval and timeout later. Time beyond that,
//! and before the first check, was not observed and counts as neither up nor
//! down.

use super::latency::{Histogram, Latency};
use crate::LastCheck;

/// How the time of a range was spent, and what the checks in it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Availability {
    /// Milliseconds known to be good.
    pub up_ms: i64,
    /// Milliseconds good but worse than wanted; they count as up.
    pub degraded_ms: i64,
    /// Milliseconds known to be bad.
    pub down_ms: i64,
    /// Milliseconds in a maintenance window; they count as neither.
    pub maintenance_ms: i64,
    /// Milliseconds that nobody observed; they count as neither.
    pub unknown_ms: i64,
    /// Checks made.
    pub checks: i64,
    /// Those of them that were good.
    pub good: i64,
    /// How long the checks took; `None` when there was none.
    pub latency: Option<Latency>,
}

impl Availability {
    /// Share of good time in that known to be good or bad, 0 to 1; `None` when
    /// neither was observed.
    #[allow(clippy::cast_precision_loss)] // milliseconds far below 2^52
    pub fn uptime(&self) -> Option<f64> {
        let up = self.up_ms + self.degraded_ms;
        let known = up + self.down_ms;
        (known > 0).then(|| up as f64 / known as f64)
    }

    /// Share of the range that was observed, 0 to 1.
    #[allow(clippy::cast_precision_loss)] // milliseconds far below 2^52
    pub fn observed(&self) -> f64 {
        let known = self.up_ms + self.degraded_ms + self.down_ms + self.maintenance_ms;
        let whole = known + self.unknown_ms;
        if whole == 0 { 0.0 } else { known as f64 / whole as f64 }
    }
}

/// One of the equal parts of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its first millisecond, UTC.
    pub from: i64,
    /// The millisecond after its last.
    pub to: i64,
    /// How its time was spent.
    pub availability: Availability,
}

/// Consecutive bad checks that no good one, no maintenance and no time that nobody observed interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When the first of them started, UTC milliseconds.
    pub start: i64,
    /// When the good check or the one in maintenance that ended it started, or until when its last bad
    /// check held if none followed it in time; `None` while it lasts.
    pub end: Option<i64>,
    /// Whether it ended where nobody observed it any more.
    pub lost: bool,
    /// How many bad checks there were.
    pub checks: i64,
    /// Their different messages, in the order of their first appearance, at most [`Outage::ERRORS`].
    pub errors: Vec<String>,
}

impl Outage {
    /// Different messages that are kept of one outage.
    pub const ERRORS: usize = 10;
}

/// What a check says of the time after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Up,
    Degraded,
    Down,
    Maintenance,
}

impl Verdict {
    /// Of a check outside of maintenance.
    pub fn of(check: &LastCheck) -> Self {
        match (check.ok, check.degraded) {
            (true, false) => Self::Up,
            (true, true) => Self::Degraded,
            (false, _) => Self::Down,
        }
    }
}

/// A check as the accounting sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// When it started, UTC milliseconds.
    pub at: i64,
    pub verdict: Verdict,
    pub ok: bool,
    /// How long it holds without another, milliseconds.
    pub holds: i64,
    pub duration_us: i64,
}

/// Time of a range summed up as checks are pushed in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub from: i64,
    pub to: i64,
    pub up: i64,
    pub degraded: i64,
    pub down: i64,
    pub maintenance: i64,
    pub checks: i64,
    pub good: i64,
    pub histogram: Histogram,
    /// Start of the first check and of the last one, which holds on.
    pub first: Option<i64>,
    pub last: Option<Sample>,
}

impl Tally {
    /// Of the milliseconds from `from` up to, not including, `to`.
    pub fn new(from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            up: 0,
            degraded: 0,
            down: 0,
            maintenance: 0,
            checks: 0,
            good: 0,
            histogram: Histogram::default(),
            first: None,
            last: None,
        }
    }

    /// Of checks whatever their time.
    pub fn unbounded() -> Self {
        Self::new(i64::MIN, i64::MAX)
    }

    /// Adds the next check. One from before the range counts only by what it
    /// says of the range's beginning, one from after it not at all.
    pub fn push(&mut self, sample: Sample) {
        self.close(sample.at);
        self.first.get_or_insert(sample.at);
        self.last = Some(sample);
        if (self.from..self.to).contains(&sample.at) {
            self.checks += 1;
            self.good += i64::from(sample.ok);
            self.histogram.add(sample.duration_us);
        }
    }

    /// Adds what another has summed up of later checks that lie within the range.
    pub fn append(&mut self, later: &Self) {
        let (Some(first), Some(last)) = (later.first, later.last) else { return };
        self.close(first);
        self.first.get_or_insert(first);
        self.last = Some(last);
        self.up += later.up;
        self.degraded += later.degraded;
        self.down += later.down;
        self.maintenance += later.maintenance;
        self.checks += later.checks;
        self.good += later.good;
        self.histogram.append(&later.histogram);
    }

    /// Its share from a moment on, as if its time had been spent evenly.
    pub fn since(&self, from: i64) -> Self {
        let (Some(first), Some(last)) = (self.first, self.last) else { return self.clone() };
        let whole = i128::from(last.at.saturating_sub(first).max(1));
        let left = i128::from(last.at.saturating_sub(from).max(0)).min(whole);
        let share = |value: i64| i64::try_from(i128::from(value) * left / whole).unwrap_or_default();
        Self {
            up: share(self.up),
            degraded: share(self.degraded),
            down: share(self.down),
            maintenance: share(self.maintenance),
            checks: share(self.checks).max(1),
            good: share(self.good),
            first: Some(first.max(from)),
            ..self.clone()
        }
    }

    /// How the whole range was spent, when nothing comes any more.
    pub fn finish(mut self) -> Availability {
        self.close(self.to);
        let known = self.up + self.degraded + self.down + self.maintenance;
        Availability {
            up_ms: self.up,
            degraded_ms: self.degraded,
            down_ms: self.down,
            maintenance_ms: self.maintenance,
            unknown_ms: self.to.saturating_sub(self.from).saturating_sub(known).max(0),
            checks: self.checks,
            good: self.good,
            latency: self.histogram.latency(),
        }
    }

    /// Counts the time for which the last check holds, up to `until`.
    fn close(&mut self, until: i64) {
        let Some(last) = self.last else { return };
        let end = until.min(last.at.saturating_add(last.holds)).min(self.to);
        let time = end.saturating_sub(last.at.max(self.from)).max(0);
        match last.verdict {
            Verdict::Up => self.up += time,
            Verdict::Degraded => self.degraded += time,
            Verdict::Down => self.down += time,
            Verdict::Maintenance => self.maintenance += time,
        }
    }
}

/// The equal parts of a range, filled as checks are pushed in their order.
pub(crate) struct Buckets {
    tallies: Vec<Tally>,
    current: usize,
}

impl Buckets {
    /// `count` parts, at least one.
    pub fn new(from: i64, to: i64, count: usize) -> Self {
        Self { tallies: edges(from, to, count), current: 0 }
    }

    /// Whether checks lie in one part, so that their sum is enough.
    pub fn takes_whole(&self, sum: &Tally) -> bool {
        let (Some(first), Some(last)) = (sum.first, sum.last) else { return true };
        self.tallies.iter().any(|tally| tally.from <= first && last.at < tally.to)
    }

    /// Adds the next check.
    pub fn push(&mut self, sample: Sample) {
        self.go_to(sample.at);
        if let Some(tally) = self.tallies.get_mut(self.current) {
            tally.push(sample);
        }
    }

    /// Adds later checks that [`Buckets::takes_whole`].
    pub fn append(&mut self, later: &Tally) {
        self.go_to(later.first.unwrap_or(i64::MIN));
        if let Some(tally) = self.tallies.get_mut(self.current) {
            tally.append(later);
        }
    }

    /// How each part was spent.
    pub fn finish(mut self) -> Vec<Bucket> {
        self.go_to(i64::MAX);
        self.tallies
            .into_iter()
            .map(|tally| Bucket { from: tally.from, to: tally.to, availability: tally.finish() })
            .collect()
    }

    /// Goes on to the part of a moment; what holds at the end of one holds on in the next.
    fn go_to(&mut self, at: i64) {
        while self.current + 1 < self.tallies.len() && at >= self.tallies[self.current].to {
            let last = self.tallies[self.current].last;
            self.current += 1;
            last.into_iter().for_each(|last| self.tallies[self.current].push(last));
        }
    }
}

/// Empty tallies of the equal parts of a range.
fn edges(from: i64, to: i64, count: usize) -> Vec<Tally> {
    let to = to.max(from);
    let count = i64::try_from(count.max(1)).unwrap_or(1);
    let width = i128::from(to) - i128::from(from);
    let edge = |number: i64| {
        let offset = width * i128::from(number) / i128::from(count);
        i64::try_from(i128::from(from) + offset).unwrap_or(to)
    };
    (0..count).map(|number| Tally::new(edge(number), edge(number + 1))).collect()
}

/// Time without a check by which an outage lasts on, as while its checker restarts, milliseconds.
const SLACK: i64 = 60_000;

/// The outages among checks that are pushed in their order.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    found: Vec<Outage>,
    /// Until when the last bad check holds, while the outage is open.
    until: Option<i64>,
}

impl Outages {
    /// Adds the next check; of a bad one, until when it holds and what it says.
    pub fn push(&mut self, at: i64, bad: Option<(i64, &str)>) {
        self.observe(at);
        let was_open = std::mem::replace(&mut self.until, bad.map(|(until, _)| until)).is_some();
        let Some((_, message)) = bad else {
            if was_open {
                self.end(at, false);
            }
            return;
        };
        if !was_open {
            self.found.push(Outage { start: at, end: None, lost: false, checks: 0, errors: Vec::new() });
        }
        let Some(outage) = self.found.last_mut() else { return };
        outage.checks += 1;
        if !message.is_empty()
            && outage.errors.len() < Outage::ERRORS
            && !outage.errors.iter().any(|known| known == message)
        {
            outage.errors.push(message.into());
        }
    }

    /// All of them, when nothing comes any more until `to`.
    pub fn finish(mut self, to: i64) -> Vec<Outage> {
        self.observe(to);
        self.found
    }

    /// Ends the outage whose last check was too long ago at a moment.
    fn observe(&mut self, at: i64) {
        if let Some(until) = self.until.take_if(|until| at > until.saturating_add(SLACK)) {
            self.end(until, true);
        }
    }

    fn end(&mut self, at: i64, lost: bool) {
        if let Some(outage) = self.found.last_mut() {
            (outage.end, outage.lost) = (Some(at), lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(at: i64, verdict: Verdict) -> Sample {
        Sample { at, verdict, ok: verdict != Verdict::Down, holds: 70, duration_us: 5 }
    }

    fn tally(from: i64, to: i64, samples: &[Sample]) -> Availability {
        let mut tally = Tally::new(from, to);
        samples.iter().for_each(|sample| tally.push(*sample));
        tally.finish()
    }

    #[test]
    fn time_is_what_the_check_before_it_found_and_gaps_are_unknown() {
        let checks = [
            sample(-30, Verdict::Up),
            sample(30, Verdict::Down),
            sample(90, Verdict::Degraded),
            sample(150, Verdict::Maintenance),
            sample(300, Verdict::Up),
        ];
        let found = tally(0, 400, &checks);
        assert_eq!(
            (found.up_ms, found.down_ms, found.degraded_ms, found.maintenance_ms, found.unknown_ms),
            (30 + 70, 60, 60, 70, 80 + 30)
        );
        // The one before the range is not among its checks.
        assert_eq!((found.checks, found.good), (4, 3));
        assert_eq!(found.uptime(), Some(160.0 / 220.0));
        assert!((found.observed() - 290.0 / 400.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_observed_is_no_uptime() {
        let found = tally(0, 100, &[]);
        assert_eq!((found.uptime(), found.unknown_ms, found.latency), (None, 100, None));
        // A check of long before says nothing.
        assert_eq!(tally(0, 100, &[sample(-200, Verdict::Up)]).uptime(), None);
    }

    #[test]
    fn an_outage_lasts_from_the_first_bad_check_to_the_next_good_one() {
        let mut outages = Outages::default();
        for (at, ok, message) in [
            (1, true, None),
            (2, false, Some("refused")),
            (3, false, Some("status 500")),
            (4, false, Some("refused")),
            (5, true, None),
            (6, false, None),
        ] {
            outages.push(at, (!ok).then(|| (at + 10, message.unwrap_or_default())));
        }
        let errors = vec!["refused".to_owned(), "status 500".to_owned()];
        assert_eq!(
            outages.finish(7),
            [
                Outage { start: 2, end: Some(5), lost: false, checks: 3, errors },
                Outage { start: 6, end: None, lost: false, checks: 1, errors: Vec::new() },
            ]
        );
    }

    #[test]
    fn an_outage_ends_where_nobody_looked_any_more_and_outlasts_a_restart() {
        let mut outages = Outages::default();
        let bad = |at: i64| (at, Some((at + 70_000, "")));
        let late = 10_000_000;
        for (at, found) in [
            bad(0),
            // As long as a restart may take.
            bad(130_000),
            // Suspended for a while: what was before is over, whatever is found then.
            (late, None),
            bad(late + 1),
            bad(2 * late),
        ] {
            outages.push(at, found);
        }
        let found = outages.finish(2 * late + 130_001);
        assert!(found.iter().all(|outage| outage.lost), "{found:?}");
        let spans: Vec<_> = found.iter().map(|outage| (outage.start, outage.end, outage.checks)).collect();
        assert_eq!(
            spans,
            [
                (0, Some(200_000), 2),
                (late + 1, Some(late + 70_001), 1),
                (2 * late, Some(2 * late + 70_000), 1)
            ]
        );
    }

    fn verdicts() -> impl Strategy<Value = Vec<Sample>> {
        let verdict = prop_oneof![
            Just(Verdict::Up),
            Just(Verdict::Degraded),
            Just(Verdict::Down),
            Just(Verdict::Maintenance)
        ];
        proptest::collection::vec((1_i64..200, verdict), 0..40).prop_map(|steps| {
            let mut at = -300;
            steps
                .into_iter()
                .map(|(step, verdict)| {
                    at += step;
                    sample(at, verdict)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn buckets_add_up_to_their_range(samples in verdicts(), to in 1_i64..4_000, count in 1_usize..30) {
            let whole = tally(0, to, &samples);
            let mut buckets = Buckets::new(0, to, count);
            samples.iter().for_each(|sample| buckets.push(*sample));
            let parts = buckets.finish();
            prop_assert_eq!(parts.len(), count);
            let sum = |of: fn(&Availability) -> i64| parts.iter().map(|part| of(&part.availability)).sum::<i64>();
            prop_assert_eq!(sum(|part| part.up_ms), whole.up_ms);
            prop_assert_eq!(sum(|part| part.degraded_ms), whole.degraded_ms);
            prop_assert_eq!(sum(|part| part.down_ms), whole.down_ms);
            prop_assert_eq!(sum(|part| part.maintenance_ms), whole.maintenance_ms);
            prop_assert_eq!(sum(|part| part.unknown_ms), whole.unknown_ms);
            prop_assert_eq!(sum(|part| part.checks), whole.checks);
        }

        #[test]
        fn tallies_of_parts_add_up_to_the_tally_of_all(samples in verdicts(), cut in 0_usize..40) {
            let (early, late) = samples.split_at(cut.min(samples.len()));
            let mut sum = Tally::new(-1_000, 10_000);
            for part in [early, late] {
                let mut summary = Tally::unbounded();
                part.iter().for_each(|sample| summary.push(*sample));
                sum.append(&summary);
            }
            prop_assert_eq!(sum.finish(), tally(-1_000, 10_000, &samples));
        }
    }
}
