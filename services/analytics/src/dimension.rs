//! What hits can be told apart by.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer};

/// Length of a time bucket, in the calendar of the question's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bucket {
    /// So many seconds, counted from the start of the question's range.
    Seconds(u32),
    /// One minute of the clock.
    Minute,
    /// One hour of the clock.
    Hour,
    /// One calendar day, 23 to 25 hours long.
    Day,
    /// One week from Monday (ISO 8601).
    Week,
    /// One calendar month.
    Month,
    /// One calendar year.
    Year,
}

/// A property of a hit that it can be grouped and filtered by.
///
/// Names, as [`fmt::Display`] writes and [`FromStr`] reads them, are those of the query API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Start of the time bucket.
    Time(Bucket),
    /// Hour of the day in the question's zone, 0 to 23.
    HourOfDay,
    /// Day of the week in the question's zone, 1 (Monday) to 7.
    Weekday,
    /// Protocol that brought the hit.
    Source,
    /// HTTP method.
    Method,
    /// Host name that was asked.
    Host,
    /// Path without query.
    Path,
    /// Query without question mark.
    Query,
    /// Route template; the path where no template is known.
    Route,
    /// API version in the path, such as `v2`: a segment of `v` and one or more digits.
    Version,
    /// HTTP status.
    Status,
    /// First digit of the status: `2xx`.
    StatusClass,
    /// HTTP version.
    HttpVersion,
    /// Client's address.
    Ip,
    /// `User-Agent` header.
    UserAgent,
    /// User as the application names them.
    User,
    /// Who asks: the user, or else the address.
    Consumer,
    /// `Referer` header.
    Referrer,
    /// Host name of the `Referer` header.
    ReferrerHost,
    /// ISO 3166-1 alpha-2 code.
    Country,
    /// Framework that served the request.
    Framework,
    /// Family of the client or browser.
    Client,
    /// Family of the operating system.
    Os,
    /// Class of device.
    Device,
    /// Whether the client is a robot: `true` or `false`.
    Bot,
    /// Whether it came from the operator's own networks: `true` or `false`.
    Home,
    /// Name of the log it came from.
    Log,
    /// City of the address, known late.
    City,
    /// Region of the address, known late.
    Region,
    /// Host name of the address by reverse DNS, known late.
    AddressHost,
    /// Domain of that host name: its last two labels.
    AddressDomain,
    /// Class of the address, known late: `user` or `bot`, unknown until it was classified.
    AddressClass,
}

/// Every dimension that is not a time bucket, with its name.
const NAMES: &[(Dimension, &str)] = &[
    (Dimension::HourOfDay, "hour_of_day"),
    (Dimension::Weekday, "weekday"),
    (Dimension::Source, "source"),
    (Dimension::Method, "method"),
    (Dimension::Host, "host"),
    (Dimension::Path, "path"),
    (Dimension::Query, "query"),
    (Dimension::Route, "route"),
    (Dimension::Version, "version"),
    (Dimension::Status, "status"),
    (Dimension::StatusClass, "status_class"),
    (Dimension::HttpVersion, "http_version"),
    (Dimension::Ip, "ip"),
    (Dimension::UserAgent, "user_agent"),
    (Dimension::User, "user"),
    (Dimension::Consumer, "consumer"),
    (Dimension::Referrer, "referrer"),
    (Dimension::ReferrerHost, "referrer_host"),
    (Dimension::Country, "country"),
    (Dimension::Framework, "framework"),
    (Dimension::Client, "client"),
    (Dimension::Os, "os"),
    (Dimension::Device, "device"),
    (Dimension::Bot, "bot"),
    (Dimension::Home, "home"),
    (Dimension::Log, "log"),
    (Dimension::City, "city"),
    (Dimension::Region, "region"),
    (Dimension::AddressHost, "address_host"),
    (Dimension::AddressDomain, "address_domain"),
    (Dimension::AddressClass, "address_class"),
];

const BUCKETS: &[(Bucket, &str)] = &[
    (Bucket::Minute, "time:minute"),
    (Bucket::Hour, "time:hour"),
    (Bucket::Day, "time:day"),
    (Bucket::Week, "time:week"),
    (Bucket::Month, "time:month"),
    (Bucket::Year, "time:year"),
];

impl Dimension {
    /// Every dimension but times of a chosen number of seconds.
    pub fn all() -> impl Iterator<Item = Self> {
        BUCKETS.iter().map(|(bucket, _)| Self::Time(*bucket)).chain(NAMES.iter().map(|(it, _)| *it))
    }

    /// Whether it is learnt about addresses after their hits were stored.
    pub fn is_late(self) -> bool {
        matches!(
            self,
            Self::City | Self::Region | Self::AddressHost | Self::AddressDomain | Self::AddressClass
        )
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(Bucket::Seconds(seconds)) => write!(f, "time:{seconds}s"),
            Self::Time(bucket) => {
                f.write_str(BUCKETS.iter().find(|(it, _)| it == bucket).map_or("time", |(_, name)| name))
            }
            other => f.write_str(NAMES.iter().find(|(it, _)| it == other).map_or("", |(_, name)| name)),
        }
    }
}

/// There is no dimension of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no dimension `{0}`")]
pub struct UnknownDimension(pub String);

impl FromStr for Dimension {
    type Err = UnknownDimension;

    fn from_str(text: &str) -> Result<Self, UnknownDimension> {
        if let Some((bucket, _)) = BUCKETS.iter().find(|(_, name)| *name == text) {
            return Ok(Self::Time(*bucket));
        }
        if let Some(seconds) = text.strip_prefix("time:").and_then(|rest| rest.strip_suffix('s'))
            && let Ok(seconds @ 1..) = seconds.parse()
        {
            return Ok(Self::Time(Bucket::Seconds(seconds)));
        }
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(it, _)| *it).ok_or_else(|| UnknownDimension(text.to_owned()))
    }
}

/// A value of a dimension. In JSON it is null, a number or a string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Unknown. Sorts first.
    Unknown,
    /// A number: a status, an hour, a weekday, or a time bucket's start in UTC milliseconds.
    Number(i64),
    /// A text; flags are `true` and `false`.
    Text(Arc<str>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_unit(),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dimension_is_read_back_by_its_name() {
        for dimension in Dimension::all().chain([Dimension::Time(Bucket::Seconds(90))]) {
            assert_eq!(dimension.to_string().parse(), Ok(dimension));
        }
        for unknown in ["", "time:0s", "time:x", "Path"] {
            assert_eq!(unknown.parse::<Dimension>(), Err(UnknownDimension(unknown.into())));
        }
    }
}
