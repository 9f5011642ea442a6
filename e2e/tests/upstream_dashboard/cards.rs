//! What api-analytics' dashboard draws of rows, by its own rules.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::browser::Agents;

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "HEAD", "TRACE"];
/// Names of clients by a part of their agents; the first that fits counts.
const CLIENTS: [(&str, &str); 5] = [
    ("curl/", "Curl"),
    ("python-requests/", "Python requests"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// A row by the names of its columns.
pub struct Row<'a> {
    pub ip: Option<&'a str>,
    pub path: &'a str,
    pub hostname: &'a str,
    pub agent: Option<&'a str>,
    pub method: &'static str,
    pub response_time: i64,
    pub status: i64,
    pub location: &'a str,
    pub user_id: &'a str,
    pub at: Timestamp,
    pub referrer: Option<&'a str>,
}

impl<'a> Row<'a> {
    pub fn of(columns: &'a Value, agents: &'a Agents) -> Result<Self> {
        let text = |column: usize| columns[column].as_str().with_context(|| format!("{column}: {columns}"));
        let number = |column: usize| columns[column].as_i64().with_context(|| format!("{column}: {columns}"));
        let agent = match columns[3].as_u64() {
            Some(id) => {
                let agent = agents.get(&id.to_string()).and_then(Value::as_str);
                Some(agent.with_context(|| format!("the page does not say who {id} is"))?)
            }
            None => None,
        };
        Ok(Self {
            ip: columns[0].as_str(),
            path: text(1)?,
            hostname: text(2)?,
            agent,
            method: METHODS.get(usize::try_from(number(4)?)?).copied().context("no method")?,
            response_time: number(5)?,
            status: number(6)?,
            location: text(7)?,
            user_id: text(8)?,
            at: text(9)?.parse()?,
            referrer: columns.get(10).and_then(Value::as_str),
        })
    }
}

/// The period and the filters that somebody has chosen.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Days of the period, and none for all time.
    pub days: Option<i64>,
    pub keep: fn(&Row<'_>) -> bool,
}

/// One user of the list of top users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub requests: usize,
    pub last: Timestamp,
}

/// The cards of one dashboard.
pub struct Cards {
    settings: Settings,
    now: Timestamp,
    pub requests: usize,
    previous: usize,
    successes: usize,
    pub users: BTreeMap<String, User>,
    previous_users: BTreeSet<String>,
    times: BTreeMap<i64, usize>,
    /// Versions by the requests that have them in their paths.
    pub versions: BTreeMap<String, usize>,
    /// By method and path, and by status.
    pub endpoints: BTreeMap<(String, i64), usize>,
    pub locations: BTreeMap<String, usize>,
    pub clients: BTreeMap<&'static str, usize>,
    pub referrers: BTreeMap<String, usize>,
    /// Of every row, whatever the period and the filters.
    pub hostnames: BTreeMap<String, usize>,
    /// Requests by the hour of the day.
    pub hours: [usize; 24],
}

