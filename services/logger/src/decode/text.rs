//! Texts, addresses and times as clients spell them.

use std::net::{IpAddr, SocketAddr};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use watchkeeper_store::DAY_MS;

/// Cuts a text to at most `limit` bytes, between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// An address out of what clients send: the address itself, with a port, with a
/// prefix length, or the first of an `X-Forwarded-For` list. IPv4 in IPv6 form
/// becomes IPv4, so that one client has one address.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let first = text.split(',').next()?.trim();
    let bare = first.split_once('/').map_or(first, |(address, _)| address);
    let parsed = bare
        .parse::<IpAddr>()
        .or_else(|_| bare.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| bare.trim_matches(['[', ']']).parse::<IpAddr>());
    parsed.ok().map(|ip| ip.to_canonical())
}

/// A time in UTC milliseconds out of RFC 3339 at any precision, the same with a
/// space for the `T`, or the same without a zone, which then is UTC.
pub(crate) fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let naive: DateTime = text.parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(naive).ok()?.as_millisecond())
}

/// The first moment that a client can mean, UTC milliseconds: 2000-01-01. What is before it is a
/// clock's or a language's zero (1970, or Go's year 1).
const EARLIEST: i64 = 946_684_800_000;

/// The time of a hit of which a client says `said`, arrived at `now` (UTC milliseconds): its own, or
/// that of its arrival if it says none or one that cannot be. A day ahead is taken: clients send
/// local times without their zone.
pub(crate) fn moment(said: Option<i64>, now: i64) -> i64 {
    said.filter(|said| (EARLIEST..=now + DAY_MS).contains(said)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("ab", 9), "ab");
    }

    #[test]
    fn addresses_are_found_in_every_spelling_clients_use() {
        let v4: IpAddr = "1.2.3.4".parse().expect("address");
        for text in ["1.2.3.4", " 1.2.3.4:555", "1.2.3.4, 10.0.0.1", "1.2.3.4/8", "::ffff:1.2.3.4"] {
            assert_eq!(address(text), Some(v4), "{text}");
        }
        assert_eq!(address("[2001:db8::1]:80"), "2001:db8::1".parse().ok());
        assert_eq!(address("[2001:db8::1]"), "2001:db8::1".parse().ok());
        for junk in ["", "junk", "testclient", "1.2.3", ","] {
            assert_eq!(address(junk), None, "{junk}");
        }
    }

    #[test]
    fn times_are_understood_as_every_client_writes_them() {
        let moment = Some(1_700_000_000_123);
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14T22:13:20.123456789+00:00",
            "2023-11-14T23:13:20.123+01:00",
            "2023-11-14 22:13:20.123+00",
            "2023-11-14T22:13:20.123456",
        ] {
            assert_eq!(time(text), moment, "{text}");
        }
        for junk in ["", "garbage", "1700000000", "2023-13-01T00:00:00Z"] {
            assert_eq!(time(junk), None, "{junk}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_is_the_time_of_arrival() {
        let now = 1_700_000_000_000;
        for said in [EARLIEST, now - 1, now, now + DAY_MS] {
            assert_eq!(moment(Some(said), now), said);
        }
        for said in
            [i64::MIN, time("0001-01-01T00:00:00Z").expect("a time"), 0, EARLIEST - 1, now + DAY_MS + 1]
        {
            assert_eq!(moment(Some(said), now), now);
        }
        assert_eq!(moment(None, now), now);
    }
}
