//! What the checks of a span say, in upstream's words. Pure: checks come in oldest first.

use serde_json::{Value, json};
use watchkeeper_store::{EndpointSpec, LastCheck, Probe};

use super::definition::expected_status;
use crate::times::rfc3339;

/// Why a check failed, as upstream words it: a wrong status, no answer in time, no connection, and
/// whether several attempts were made.
pub(super) fn error_text(check: &LastCheck, spec: &EndpointSpec) -> Option<String> {
    if check.ok {
        return None;
    }
    let message = check.message.as_deref().unwrap_or("Unknown error");
    let (cause, attempts) = match message.rsplit_once(" (after ") {
        Some((cause, rest)) if rest.ends_with(" attempts)") => (cause, true),
        _ => (message, false),
    };
    // The body of an answer may not end in time either.
    let overdue = || format!("Request timed out after {}s", spec.timeout.as_secs());
    if let Some(status) = check.status.filter(|_| !cause.starts_with("the answer did not end within ")) {
        let Probe::Http(http) = &spec.probe else { return Some(cause.to_owned()) };
        let expected = expected_status(http);
        // An assertion may have failed where the status was as expected.
        let as_expected = status == i32::from(expected);
        return Some(match as_expected {
            true => cause.to_owned(),
            false => format!("Expected status {expected}, got {status}"),
        });
    }
    let cause = if is_overdue(cause) || cause.contains("timed out") {
        overdue()
    } else if cause.starts_with("the URL") || cause.starts_with("more than") || cause.contains("redirect") {
        format!("Client error: {cause}")
    } else {
        format!("Connection error: {cause}")
    };
    Some(if attempts { format!("Failed after retries: {cause}") } else { cause })
}

/// Whether a probe's time was up, whatever it waited for: `no connection within 5s`.
fn is_overdue(cause: &str) -> bool {
    let time = cause.rsplit_once(" within ").map(|(_, time)| time);
    time.is_some_and(|time| time.starts_with(|it: char| it.is_ascii_digit()) && !time.contains(' '))
}

/// Seconds until the answer's head, to the millisecond; `None` without an answer.
pub(super) fn response_time(check: &LastCheck) -> Option<f64> {
    check.status.map(|_| seconds(check.duration_us))
}

#[allow(clippy::cast_precision_loss)] // a check takes no years
fn seconds(us: i64) -> f64 {
    rounded(us as f64 / 1e6, 1e3)
}

fn rounded(number: f64, scale: f64) -> f64 {
    (number * scale).round() / scale
}

/// Counts and times of a span.
#[derive(Debug, Default)]
pub(super) struct Uptime {
    checks: i64,
    good: i64,
    answered: i64,
    total_us: i64,
    least_us: Option<i64>,
    most_us: Option<i64>,
    last: Option<i64>,
    last_good: Option<i64>,
    last_bad: Option<i64>,
}

impl Uptime {
    pub fn take(&mut self, check: &LastCheck) {
        self.checks += 1;
        self.last = Some(check.at);
        if check.ok {
            self.good += 1;
            self.last_good = Some(check.at);
        } else {
            self.last_bad = Some(check.at);
        }
        if check.status.is_some() {
            self.answered += 1;
            self.total_us = self.total_us.saturating_add(check.duration_us);
            self.least_us =
                Some(self.least_us.map_or(check.duration_us, |least| least.min(check.duration_us)));
            self.most_us = Some(self.most_us.map_or(check.duration_us, |most| most.max(check.duration_us)));
        }
    }

    /// The figures; the mean has both names that upstream gives it.
    pub fn json(&self) -> Vec<(&'static str, Value)> {
        #[allow(clippy::cast_precision_loss)] // counts far below 2^52
        let percent = match self.checks {
            0 => 0.0,
            checks => rounded(100.0 * self.good as f64 / checks as f64, 1e2),
        };
        let mean = (self.answered > 0).then(|| seconds(self.total_us / self.answered));
        let time = |at: Option<i64>| at.map(rfc3339);
        vec![
            ("uptime_percentage", json!(percent)),
            ("total_checks", json!(self.checks)),
            ("successful_checks", json!(self.good)),
            ("failed_checks", json!(self.checks - self.good)),
            ("avg_response_time", json!(mean)),
            ("average_response_time", json!(mean)),
            ("min_response_time", json!(self.least_us.map(seconds))),
            ("max_response_time", json!(self.most_us.map(seconds))),
            ("last_check", json!(time(self.last))),
            ("last_success", json!(time(self.last_good))),
            ("last_failure", json!(time(self.last_bad))),
        ]
    }
}

