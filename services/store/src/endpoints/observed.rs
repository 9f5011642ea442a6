//! Whether anybody looks. States are stored when a check moves them, so that the last one would
//! stand for ever once nobody checks any more.

use std::time::Duration;

use super::{Endpoint, Probe, State};
use crate::maintenance;

/// Time for restarts and takeovers of checkers.
const SLACK: Duration = Duration::from_secs(60);

/// Longest pause before a further attempt where pauses grow.
const LONGEST_PAUSE: Duration = Duration::from_secs(90);

impl Endpoint {
    /// Since when it counts as not observed, UTC milliseconds: one check after the last (or after it began
    /// to be watched) is missing, and the next one as well. `None` while it is observed, suspended, or in a
    /// maintenance whose window is still open.
    pub fn unobserved_since(&self, now: i64) -> Option<i64> {
        let expected = match self.status.state {
            State::Suspended => false,
            State::Maintenance => maintenance::ends_at(&self.spec.maintenance, now).is_none(),
            State::Up | State::Down | State::Degraded | State::Unknown => true,
        };
        let heard = self.status.last_check.as_ref().map_or(self.status.since, |check| check.at);
        let patience = i64::try_from(self.patience().as_millis()).unwrap_or(i64::MAX);
        Some(heard.saturating_add(patience)).filter(|since| expected && *since <= now)
    }

    /// Itself as it is to be told at a time: what nobody observes is `Unknown`.
    #[must_use]
    pub fn as_observed(mut self, now: i64) -> Self {
        if let Some(since) = self.unobserved_since(now)
            && self.status.state != State::Unknown
        {
            self.status.state = State::Unknown;
            self.status.since = since;
        }
        self
    }

    /// Longest time from one check to the next of an endpoint that is observed.
    fn patience(&self) -> Duration {
        let spec = &self.spec;
        let pause = if spec.retry.exponential { LONGEST_PAUSE } else { spec.backoff };
        let grace = match &spec.probe {
            Probe::Heartbeat(heartbeat) => heartbeat.grace,
            _ => Duration::ZERO,
        };
        let attempts =
            spec.timeout.saturating_add((spec.timeout.saturating_add(pause)).saturating_mul(spec.retries));
        [spec.interval.saturating_mul(2), attempts, grace, SLACK]
            .into_iter()
            .fold(Duration::ZERO, Duration::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EndpointStatus, HeartbeatProbe, LastCheck, MaintenanceWindow, Retry, testing::watched};

    /// Up, and checked at 1,000,000 the last time.
    fn endpoint() -> Endpoint {
        let endpoint = watched(1, 1_000_000, true);
        Endpoint { status: EndpointStatus { since: 5, ..endpoint.status }, ..endpoint }
    }

    #[test]
    fn two_checks_that_do_not_come_make_it_unknown_and_the_next_one_known_again() {
        let seen = |now| {
            let status = endpoint().as_observed(now).status;
            (status.state, status.since)
        };
        // Two minutes, ten seconds, and a minute for restarts.
        assert_eq!(seen(1_189_999), (State::Up, 5));
        assert_eq!(seen(1_190_000), (State::Unknown, 1_190_000));
        assert_eq!(seen(9_000_000), (State::Unknown, 1_190_000));
        let told = endpoint().as_observed(9_000_000);
        assert_eq!(told.unobserved_since(9_000_000), Some(1_190_000), "asked again, it is the same");
        let mut checked = endpoint();
        checked.status.last_check = Some(LastCheck { at: 9_000_000, ..LastCheck::default() });
        assert_eq!(checked.as_observed(9_000_001).status.state, State::Up);
    }

    #[test]
    fn retries_and_a_heartbeats_grace_take_their_time() {
        let mut slow = endpoint();
        (slow.spec.retries, slow.spec.backoff) = (2, Duration::from_secs(5));
        assert_eq!(slow.unobserved_since(i64::MAX), Some(1_190_000 + 30_000));
        slow.spec.retry = Retry { exponential: true, ..Retry::default() };
        assert_eq!(slow.unobserved_since(i64::MAX), Some(1_190_000 + 200_000));
        let mut job = endpoint();
        job.spec.probe =
            Probe::Heartbeat(HeartbeatProbe { token: "t".into(), grace: Duration::from_secs(300) });
        assert_eq!(job.unobserved_since(i64::MAX), Some(1_190_000 + 300_000));
    }

    #[test]
    fn what_was_never_checked_has_as_long_from_its_beginning() {
        let mut new = endpoint();
        (new.status.state, new.status.last_check) = (State::Unknown, None);
        assert_eq!(new.unobserved_since(190_004), None);
        assert_eq!(new.unobserved_since(190_005), Some(190_005));
        assert_eq!(new.as_observed(190_005).status.since, 5, "it was never known");
    }

    #[test]
    fn nobody_misses_checks_of_what_is_suspended_or_maintained() {
        let mut still = endpoint();
        still.status.state = State::Suspended;
        assert_eq!(still.unobserved_since(i64::MAX), None);
        still.status.state = State::Maintenance;
        still.spec.maintenance = vec![MaintenanceWindow {
            start: "1970-01-01T00:00:00Z".into(),
            duration: Duration::from_secs(3_600),
            recurrence: None,
            timezone: "UTC".into(),
        }];
        assert_eq!(still.unobserved_since(3_599_999), None);
        assert_eq!(still.unobserved_since(3_600_000), Some(1_190_000), "its window is over");
    }
}
