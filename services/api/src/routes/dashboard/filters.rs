//! The state of a page is its URL: period, zone, filters, toggles and open tabs. Names are those of
//! upstream's dashboard where it has one, so that its links work here.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use url::form_urlencoded;
use watchkeeper_analytics::{Comparison, Condition, Dimension, Field, Test};
use watchkeeper_store::DashboardSettings;

use crate::period::{self, Range};

/// Parameters that one URL may have.
const PARAMETERS: usize = 64;

/// Bytes that one value may have: what is kept of a path or a query, each of which is a link.
const VALUE: usize = 2_048;

/// Bytes that one value with wildcards may have. It is held against texts in as many steps as both have
/// bytes, multiplied.
const PATTERN: usize = 1_024;

/// Bytes that all values with wildcards may have together.
pub(super) const PATTERNS: usize = 4_096;

/// Before the name of a filter that leaves out instead of keeping.
const NOT: &str = "not-";

/// A filter: its parameter, its dimension, and what people call it.
pub(super) struct Filter {
    pub name: &'static str,
    pub dimension: Dimension,
    pub label: &'static str,
}

/// Every filter.
pub(super) const FILTERS: &[Filter] = &[
    Filter { name: "hostname", dimension: Dimension::Host, label: "Host" },
    Filter { name: "path", dimension: Dimension::Path, label: "Path" },
    Filter { name: "route", dimension: Dimension::Route, label: "Route" },
    Filter { name: "query", dimension: Dimension::Query, label: "Query" },
    Filter { name: "method", dimension: Dimension::Method, label: "Method" },
    Filter { name: "status", dimension: Dimension::Status, label: "Status" },
    Filter { name: "class", dimension: Dimension::StatusClass, label: "Status class" },
    Filter { name: "version", dimension: Dimension::Version, label: "Version" },
    Filter { name: "location", dimension: Dimension::Country, label: "Location" },
    Filter { name: "userID", dimension: Dimension::User, label: "User" },
    Filter { name: "ipAddress", dimension: Dimension::Ip, label: "Address" },
    Filter { name: "client", dimension: Dimension::Client, label: "Client" },
    Filter { name: "os", dimension: Dimension::Os, label: "System" },
    Filter { name: "device", dimension: Dimension::Device, label: "Device" },
    Filter { name: "referrer", dimension: Dimension::ReferrerHost, label: "Referrer" },
    Filter { name: "framework", dimension: Dimension::Framework, label: "Framework" },
    Filter { name: "weekday", dimension: Dimension::Weekday, label: "Weekday" },
    Filter { name: "hour", dimension: Dimension::HourOfDay, label: "Hour" },
];

/// Other spellings of a filter's name.
const ALIASES: &[(&str, &str)] = &[
    ("host", "hostname"),
    ("country", "location"),
    ("userId", "userID"),
    ("user_id", "userID"),
    ("ip", "ipAddress"),
    ("ip_address", "ipAddress"),
];

/// Parameters that are no filters, each of which stands at most once.
const SINGLE: &[&str] = &[
    "period",
    "from",
    "to",
    "zone",
    "bots",
    "notfound",
    "query-strings",
    "endpoints",
    "agents",
    "traffic",
    "sort",
];

/// Periods as the page offers them: the value in the URL, and what people read.
pub(super) const PERIODS: &[(&str, &str)] = &[
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    ("6mo", "6 months"),
    ("12mo", "12 months"),
    ("all", "All time"),
];

/// Upstream's names of periods.
const UPSTREAM_PERIODS: &[(&str, &str)] = &[
    ("24 hours", "24h"),
    ("week", "7d"),
    ("month", "30d"),
    ("6 months", "6mo"),
    ("year", "12mo"),
    ("all time", "all"),
];

/// A parameter that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct BadFilter {
    /// The parameter.
    pub field: String,
    /// What is wrong with it and how to mend it.
    pub message: String,
}

/// What a URL says, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filters {
    pairs: Vec<(String, String)>,
}

/// One filter that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chip {
    /// What people read: `Path is /a`.
    pub label: &'static str,
    pub verb: &'static str,
    pub value: String,
    /// The parameter and its value.
    pub name: String,
    pub raw: String,
}

