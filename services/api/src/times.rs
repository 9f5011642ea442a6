//! Times and shares as the JSON interfaces write them.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// RFC 3339 in UTC; the fraction has no more digits than it needs, as Go writes it.
pub(crate) fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Midnight UTC of a `YYYY-MM-DD`, UTC milliseconds.
pub(crate) fn midnight(text: &str) -> Option<i64> {
    let date: Date = text.trim().parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()?.as_millisecond())
}

/// A share as percent with two digits, rounded down so that `100.00` means all.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}", (share * 10_000.0).floor() / 100.0)
}

/// A length of time as people say it: `34 s`, `5 min`, `3 h`, `12 d`.
pub(crate) fn spoken(ms: i64) -> String {
    match ms.max(0) / 1_000 {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A number with narrow spaces between groups of three digits.
pub(crate) fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digit != '-' && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_upstream_writes_them() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(1_700_000_000_397), "2023-11-14T22:13:20.397Z");
    }

    #[test]
    fn a_hundred_percent_means_all() {
        assert_eq!(percent(1.0), "100.00");
        assert_eq!(percent(99_999.0 / 100_000.0), "99.99");
        assert_eq!(percent(0.0), "0.00");
    }

    #[test]
    fn lengths_and_numbers_are_written_for_people() {
        let spoken = [-5, 59_999, 60_000, 3_600_000, 172_800_000].map(spoken);
        assert_eq!(spoken, ["0 s", "59 s", "1 min", "1 h", "2 d"]);
        assert_eq!(
            [0, 999, 1_000, 1_234_567, -100, -1_000].map(grouped),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567", "-100", "-1\u{202f}000"]
        );
    }

    #[test]
    fn a_day_starts_at_midnight_utc() {
        assert_eq!(midnight("2023-11-14"), Some(1_699_920_000_000));
        assert_eq!(midnight("2023-13-14"), None);
    }
}
