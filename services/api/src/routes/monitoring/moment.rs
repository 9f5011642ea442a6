//! Moments as upstream's clients write them: ISO 8601, without a zone in UTC, a day alone at midnight.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// UTC milliseconds.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_millisecond());
    }
    // A `+` of an offset that was not percent-encoded is a space by now.
    if let Some((start, offset)) = text.rsplit_once(' ')
        && offset.contains(':')
        && start.contains('T')
        && let Ok(moment) = format!("{start}+{offset}").parse::<Timestamp>()
    {
        return Some(moment.as_millisecond());
    }
    let civil: DateTime = text.parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_and_people_write_moments_like_these() {
        let noon = Some(1_706_184_000_000);
        for text in [
            "2024-01-25T12:00:00Z",
            "2024-01-25T12:00:00",
            "2024-01-25 12:00:00",
            "2024-01-25T12:00:00.000000",
            "2024-01-25T14:00:00+02:00",
            "2024-01-25T14:00:00 02:00",
        ] {
            assert_eq!(parse(text), noon, "{text}");
        }
        assert_eq!(parse("2024-01-25"), Some(1_706_140_800_000));
        for bad in ["", "yesterday", "25.01.2024", "2024-02-30", "2024-01-25T25:00:00"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