impl Filters {
    /// Reads a query.
    ///
    /// # Errors
    /// Names the parameter that cannot be understood. Unknown parameters are not looked at.
    pub fn parse(query: &str) -> Result<Self, BadFilter> {
        let bad = |field: &str, message: String| BadFilter { field: field.to_owned(), message };
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut patterns = 0;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let name = canonical(&name);
            let plain = name.strip_prefix(NOT).unwrap_or(&name);
            let single = SINGLE.contains(&name.as_str());
            if !single && name != "hide" && find(plain).is_none() {
                continue;
            }
            let is_pattern = name == "hide" || value.contains('*');
            let most = if is_pattern { PATTERN } else { VALUE };
            if value.len() > most {
                return Err(bad(&name, format!("`{name}` is longer than {most} bytes; shorten it.")));
            }
            let value = value.trim().to_owned();
            // A form sends its empty fields too; only a filter can be for what is empty.
            if value.is_empty() && (single || name == "hide") {
                continue;
            }
            let value = match name.as_str() {
                "period" => spelled(UPSTREAM_PERIODS, &value).to_owned(),
                _ => value,
            };
            check(&name, plain, &value).map_err(|message| bad(&name, message))?;
            if single {
                pairs.retain(|(other, _)| *other != name);
            }
            if pairs.contains(&(name.clone(), value.clone())) {
                continue;
            }
            if is_pattern {
                patterns += value.len();
            }
            if patterns > PATTERNS {
                let message =
                    format!("Values with `*` have more than {PATTERNS} bytes together; shorten them.");
                return Err(bad(&name, message));
            }
            pairs.push((name, value));
            if pairs.len() > PARAMETERS {
                return Err(bad("", format!("A page may have {PARAMETERS} filters; take some away.")));
            }
        }
        let filters = Self { pairs };
        filters.range().map_err(|error| bad("from", error.to_string()))?;
        Ok(filters)
    }

    /// The value of a parameter that stands once.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value == "1")
    }

    /// The range that is asked for; the last seven days unless one is.
    pub fn range(&self) -> Result<Range, period::PeriodError> {
        match (self.get("from"), self.get("to")) {
            (None, None) => Range::named(self.get("period").unwrap_or("7d")),
            (from, to) => {
                let missing = |end| {
                    period::PeriodError(format!("A range has two ends: `{end}` is missing beside the other."))
                };
                Range::between(from.ok_or_else(|| missing("from"))?, to.ok_or_else(|| missing("to"))?)
            }
        }
    }

    /// The zone of the page.
    pub fn zone(&self, settings: &DashboardSettings) -> TimeZone {
        let name = self.get("zone").or(settings.zone.as_deref()).unwrap_or("UTC");
        period::zone(name).unwrap_or(TimeZone::UTC)
    }

    /// Whether robots are left out.
    pub fn hides_bots(&self, settings: &DashboardSettings) -> bool {
        self.flag("bots").map_or(settings.hide_bots, |shown| !shown)
    }

    /// Whether answers of 404 are left out.
    pub fn hides_not_found(&self, settings: &DashboardSettings) -> bool {
        self.flag("notfound").map_or(settings.hide_not_found, |shown| !shown)
    }

    /// Whether endpoints that differ in their query alone are told apart.
    pub fn splits_queries(&self) -> bool {
        self.flag("query-strings").unwrap_or_default()
    }

    /// Paths that this URL hides beyond the settings.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(|(name, _)| name == "hide").map(|(_, value)| value.as_str())
    }

    /// The filters that are in force.
    pub fn chips(&self) -> Vec<Chip> {
        let chips = self.pairs.iter().filter_map(|(name, raw)| {
            if name == "hide" {
                let value = raw.clone();
                return Some(Chip {
                    label: "Path",
                    verb: "is hidden:",
                    value,
                    name: name.clone(),
                    raw: raw.clone(),
                });
            }
            let plain = name.strip_prefix(NOT);
            let filter = find(plain.unwrap_or(name))?;
            let verb = if plain.is_some() { "is not" } else { "is" };
            let value = shown(filter.dimension, raw);
            Some(Chip { label: filter.label, verb, value, name: name.clone(), raw: raw.clone() })
        });
        chips.collect()
    }

    /// Which hits the URL and the settings mean, within what `locked` allows.
    pub fn condition(&self, settings: &DashboardSettings) -> Condition {
        let mut groups: BTreeMap<&str, Vec<Condition>> = BTreeMap::new();
        for (name, value) in &self.pairs {
            if let Some(filter) = find(name.strip_prefix(NOT).unwrap_or(name)) {
                groups.entry(name).or_default().push(one(filter.dimension, value));
            }
        }
        let mut condition = Condition::default();
        for (name, any) in groups {
            let any = Condition::Any(any);
            condition = condition.and(if name.starts_with(NOT) { any.negate() } else { any });
        }
        let hidden: Vec<String> =
            settings.hidden.iter().map(String::as_str).chain(self.hidden()).map(str::to_owned).collect();
        if !hidden.is_empty() {
            condition = condition.and(text(Dimension::Path, Test::Glob(hidden)).negate());
        }
        if self.hides_bots(settings) {
            condition = condition.and(Condition::is(Dimension::Bot, "true").negate());
        }
        if self.hides_not_found(settings) {
            let not_found =
                Condition::Number { field: Field::Status, comparison: Comparison::Equal, value: 404.0 };
            condition = condition.and(not_found.negate());
        }
        condition
    }

    /// Whether a filter for this value is in force.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.pairs.iter().any(|(other, it)| other == name && it == value)
    }

    /// Whether any filter tests one of these dimensions.
    pub fn tests(&self, dimensions: &[Dimension]) -> bool {
        self.pairs.iter().any(|(name, value)| {
            let Some(filter) = find(name.strip_prefix(NOT).unwrap_or(name)) else { return false };
            // A path may bring a query along.
            let query = filter.dimension == Dimension::Path && value.contains('?');
            dimensions.contains(&filter.dimension) || (query && dimensions.contains(&Dimension::Query))
        })
    }

    /// Whether a filter could find out what stands in a query: the route of a website's view is its
    /// whole URL, of which only what is before the query is everybody's.
    pub fn guesses_queries(&self) -> bool {
        self.pairs.iter().any(|(name, value)| {
            let route = find(name.strip_prefix(NOT).unwrap_or(name))
                .is_some_and(|filter| filter.dimension == Dimension::Route);
            route && value.contains(['*', '?', '#', '@'])
        })
    }

    /// This and one more filter, or without it when it is in force.
    pub fn toggled(&self, name: &str, value: &str) -> Self {
        if self.has(name, value) { self.without(name, value) } else { self.and(name, value) }
    }

    /// This and one more filter; another value of the same name goes.
    pub fn and(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.pairs.clone();
        pairs.retain(|(other, _)| other != name);
        pairs.push((name.to_owned(), value.to_owned()));
        Self { pairs }
    }

    /// This without one filter.
    pub fn without(&self, name: &str, value: &str) -> Self {
        let pairs = self.pairs.iter().filter(|(other, it)| other != name || it != value).cloned().collect();
        Self { pairs }
    }

    /// This with another value of a parameter that stands once, or none.
    pub fn set(&self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.and(name, value),
            None => Self { pairs: self.pairs.iter().filter(|(other, _)| other != name).cloned().collect() },
        }
    }

    /// This in another period.
    pub fn in_period(&self, period: &str) -> Self {
        self.set("from", None).set("to", None).set("period", Some(period))
    }

    /// This between two moments, written for people and machines.
    pub fn between(&self, from: &str, to: &str) -> Self {
        self.set("period", None).set("from", Some(from)).set("to", Some(to))
    }

    /// Only what chooses hits, without period, zone and tabs.
    pub fn only_filters(&self) -> Self {
        Self { pairs: self.pairs.iter().filter(|(name, _)| chooses(name)).cloned().collect() }
    }

    /// Without any filter, in the same period and zone.
    pub fn cleared(&self) -> Self {
        Self { pairs: self.pairs.iter().filter(|(name, _)| !chooses(name)).cloned().collect() }
    }

    /// All parameters but these, for a form's hidden fields.
    pub fn others(&self, names: &[&str]) -> Vec<(&str, &str)> {
        let others = self.pairs.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        others.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The query of a URL; empty, or with its question mark.
    pub fn query(&self) -> String {
        if self.pairs.is_empty() {
            return String::new();
        }
        let encoded = form_urlencoded::Serializer::new(String::from("?")).extend_pairs(&self.pairs).finish();
        // The serializer puts an ampersand after what it finds.
        encoded.replacen("?&", "?", 1)
    }
}

