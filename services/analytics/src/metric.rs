//! What can be counted and measured over hits.

use std::{fmt, str::FromStr};

/// A number about a group of hits. Names, as [`fmt::Display`] writes and [`FromStr`] reads
/// them, are those of the query API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Hits.
    Hits,
    /// Distinct visitors a UTC day, added up: who comes on two days counts twice, since ids
    /// change every day.
    Visitors,
    /// Distinct consumers: users, or else addresses.
    Users,
    /// Distinct addresses.
    Addresses,
    /// Distinct visits: hits of one visitor with less than the question's idle gap in between.
    /// A visit is known before the condition applies, and ends with its UTC day.
    Sessions,
    /// Sum of the requests' sizes, bytes.
    RequestBytes,
    /// Sum of the answers' sizes, bytes.
    ResponseBytes,
    /// Hits with a status of 400 and above.
    Errors,
    /// Share of the hits of known status with one of 400 and above, 0 to 1.
    ErrorRate,
    /// Share of the hits of known status with one of 200 to 399, 0 to 1.
    SuccessRate,
    /// Mean time to the answer, milliseconds.
    MeanDuration,
    /// Shortest time to the answer, milliseconds.
    MinDuration,
    /// Longest time to the answer, milliseconds.
    MaxDuration,
    /// Quantile of the time to the answer, milliseconds: the smallest time that at least so many
    /// per mille of the hits do not exceed (nearest rank, SQL's `PERCENTILE_DISC`).
    Duration(u16),
    /// Time of the first hit, UTC milliseconds.
    FirstSeen,
    /// Time of the last hit, UTC milliseconds.
    LastSeen,
}

const NAMES: &[(Metric, &str)] = &[
    (Metric::Hits, "hits"),
    (Metric::Visitors, "visitors"),
    (Metric::Users, "users"),
    (Metric::Addresses, "addresses"),
    (Metric::Sessions, "sessions"),
    (Metric::RequestBytes, "request_bytes"),
    (Metric::ResponseBytes, "response_bytes"),
    (Metric::Errors, "errors"),
    (Metric::ErrorRate, "error_rate"),
    (Metric::SuccessRate, "success_rate"),
    (Metric::MeanDuration, "duration_mean"),
    (Metric::MinDuration, "duration_min"),
    (Metric::MaxDuration, "duration_max"),
    (Metric::Duration(250), "p25"),
    (Metric::Duration(500), "p50"),
    (Metric::Duration(750), "p75"),
    (Metric::Duration(900), "p90"),
    (Metric::Duration(950), "p95"),
    (Metric::Duration(990), "p99"),
    (Metric::Duration(999), "p99.9"),
    (Metric::FirstSeen, "first_seen"),
    (Metric::LastSeen, "last_seen"),
];

impl Metric {
    /// Every metric that has a name.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(it, _)| *it)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (NAMES.iter().find(|(it, _)| it == self), self) {
            (Some((_, name)), _) => f.write_str(name),
            (None, Self::Duration(permille)) => write!(f, "p{}", f64::from(*permille) / 10.0),
            (None, other) => write!(f, "{other:?}"),
        }
    }
}

/// There is no metric of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no metric `{0}`")]
pub struct UnknownMetric(pub String);

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(it, _)| *it).ok_or_else(|| UnknownMetric(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_read_back_by_its_name() {
        for metric in Metric::all() {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        assert_eq!("p42".parse::<Metric>(), Err(UnknownMetric("p42".into())));
    }
}