/// A run of failures that no success interrupts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Incident {
    start: i64,
    end: i64,
    failures: i64,
    errors: Vec<String>,
}

/// Different errors told of one incident.
const ERRORS: usize = 20;

/// The incidents of a span that last long enough from the first to the last failure, the first first.
#[derive(Debug)]
pub(super) struct Incidents {
    least_ms: i64,
    found: Vec<Incident>,
    under_way: bool,
}

impl Incidents {
    pub fn lasting(minutes: i64) -> Self {
        Self { least_ms: minutes.saturating_mul(60_000), found: Vec::new(), under_way: false }
    }

    pub fn take(&mut self, check: &LastCheck, spec: &EndpointSpec) {
        if check.ok {
            self.end();
            return;
        }
        if !std::mem::replace(&mut self.under_way, true) {
            self.found.push(Incident { start: check.at, end: check.at, failures: 0, errors: Vec::new() });
        }
        let (Some(incident), Some(error)) = (self.found.last_mut(), error_text(check, spec)) else { return };
        incident.end = check.at;
        incident.failures += 1;
        if incident.errors.len() < ERRORS && !incident.errors.contains(&error) {
            incident.errors.push(error);
        }
    }

    /// Ends the incident under way, and forgets it if it was too short: a month may have very many.
    fn end(&mut self) {
        let short = |it: &mut Incident| it.end - it.start < self.least_ms;
        if std::mem::take(&mut self.under_way) {
            self.found.pop_if(short);
        }
    }

    pub fn json(mut self) -> Vec<Value> {
        self.end();
        #[allow(clippy::cast_precision_loss)] // milliseconds of a month
        let minutes = |incident: &Incident| rounded((incident.end - incident.start) as f64 / 60_000.0, 1e2);
        self.found
            .iter()
            .map(|incident| {
                json!({
                    "start": rfc3339(incident.start),
                    "end": rfc3339(incident.end),
                    "duration_minutes": minutes(incident),
                    "failure_count": incident.failures,
                    "errors": incident.errors,
                })
            })
            .collect()
    }
}

/// A breaker's state, as upstream's would be after the same checks: open after three failures in a
/// row, to be tried again 30 s after the last of them, closed by two successes in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    Closed,
    HalfOpen,
    Open,
}

impl Breaker {
    pub const FAILURES: u32 = 3;
    pub const SUCCESSES: u32 = 2;
    pub const RECOVERY_MS: i64 = 30_000;
    /// Checks that tell a breaker's state for certain, if there are as many.
    pub const LOOK: usize = 100;

    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A breaker, and what its state is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Circuit {
    pub breaker: Breaker,
    /// Failures since the last success that counts.
    pub failures: u32,
    /// Successes since it was tried again.
    pub successes: u32,
    pub last_failure: Option<i64>,
}

impl Circuit {
    /// Goes through the checks since its last reset, oldest first, up to `now`.
    pub fn after<'a>(checks: impl Iterator<Item = &'a LastCheck>, now: i64) -> Self {
        let mut circuit = Self { breaker: Breaker::Closed, failures: 0, successes: 0, last_failure: None };
        for check in checks {
            if check.ok {
                circuit.successes += 1;
                if circuit.breaker == Breaker::Closed || circuit.successes >= Breaker::SUCCESSES {
                    circuit = Self { last_failure: circuit.last_failure, ..Self::closed() };
                } else {
                    circuit.breaker = Breaker::HalfOpen;
                }
            } else {
                circuit.failures += 1;
                circuit.successes = 0;
                circuit.last_failure = Some(check.at);
                if circuit.failures >= Breaker::FAILURES {
                    circuit.breaker = Breaker::Open;
                }
            }
        }
        let rested = circuit.last_failure.is_some_and(|at| now - at >= Breaker::RECOVERY_MS);
        if circuit.breaker == Breaker::Open && rested {
            circuit.breaker = Breaker::HalfOpen;
        }
        circuit
    }