/// Whether a parameter chooses hits, by any of its spellings.
pub(super) fn chooses(name: &str) -> bool {
    let name = canonical(name);
    let switch = matches!(name.as_str(), "hide" | "bots" | "notfound");
    switch || find(name.strip_prefix(NOT).unwrap_or(&name)).is_some()
}

/// The filter of a parameter.
pub(super) fn find(name: &str) -> Option<&'static Filter> {
    FILTERS.iter().find(|filter| filter.name == name)
}

/// The parameter that filters a dimension.
pub(super) fn name_of(dimension: Dimension) -> Option<&'static str> {
    FILTERS.iter().find(|filter| filter.dimension == dimension).map(|filter| filter.name)
}

/// A dimension's value as a filter writes it: weekdays count from Sunday, 0, as upstream's do.
pub(super) fn raw_value(dimension: Dimension, value: &str) -> String {
    if dimension == Dimension::Weekday && value == "7" { "0".into() } else { value.into() }
}

/// Names of weekdays from Sunday, as upstream counts them.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn shown(dimension: Dimension, raw: &str) -> String {
    match dimension {
        _ if raw.is_empty() => "unknown".into(),
        Dimension::Weekday => raw
            .parse()
            .ok()
            .and_then(|day: usize| WEEKDAYS.get(day))
            .map_or(raw.to_owned(), |day| (*day).into()),
        Dimension::HourOfDay => format!("{raw:0>2}:00"),
        Dimension::Country => crate::countries::name(raw).to_owned(),
        _ => raw.to_owned(),
    }
}

