//! Privacy levels: how much of where a hit came from may be kept.

use std::net::IpAddr;

use super::CountryCode;

/// How much of a hit's origin is stored; ordered from least to most strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrivacyLevel {
    /// 0: address and country.
    Full,
    /// 1: the country only; the address is dropped after the lookup.
    Country,
    /// 2: neither.
    Nothing,
}

impl PrivacyLevel {
    /// Reads the number that clients and manifests use. Anything below 0 is 0
    /// and anything above 2 is 2, as clients in the field send both.
    pub fn from_int(level: i64) -> Self {
        match level {
            ..=0 => Self::Full,
            1 => Self::Country,
            2.. => Self::Nothing,
        }
    }

    /// Keeps of `ip` what this level allows; `country` is asked only when its
    /// answer may be stored.
    pub(super) fn apply(
        self,
        ip: Option<IpAddr>,
        country: impl FnOnce(IpAddr) -> Option<CountryCode>,
    ) -> Location {
        match self {
            Self::Full => Location { ip, country: ip.and_then(country) },
            Self::Country => Location { ip: None, country: ip.and_then(country) },
            Self::Nothing => Location::default(),
        }
    }
}

/// What is stored of where a hit came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The client's address, at level 0 only.
    pub ip: Option<IpAddr>,
    /// The country of the address, at levels 0 and 1.
    pub country: Option<CountryCode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8));

    fn apply(level: i64) -> (Option<IpAddr>, bool) {
        let mut asked = false;
        let location = PrivacyLevel::from_int(level).apply(Some(IP), |_| {
            asked = true;
            None
        });
        (location.ip, asked)
    }

    #[test]
    fn level_0_keeps_the_address_and_asks_for_the_country() {
        assert_eq!(apply(0), (Some(IP), true));
    }

    #[test]
    fn level_1_drops_the_address_after_asking_for_the_country() {
        assert_eq!(apply(1), (None, true));
    }

    #[test]
    fn level_2_keeps_nothing_and_asks_nothing() {
        assert_eq!(apply(2), (None, false));
    }

    #[test]
    fn any_integer_is_clamped_to_a_level() {
        for (given, level) in [
            (i64::MIN, PrivacyLevel::Full),
            (-1, PrivacyLevel::Full),
            (0, PrivacyLevel::Full),
            (1, PrivacyLevel::Country),
            (2, PrivacyLevel::Nothing),
            (3, PrivacyLevel::Nothing),
            (i64::MAX, PrivacyLevel::Nothing),
        ] {
            assert_eq!(PrivacyLevel::from_int(given), level, "{given}");
        }
    }
}