impl Cards {
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        Self {
            settings,
            now,
            requests: 0,
            previous: 0,
            successes: 0,
            users: BTreeMap::new(),
            previous_users: BTreeSet::new(),
            times: BTreeMap::new(),
            versions: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            locations: BTreeMap::new(),
            clients: BTreeMap::new(),
            referrers: BTreeMap::new(),
            hostnames: BTreeMap::new(),
            hours: [0; 24],
        }
    }

    /// Counts a row. They come in the order of time.
    pub fn add(&mut self, row: &Row<'_>) {
        *self.hostnames.entry(row.hostname.to_owned()).or_default() += 1;
        if !(self.settings.keep)(row) {
            return;
        }
        // An address that is not there has to be null: any text, even an empty one, hides the user's name.
        let user = row.ip.unwrap_or(row.user_id);
        let ago = |periods: i64| {
            let days = self.settings.days?;
            Some(self.now - SignedDuration::from_hours(24 * days * periods))
        };
        if ago(1).is_some_and(|start| row.at < start) {
            if ago(2).is_some_and(|start| row.at >= start) {
                self.previous += 1;
                if !user.is_empty() {
                    self.previous_users.insert(user.to_owned());
                }
            }
            return;
        }
        self.requests += 1;
        self.successes += usize::from((200..400).contains(&row.status));
        *self.times.entry(row.response_time).or_default() += 1;
        if !user.is_empty() {
            let user =
                self.users.entry(user.to_owned()).or_insert(User { requests: 0, last: Timestamp::MIN });
            *user = User { requests: user.requests + 1, last: row.at };
        }
        if let Some(version) = version(row.path) {
            *self.versions.entry(version.to_owned()).or_default() += 1;
        }
        let endpoint = format!("{}  {}", row.method, without_parameters(row.path));
        *self.endpoints.entry((endpoint, row.status)).or_default() += 1;
        if !row.location.is_empty() {
            *self.locations.entry(row.location.to_owned()).or_default() += 1;
        }
        if let Some(referrer) = row.referrer {
            *self.referrers.entry(without_parameters(referrer).to_owned()).or_default() += 1;
        }
        if let Some(agent) = row.agent {
            *self.clients.entry(client(agent)).or_default() += 1;
        }
        let hour = row.at.as_second().div_euclid(3_600).rem_euclid(24);
        self.hours[usize::try_from(hour).unwrap_or_default()] += 1;
    }

    /// Percent of the requests that went well, and none without a request.
    pub fn success_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.successes as f64 / self.requests as f64 * 100.0)
    }

    /// Percent that there are more requests and users than in the period before, and none without one.
    pub fn changes(&self) -> [Option<f64>; 2] {
        let change =
            |now: usize, before: usize| (before > 0).then(|| now as f64 / before as f64 * 100.0 - 100.0);
        [change(self.requests, self.previous), change(self.users.len(), self.previous_users.len())]
    }

    /// Lower quartile, median and upper quartile of the response times, milliseconds.
    pub fn quartiles(&self) -> [f64; 3] {
        [0.25, 0.5, 0.75].map(|share| {
            let place = (self.requests.saturating_sub(1)) as f64 * share;
            let (low, rest) = (place.floor() as usize, place.fract());
            let (below, above) = (self.time(low), self.time(low + 1));
            below + rest * (above - below)
        })
    }

    /// The response time at a place among all in order, and the longest beyond their end.
    fn time(&self, place: usize) -> f64 {
        let mut seen = 0;
        for (time, count) in &self.times {
            seen += count;
            if seen > place {
                return *time as f64;
            }
        }
        self.times.last_key_value().map_or(0.0, |(time, _)| *time as f64)
    }
}

fn client(agent: &str) -> &'static str {
    CLIENTS.iter().find(|(part, _)| agent.contains(part)).map_or("Other", |(_, name)| name)
}

fn without_parameters(text: &str) -> &str {
    text.split_once('?').map_or(text, |(before, _)| before)
}

/// A `v` and one digit that stand by themselves.
fn version(path: &str) -> Option<&str> {
    let bytes = path.as_bytes();
    let at = bytes.windows(4).position(|four| {
        !four[0].is_ascii_alphanumeric()
            && four[1].eq_ignore_ascii_case(&b'v')
            && four[2].is_ascii_digit()
            && !four[3].is_ascii_alphanumeric()
    })?;
    path.get(at + 1..at + 3)
}

/// What a monitor's card draws of its pings: how the latest went, and the share of successes.
pub fn monitor(pings: &Value) -> Result<(bool, f64)> {
    let pings = pings.as_array().context("no pings")?;
    let statuses: Option<Vec<i64>> = pings.iter().map(|ping| ping["status"].as_i64()).collect();
    let well: Vec<bool> = statuses
        .context("a ping without a status")?
        .iter()
        .map(|status| (200..300).contains(status))
        .collect();
    let latest = *well.last().context("no ping yet")?;
    Ok((latest, well.iter().filter(|well| **well).count() as f64 / well.len() as f64))
}