fn canonical(name: &str) -> String {
    let (not, plain) = name.strip_prefix(NOT).map_or(("", name), |plain| (NOT, plain));
    format!("{not}{}", spelled(ALIASES, plain))
}

fn spelled<'a>(spellings: &'a [(&str, &str)], text: &'a str) -> &'a str {
    spellings.iter().find(|(other, _)| *other == text).map_or(text, |(_, ours)| ours)
}

fn check(name: &str, plain: &str, value: &str) -> Result<(), String> {
    let within = |low: u16, high: u16| match value.parse::<u16>() {
        Ok(number) if (low..=high).contains(&number) => Ok(()),
        _ if value.is_empty() => Ok(()),
        _ => Err(format!("`{name}` is a number from {low} to {high}, not `{value}`.")),
    };
    let one_of = |known: &[&str]| match known.contains(&value) {
        true => Ok(()),
        false => Err(format!("`{name}` is one of {}, not `{value}`.", known.join(", "))),
    };
    match (name, plain) {
        ("period", _) => Range::named(value).map(drop).map_err(|error| error.to_string()),
        ("zone", _) => period::zone(value).map(drop).map_err(|error| error.to_string()),
        ("bots" | "notfound" | "query-strings", _) => one_of(&["0", "1"]),
        (_, "status") => within(0, 999),
        (_, "weekday") => within(0, 6),
        (_, "hour") => within(0, 23),
        _ => Ok(()),
    }
}

fn one(dimension: Dimension, value: &str) -> Condition {
    match (dimension, value) {
        (_, "") => Condition::is_unknown(dimension),
        (Dimension::Weekday, "0") => Condition::is(dimension, "7"),
        (Dimension::HourOfDay | Dimension::Status, number) => Condition::is(
            dimension,
            number.parse::<u16>().map_or_else(|_| number.to_owned(), |n| n.to_string()),
        ),
        // Upstream's links have the query in the path.
        (Dimension::Path, path) if path.contains('?') => {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            Condition::is(dimension, path).and(one(Dimension::Query, query))
        }
        (_, pattern) if pattern.contains('*') => text(dimension, Test::Glob(vec![pattern.to_owned()])),
        (_, value) => Condition::is(dimension, value),
    }
}

