//! Durations as people write them in manifests: `30s`, `5m`, `1h30m`, `90d`.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What the schema accepts where CEL does arithmetic on the value (CEL knows no days).
pub const PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";
/// What the schema accepts where days make sense, as in retention.
pub const PATTERN_WITH_DAYS: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$";
/// Longest accepted text, which also bounds the cost of the CEL rules.
pub const MAX_LENGTH: u32 = 32;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is missing; write for example 30s, 5m, 1h30m or 90d")]
    Empty,
    /// A number or a unit is not understood.
    #[error("`{0}` is not a duration; write for example 30s, 5m, 1h30m or 90d")]
    Malformed(String),
    /// More milliseconds than can be counted.
    #[error("`{0}` is too long a duration")]
    TooLong(String),
}

/// Parses `1h30m`, `250ms`, `1.5h`, `90d`. Resolution is one millisecond.
///
/// # Errors
/// [`DurationError`] when a unit is missing or unknown, or the sum does not fit.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut rest = text;
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let scale =
            UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(malformed)?;
        let ms = scaled(number, scale, malformed, too_long)?;
        total_ms = total_ms.checked_add(ms).ok_or_else(&too_long)?;
        rest = tail;
    }
    Ok(Duration::from_millis(total_ms))
}

fn scaled(
    number: &str,
    scale: u64,
    malformed: impl Fn() -> DurationError,
    too_long: impl Fn() -> DurationError,
) -> Result<u64, DurationError> {
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(malformed()),
        None => (number, ""),
    };
    if whole.is_empty() || fraction.contains('.') {
        return Err(malformed());
    }
    let whole: u64 = whole.parse().map_err(|_| too_long())?;
    let mut ms = whole.checked_mul(scale).ok_or_else(&too_long)?;
    let mut part = scale;
    for digit in fraction.bytes() {
        part /= 10;
        ms = ms.checked_add(part * u64::from(digit - b'0')).ok_or_else(&too_long)?;
    }
    Ok(ms)
}

/// Writes a duration in its shortest exact form, from days down to milliseconds.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, scale) in UNITS {
        let count = ms / scale;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
            ms %= scale;
        }
    }
    text
}

/// A duration in a manifest. Keeps the text it was written as, so that writing it
/// back changes nothing.
#[derive(Debug, Clone)]
pub struct TimeSpan {
    text: String,
    value: Duration,
}

impl TimeSpan {
    /// The time it stands for.
    #[must_use]
    pub fn get(&self) -> Duration {
        self.value
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A whole number of seconds, written as `<n>s`.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        Self { text: format!("{seconds}s"), value: Duration::from_secs(seconds) }
    }
}

impl std::str::FromStr for TimeSpan {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { value: parse(text)?, text: text.to_owned() })
    }
}

impl PartialEq for TimeSpan {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for TimeSpan {}

impl std::fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for TimeSpan {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH})
    }
}

/// Schema of a duration that may be given in days.
pub(crate) fn schema_with_days(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": PATTERN_WITH_DAYS, "maxLength": MAX_LENGTH})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_and_their_sums_are_understood() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("90d", 7_776_000_000),
            ("1.5h", 5_400_000),
            ("0s", 0),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_text_without_a_known_unit_is_refused() {
        for text in ["", "5", "5y", "s", "1h-5m", "1..5s", ".5s", "5.s", "5 s", "-5s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(matches!(parse("99999999999999999999d"), Err(DurationError::TooLong(_))));
    }

    #[test]
    fn formatting_and_parsing_are_inverse() {
        for ms in [0, 1, 999, 1_000, 61_001, 5_400_000, 7_776_000_000] {
            let span = Duration::from_millis(ms);
            assert_eq!(parse(&format(span)), Ok(span));
        }
        assert_eq!(format(Duration::from_secs(5_400)), "1h30m");
    }

    #[test]
    fn a_span_keeps_the_text_it_was_written_as() {
        let span: TimeSpan = serde_json::from_str("\"90m\"").unwrap();
        assert_eq!(serde_json::to_string(&span).unwrap(), "\"90m\"");
        assert_eq!(span, "1h30m".parse().unwrap());
    }
}
