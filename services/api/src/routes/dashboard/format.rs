//! Numbers and times as people read them.

use jiff::{Timestamp, tz::TimeZone};
use watchkeeper_analytics::{Bucket, Metric, Table};

use crate::times::{grouped, spoken};

/// What stands where there is nothing to measure.
pub(super) const NOTHING: &str = "–";

/// A whole number of something, in full.
pub(super) fn count(number: f64) -> String {
    grouped(format!("{number:.0}"))
}

/// A number in a few characters: `12.4k`.
pub(super) fn compact(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        small @ ..10_000.0 if small >= 0.0 => return count(number),
        ..999_950.0 => (number / 1e3, "k"),
        ..999_950_000.0 => (number / 1e6, "M"),
        _ => (number / 1e9, "G"),
    };
    format!("{}{unit}", digits(scaled))
}

/// Three significant digits, without zeros at the end of a fraction.
fn digits(number: f64) -> String {
    let places = match number.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{number:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time to an answer, from milliseconds.
pub(super) fn duration(ms: f64) -> String {
    match ms {
        ..999.5 => format!("{} ms", digits(ms)),
        ..59_950.0 => format!("{} s", digits(ms / 1e3)),
        _ => format!("{} min", digits(ms / 60e3)),
    }
}

/// A share of 0 to 1 as percent; all but all is not 100.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        100.0.. => "100 %".into(),
        99.95.. => "99.9 %".into(),
        exact if exact <= 0.0 => "0 %".into(),
        ..0.1 => "<0.1 %".into(),
        _ => format!("{} %", format!("{percent:.1}").trim_end_matches(".0")),
    }
}

/// A size, from bytes.
pub(super) fn size(bytes: f64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{} {name}", digits(bytes / unit)),
        None => format!("{bytes:.0} B"),
    }
}

/// How long ago a moment was.
pub(super) fn ago(now: i64, ms: i64) -> String {
    if now - ms < 1_000 { "now".into() } else { format!("{} ago", spoken(now - ms)) }
}

/// A metric's value.
pub(super) fn metric(metric: Metric, value: Option<f64>, now: i64) -> String {
    let Some(value) = value else { return NOTHING.into() };
    match metric {
        Metric::MeanDuration | Metric::MinDuration | Metric::MaxDuration | Metric::Duration(_) => {
            duration(value)
        }
        Metric::ErrorRate | Metric::SuccessRate => percent(value),
        Metric::RequestBytes | Metric::ResponseBytes => size(value),
        #[allow(clippy::cast_possible_truncation)] // milliseconds since 1970
        Metric::FirstSeen | Metric::LastSeen => ago(now, value as i64),
        _ => count(value),
    }
}

/// A metric's value in a table, with a sign before it where it is estimated.
pub(super) fn told(table: &Table, metric: Metric, value: Option<f64>, now: i64) -> String {
    estimated(table, metric, self::metric(metric, value, now))
}

/// A text of a metric's value, with that sign.
pub(super) fn estimated(table: &Table, metric: Metric, text: String) -> String {
    if table.estimates(metric) { format!("≈ {text}") } else { text }
}

/// A metric's name above a column.
pub(super) fn heading(metric: Metric) -> &'static str {
    match metric {
        Metric::Hits => "Requests",
        Metric::Visitors => "Visitors",
        Metric::Users => "Users",
        Metric::Addresses => "Addresses",
        Metric::Sessions => "Visits",
        Metric::RequestBytes => "Received",
        Metric::ResponseBytes => "Sent",
        Metric::Errors => "Errors",
        Metric::ErrorRate => "Error rate",
        Metric::SuccessRate => "Success",
        Metric::MeanDuration => "Mean",
        Metric::MinDuration => "Fastest",
        Metric::MaxDuration => "Slowest",
        Metric::Duration(500) => "p50",
        Metric::Duration(950) => "p95",
        Metric::Duration(990) => "p99",
        Metric::Duration(_) => "Quantile",
        Metric::FirstSeen => "First seen",
        Metric::LastSeen => "Last seen",
    }
}

/// How a number moved against the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// `▲ 12 %`.
    pub text: String,
    /// In words, for who listens.
    pub spoken: String,
    /// `good`, `bad` or nothing.
    pub class: &'static str,
}

/// What a rise means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rise {
    Good,
    Bad,
    Neither,
}