fn text(dimension: Dimension, test: Test) -> Condition {
    Condition::Text { dimension, test, ignore_case: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Filters {
        Filters::parse(query).expect(query)
    }

    fn condition(query: &str) -> Condition {
        parse(query).condition(&DashboardSettings::default())
    }

    #[test]
    fn upstreams_links_are_understood() {
        let link = "period=24+hours&hostname=a&location=DE&path=%2Fa&status=404&userID=u&ipAddress=1.2.3.4&weekday=0&hour=7&version=v2&source=x";
        let filters = parse(link);
        assert_eq!(filters.range(), Range::named("24h"));
        assert_eq!(filters.chips().len(), 9);
        assert_eq!(parse("user_id=u&ip=1.2.3.4&country=DE"), parse("userID=u&ipAddress=1.2.3.4&location=DE"));
        for (upstream, ours) in UPSTREAM_PERIODS {
            let encoded: String = form_urlencoded::byte_serialize(upstream.as_bytes()).collect();
            assert_eq!(parse(&format!("period={encoded}")).range(), Range::named(ours));
        }
    }

    #[test]
    fn what_cannot_be_understood_names_its_field() {
        for (query, field) in [
            ("period=fortnight", "period"),
            ("zone=Mars", "zone"),
            ("hour=24", "hour"),
            ("not-weekday=7", "not-weekday"),
            ("status=abc", "status"),
            ("bots=yes", "bots"),
            ("from=2026-01-01", "from"),
            ("from=x&to=2026-01-01", "from"),
        ] {
            assert_eq!(Filters::parse(query).expect_err(query).field, field, "{query}");
        }
        let long = |start: &str, bytes: usize| format!("{start}{}", "a".repeat(bytes));
        assert_eq!(parse(&long("path=", 2_048)).chips().len(), 1);
        for (query, field) in [
            (long("path=", 2_049), "path"),
            (long("path=*", 1_024), "path"),
            (long("hide=", 1_025), "hide"),
            (
                ["path=*", "not-route=*", "hide=", "hide=b", "hide=c"].map(|it| long(it, 900)).join("&"),
                "hide",
            ),
        ] {
            assert_eq!(Filters::parse(&query).expect_err(field).field, field);
        }
        let twice = ["hide=", "hide=", "hide=", "hide=", "hide="].map(|it| long(it, 1_000)).join("&");
        assert_eq!(parse(&twice).chips().len(), 1);
        let many: String = (0..65).map(|n| format!("path=/{n}&")).collect();
        assert!(Filters::parse(&many).expect_err("many").message.contains("64"));
    }

    #[test]
    fn values_of_one_name_widen_and_other_names_narrow() {
        let is = |path: &str| Condition::is(Dimension::Path, path);
        let any = Condition::Any(vec![is("/a"), is("/b")]);
        assert_eq!(condition("path=/a&path=/b"), Condition::default().and(any.clone()));
        assert_eq!(condition("not-path=/a&not-path=/b"), Condition::default().and(any.negate()));
        let both = condition("path=/a&method=GET");
        assert!(matches!(both, Condition::All(all) if all.len() == 2));
    }

    #[test]
    fn weekdays_count_from_sunday_and_a_query_in_a_path_is_one() {
        assert_eq!(
            condition("weekday=0"),
            Condition::default().and(Condition::Any(vec![Condition::is(Dimension::Weekday, "7")]))
        );
        let split = Condition::is(Dimension::Path, "/a").and(Condition::is(Dimension::Query, "b=c"));
        assert_eq!(condition("path=/a?b=c"), Condition::default().and(Condition::Any(vec![split])));
        assert_eq!(raw_value(Dimension::Weekday, "7"), "0");
    }

    #[test]
    fn a_filter_is_added_replaced_and_taken_away_and_the_rest_stays() {
        let filters = parse("period=30d&path=/a&zone=Europe/Berlin");
        assert_eq!(filters.toggled("path", "/b").query(), "?period=30d&zone=Europe%2FBerlin&path=%2Fb");
        assert_eq!(filters.toggled("path", "/a").query(), "?period=30d&zone=Europe%2FBerlin");
        assert_eq!(filters.in_period("7d").get("path"), Some("/a"));
        assert_eq!(filters.cleared().query(), "?period=30d&zone=Europe%2FBerlin");
        assert_eq!(filters.only_filters().query(), "?path=%2Fa");
        assert_eq!(Filters::default().query(), "");
    }

    #[test]
    fn settings_hide_unless_the_url_shows() {
        let settings =
            DashboardSettings { hide_bots: true, hidden: vec!["/health*".into()], ..Default::default() };
        assert!(parse("").hides_bots(&settings) && !parse("bots=1").hides_bots(&settings));
        assert!(matches!(parse("").condition(&settings), Condition::All(all) if all.len() == 2));
    }
}
