//! Which hits a question is about.

use watchkeeper_store::Hit;

/// All that is given must hold; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// First moment, UTC milliseconds.
    pub from: Option<i64>,
    /// First moment after the last, UTC milliseconds.
    pub to: Option<i64>,
    /// Host name, exactly.
    pub host: Option<String>,
    /// Address, in its canonical text.
    pub ip: Option<String>,
    /// Country code, exactly.
    pub country: Option<String>,
    /// HTTP status.
    pub status: Option<i32>,
    /// User, exactly.
    pub user: Option<String>,
}

impl Filter {
    /// Whether a hit is meant.
    pub fn matches(&self, hit: &Hit) -> bool {
        fn text(wanted: Option<&String>, found: Option<&String>) -> bool {
            wanted.is_none() || wanted == found
        }
        self.from.is_none_or(|from| hit.ts >= from)
            && self.to.is_none_or(|to| hit.ts < to)
            && self.status.is_none_or(|status| hit.status == Some(status))
            && text(self.host.as_ref(), hit.host.as_ref())
            && text(self.ip.as_ref(), hit.ip.as_ref())
            && text(self.country.as_ref(), hit.country.as_ref())
            && text(self.user.as_ref(), hit.user.as_ref())
    }

    /// Whether every hit between `from` and `to` is meant.
    pub fn is_only_time(&self) -> bool {
        let Self { from: _, to: _, host, ip, country, status, user } = self;
        host.is_none() && ip.is_none() && country.is_none() && status.is_none() && user.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_given_must_hold() {
        let hit = Hit { ts: 5, host: Some("a".into()), status: Some(200), ..Hit::default() };
        let host = |host: &str| Filter { host: Some(host.into()), ..Filter::default() };
        assert!(Filter::default().matches(&hit));
        assert!(host("a").matches(&hit));
        assert!(!host("b").matches(&hit));
        assert!(!Filter { status: Some(404), ..host("a") }.matches(&hit));
        assert!(!Filter { user: Some("u".into()), ..Filter::default() }.matches(&hit));
    }

    #[test]
    fn the_range_has_its_start_and_not_its_end() {
        let at = |ts| Hit { ts, ..Hit::default() };
        let range = Filter { from: Some(10), to: Some(20), ..Filter::default() };
        assert_eq!([9, 10, 19, 20].map(|ts| range.matches(&at(ts))), [false, true, true, false]);
    }
}