    const fn closed() -> Self {
        Self { breaker: Breaker::Closed, failures: 0, successes: 0, last_failure: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_store::HttpProbe;

    fn spec() -> EndpointSpec {
        let mut http = HttpProbe::new("https://shop.example/");
        http.expected_status = vec!["204".into()];
        EndpointSpec::new("shop", Probe::Http(http))
    }

    fn check(at: i64, ok: bool, status: Option<i32>, message: Option<&str>) -> LastCheck {
        let message = message.map(str::to_owned);
        LastCheck { at, ok, status, duration_us: 250_000, message, ..LastCheck::default() }
    }

    #[test]
    fn errors_are_worded_as_upstream_words_them() {
        let text = |status, message| error_text(&check(0, false, status, Some(message)), &spec());
        for (status, message, told) in [
            (Some(200), "status 200, expected 204", "Expected status 204, got 200"),
            (Some(204), "[BODY] has no `ok`", "[BODY] has no `ok`"),
            (None, "the name was not resolved within 10s", "Request timed out after 10s"),
            (None, "no connection within 10s", "Request timed out after 10s"),
            (None, "no TLS handshake within 10s", "Request timed out after 10s"),
            (None, "no answer within 10s", "Request timed out after 10s"),
            (Some(204), "the answer did not end within 10s", "Request timed out after 10s"),
            (
                None,
                "no connection within 1.5s (after 3 attempts)",
                "Failed after retries: Request timed out after 10s",
            ),
            (None, "nothing is within reach", "Connection error: nothing is within reach"),
            (None, "connection refused", "Connection error: connection refused"),
            (
                None,
                "connection refused (after 3 attempts)",
                "Failed after retries: Connection error: connection refused",
            ),
            (None, "more than 10 redirects", "Client error: more than 10 redirects"),
        ] {
            assert_eq!(text(status, message).as_deref(), Some(told));
        }
        assert_eq!(error_text(&check(0, true, Some(204), None), &spec()), None);
    }

    #[test]
    fn a_run_of_failures_is_one_incident_and_a_success_ends_it() {
        let minutes =
            [(0, false), (1, false), (2, false), (3, true), (4, false), (9, false), (10, true), (11, false)];
        let lasting = |least| {
            let mut incidents = Incidents::lasting(least);
            for (minute, ok) in minutes {
                incidents.take(&check(minute * 60_000, ok, Some(500), None), &spec());
            }
            incidents
        };
        assert_eq!(lasting(3).found.len(), 2, "what ended too short is not kept, what may go on is");
        let told = lasting(1).json();
        let figures = |it: &Value| (it["duration_minutes"].as_f64(), it["failure_count"].as_i64());
        assert_eq!(
            told.iter().map(figures).collect::<Vec<_>>(),
            [(Some(2.0), Some(3)), (Some(5.0), Some(2))]
        );
        assert_eq!(lasting(3).json().len(), 1);
    }

    #[test]
    fn a_breaker_opens_after_three_failures_and_closes_after_two_successes() {
        let state = |oks: &[bool], later| {
            let checks: Vec<_> =
                (0_i64..).zip(oks).map(|(at, ok)| check(at * 1_000, *ok, None, None)).collect();
            let now = checks.last().map_or(0, |last| last.at) + later;
            Circuit::after(checks.iter(), now).breaker
        };
        assert_eq!(state(&[], 0), Breaker::Closed);
        assert_eq!(state(&[false, false], 0), Breaker::Closed);
        assert_eq!(state(&[false, false, true, false, false], 0), Breaker::Closed);
        assert_eq!(state(&[false, false, false], 29_999), Breaker::Open);
        assert_eq!(state(&[false, false, false], 30_000), Breaker::HalfOpen);
        assert_eq!(state(&[false, false, false, true], 0), Breaker::HalfOpen);
        assert_eq!(state(&[false, false, false, true, false], 0), Breaker::Open);
        assert_eq!(state(&[false, false, false, true, true], 0), Breaker::Closed);
    }
}