impl Change {
    /// The change from one number to another; none where there was nothing to compare with.
    pub fn between(before: Option<f64>, now: Option<f64>, rise: Rise) -> Option<Self> {
        let (before, now) = (before.filter(|before| *before > 0.0)?, now?);
        let percent = (now - before) / before * 100.0;
        if percent.abs() < 0.05 {
            return Some(Self { text: "= 0 %".into(), spoken: "no change".into(), class: "" });
        }
        let (arrow, word) = if percent > 0.0 { ("▲", "up") } else { ("▼", "down") };
        let amount = if percent.abs() < 10.0 {
            format!("{:.1} %", percent.abs())
        } else {
            format!("{} %", compact(percent.abs()))
        };
        let class = match (rise, percent > 0.0) {
            (Rise::Neither, _) => "",
            (Rise::Good, true) | (Rise::Bad, false) => "good",
            _ => "bad",
        };
        Some(Self { text: format!("{arrow} {amount}"), spoken: format!("{word} {amount}"), class })
    }
}

/// A moment in a zone, by a pattern of strftime.
pub(super) fn moment(ms: i64, zone: &TimeZone, pattern: &str) -> String {
    Timestamp::from_millisecond(ms)
        .map(|moment| moment.to_zoned(zone.clone()).strftime(pattern).to_string())
        .unwrap_or_default()
}

/// The days of a range, whose end does not belong to it.
pub(super) fn range(from: i64, to: i64, zone: &TimeZone) -> String {
    let day = |ms| moment(ms, zone, "%-d %b %Y");
    let (first, last) = (day(from), day((to - 1).max(from)));
    if first == last { last } else { format!("{first} – {last}") }
}

/// A moment in full, on the clock of UTC.
pub(super) fn utc(ms: i64) -> String {
    moment(ms, &TimeZone::UTC, "%-d %b %Y, %H:%M UTC")
}

/// A bucket's start, as precise as the bucket is long.
pub(super) fn bucket(ms: i64, zone: &TimeZone, bucket: Bucket) -> String {
    let pattern = match bucket {
        Bucket::Seconds(_) | Bucket::Minute | Bucket::Hour => "%a %-d %b, %H:%M",
        Bucket::Day => "%a %-d %b %Y",
        Bucket::Week => "week of %-d %b %Y",
        Bucket::Month => "%B %Y",
        Bucket::Year => "%Y",
    };
    moment(ms, zone, pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_says_that_it_is_one() {
        let table = |distinct_error| Table { distinct_error, ..Table::default() };
        assert_eq!(told(&table(0.0), Metric::Users, Some(5.0), 0), "5");
        assert_eq!(told(&table(0.1), Metric::Users, Some(5.0), 0), "≈ 5");
        assert_eq!(told(&table(0.1), Metric::Hits, Some(5.0), 0), "5");
    }

    #[test]
    fn numbers_are_as_long_as_they_need_be() {
        assert_eq!(
            [0.0, 9_999.0, 12_345.0, 999_960.0, 1_240_000.0].map(compact),
            ["0", "9\u{202f}999", "12.3k", "1M", "1.24M"]
        );
        assert_eq!(
            [0.25, 8.0, 123.4, 1_240.0, 90_000.0].map(duration),
            ["0.25 ms", "8 ms", "123 ms", "1.24 s", "1.5 min"]
        );
        assert_eq!(
            [0.0, 0.000_1, 0.5, 0.999_99, 1.0].map(percent),
            ["0 %", "<0.1 %", "50 %", "99.9 %", "100 %"]
        );
        assert_eq!([999.0, 1_500.0, 3e9].map(size), ["999 B", "1.5 kB", "3 GB"]);
    }

    #[test]
    fn a_change_says_whether_it_is_welcome() {
        let change = |before, now, rise| Change::between(Some(before), Some(now), rise).expect("a change");
        assert_eq!(
            change(100.0, 112.0, Rise::Good),
            Change { text: "▲ 12 %".into(), spoken: "up 12 %".into(), class: "good" }
        );
        assert_eq!(change(100.0, 95.0, Rise::Bad).class, "good");
        assert_eq!(change(100.0, 100.0, Rise::Bad).text, "= 0 %");
        assert_eq!(Change::between(Some(0.0), Some(1.0), Rise::Good), None);
        assert_eq!(Change::between(None, Some(1.0), Rise::Good), None);
    }
}
