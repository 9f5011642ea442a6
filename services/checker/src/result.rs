//! What a probe found out, and which answers count as good.

use std::ops::RangeInclusive;
use std::time::Duration;

use watchkeeper_store::{LastCheck, Phases};

use crate::probe::seen::Seen;

/// What one probe, or one check of several attempts, found out.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Whether the endpoint is up by its own terms.
    pub ok: bool,
    /// Whether it is up, and something about it is not as it should be.
    pub degraded: bool,
    /// HTTP status of the final answer; `None` when there was none.
    pub status: Option<u16>,
    /// Time until the final answer's headers, or until the failure.
    pub duration: Duration,
    /// What went wrong, or how it went right after all; plain words, free of
    /// secrets, fit to be shown to the endpoint's owner.
    pub message: Option<String>,
    /// What the probe saw on its way.
    pub(crate) seen: Box<Seen>,
}

impl Outcome {
    /// A probe that got no answer.
    pub fn failed(duration: Duration, message: impl Into<String>) -> Self {
        Self { duration, message: Some(message.into()), ..Self::default() }
    }

    /// The outcome as the store keeps it, of a check that started at `at` (UTC milliseconds).
    pub fn into_check(self, at: i64) -> LastCheck {
        let phases = self.seen.phases();
        LastCheck {
            at,
            ok: self.ok,
            status: self.status.map(i32::from),
            duration_us: i64::try_from(self.duration.as_micros()).unwrap_or(i64::MAX),
            message: self.message,
            degraded: self.degraded,
            phases: (phases != Phases::default()).then_some(phases),
            certificate_expires_at: self.seen.chain.as_ref().map(|chain| chain.expires_at),
        }
        .with_plain_message()
    }
}

/// Statuses that count as good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedStatus {
    ranges: Vec<RangeInclusive<u16>>,
    text: String,
}

impl ExpectedStatus {
    /// Reads patterns such as `200`, `2xx` and `200-299`; none at all mean
    /// `2xx`.
    ///
    /// # Errors
    /// A sentence that names the pattern that cannot be understood.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, String> {
        if patterns.is_empty() {
            return Ok(Self { ranges: vec![200..=299], text: "2xx".into() });
        }
        let patterns: Vec<&str> = patterns.iter().map(|pattern| pattern.as_ref().trim()).collect();
        let ranges = patterns
            .iter()
            .map(|pattern| {
                range(pattern).ok_or_else(|| {
                    format!("`{pattern}` is not an expected status: write it as 200, 2xx or 200-299")
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { ranges, text: patterns.join(", ") })
    }

    /// Judges a status.
    ///
    /// # Errors
    /// A sentence that says what came and what was expected.
    pub fn judge(&self, status: u16) -> Result<(), String> {
        if self.ranges.iter().any(|range| range.contains(&status)) {
            return Ok(());
        }
        Err(format!("status {status}, expected {}", self.text))
    }
}

fn range(pattern: &str) -> Option<RangeInclusive<u16>> {
    let code = |text: &str| -> Option<u16> {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let code = digits.then(|| text.parse().ok())??;
        (100..=599).contains(&code).then_some(code)
    };
    if let Some((first, last)) = pattern.split_once('-') {
        let (first, last) = (code(first.trim())?, code(last.trim())?);
        return (first <= last).then_some(first..=last);
    }
    if let Some(code) = code(pattern) {
        return Some(code..=code);
    }
    match pattern.as_bytes() {
        [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => {
            let first = u16::from(class - b'0') * 100;
            Some(first..=first + 99)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(patterns: &[&str], status: u16) -> bool {
        ExpectedStatus::parse(patterns).expect("patterns").judge(status).is_ok()
    }

    #[test]
    fn codes_classes_and_ranges_are_understood() {
        assert!(good(&["200"], 200) && !good(&["200"], 201));
        assert!(good(&["2xx"], 299) && !good(&["2xx"], 300));
        assert!(good(&["4XX"], 404));
        assert!(good(&["200-204"], 204) && !good(&["200-204"], 205));
        assert!(good(&["200", "3xx"], 308) && !good(&["200", "3xx"], 204));
    }

    #[test]
    fn no_patterns_mean_2xx() {
        assert!(good(&[], 204) && !good(&[], 301));
    }

    #[test]
    fn nonsense_is_named() {
        for bad in ["", "abc", "2x", "20", "2000", "6xx", "300-200", "099", "200-", "+20"] {
            let message = ExpectedStatus::parse(&[bad]).expect_err(bad);
            assert!(message.contains(&format!("`{bad}`")), "{message}");
        }
    }

    #[test]
    fn a_bad_status_is_told_with_what_was_expected() {
        let expected = ExpectedStatus::parse(&["200", "3xx"]).expect("patterns");
        assert_eq!(expected.judge(500), Err("status 500, expected 200, 3xx".into()));
    }
}
