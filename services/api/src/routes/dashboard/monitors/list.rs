//! `/monitors`: everything that is watched, the worst first, searched and filtered by its address.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use std::collections::HashMap;
use url::form_urlencoded;
use watchkeeper_store::{Endpoint, State as Up, alerts::shown_target, now_ms};

use super::{
    bars::{self, Bars},
    board::Board,
    history::{self, History, Share},
};
use crate::{
    Api,
    routes::dashboard::{
        access::{Watcher, render},
        format,
        shell::{PageError, Section, Shell},
    },
    times::{rfc3339, spoken},
};

/// Rows of one page.
const ROWS: usize = 200;

/// Days of a row's bars.
const DAYS: usize = 30;

/// States, the worst first, as the tiles show them.
const STATES: [Up; 6] = [Up::Down, Up::Degraded, Up::Unknown, Up::Maintenance, Up::Suspended, Up::Up];

/// What an address asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wish {
    search: String,
    group: Option<String>,
    state: Option<Up>,
    sort: Sort,
    page: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Group,
    State,
    Name,
    Uptime,
    Latency,
}

impl Sort {
    const ALL: [(Self, &str, &str); 5] = [
        (Self::Group, "group", "Group"),
        (Self::State, "state", "State"),
        (Self::Name, "name", "Name"),
        (Self::Uptime, "uptime", "Lowest uptime"),
        (Self::Latency, "latency", "Slowest"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(sort, ..)| *sort == self).map_or("", |(_, word, _)| word)
    }
}

impl Wish {
    /// Reads an address; what it does not know it takes for a typing error and leaves out.
    fn parse(query: &str) -> Self {
        let mut wish = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            match &*name {
                "q" => wish.search = value.chars().take(200).collect(),
                "group" if !value.is_empty() => wish.group = Some(value.to_owned()),
                "state" => {
                    wish.state = STATES.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(value));
                }
                "sort" => {
                    let known = Sort::ALL.iter().find(|(_, word, _)| *word == value);
                    wish.sort = known.map_or(Sort::default(), |(sort, ..)| *sort);
                }
                "page" => wish.page = value.parse::<usize>().unwrap_or(1).saturating_sub(1),
                _ => {}
            }
        }
        wish
    }

    /// The address of this wish.
    fn href(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        if let Some(group) = &self.group {
            query.append_pair("group", group);
        }
        if let Some(state) = self.state {
            query.append_pair("state", state.as_str());
        }
        if self.sort != Sort::default() {
            query.append_pair("sort", self.sort.word());
        }
        if self.page > 0 {
            query.append_pair("page", &(self.page + 1).to_string());
        }
        let query = query.finish();
        if query.is_empty() { "/monitors".into() } else { format!("/monitors?{query}") }
    }

    /// Whether search and group keep an endpoint.
    fn keeps(&self, endpoint: &Endpoint) -> bool {
        if self.group.is_some() && self.group != endpoint.spec.group {
            return false;
        }
        let mut text = format!(
            "{} {} {} {} {}",
            endpoint.spec.display_name,
            endpoint.namespace,
            endpoint.name,
            endpoint.spec.group.as_deref().unwrap_or_default(),
            target(endpoint)
        );
        for (name, value) in &endpoint.spec.labels {
            text.push_str(&format!(" {name}={value}"));
        }
        let text = text.to_lowercase();
        self.search.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

#[derive(Template)]
#[template(path = "dashboard/monitors.html")]
struct Page {
    shell: Shell,
    wish: Wish,
    tiles: Vec<Tile>,
    groups: Vec<String>,
    sections: Vec<Group>,
    shown: (usize, usize, usize),
    watched: usize,
    earlier: Option<String>,
    later: Option<String>,
}

/// A state with how many are in it.
struct Tile {
    name: &'static str,
    count: usize,
    href: String,
    current: bool,
}

/// Rows under one heading.
struct Group {
    name: String,
    summary: String,
    rows: Vec<Row>,
}

struct Row {
    href: String,
    name: String,
    target: String,
    kind: &'static str,
    state: &'static str,
    since: String,
    moment: String,
    error: String,
    bars: Bars,
    uptime: String,
    unobserved: String,
    latency: String,
}

/// `GET /monitors`
pub(in crate::routes::dashboard) async fn page(
    watcher: Watcher,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let store = |error| PageError::store(&error);
    let now = now_ms();
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let history = api.dashboard.history.get(&api.store, now).await.map_err(store)?;
    let wish = Wish::parse(query.as_deref().unwrap_or_default());
    let shell = Shell { refresh: Some(30), ..watcher.shell(Section::Monitors, "Monitors") };
    render(&Page::new(shell, &board, &history, wish))
}

impl Page {
    fn new(shell: Shell, board: &Board, history: &History, mut wish: Wish) -> Self {
        let found: Vec<_> = board.endpoints.iter().filter(|endpoint| wish.keeps(endpoint)).collect();
        let tiles = tiles(&found, &wish);
        let mut rows: Vec<(&Endpoint, Vec<Share>)> = found
            .into_iter()
            .filter(|endpoint| wish.state.is_none_or(|state| state == endpoint.status.state))
            .map(|endpoint| (endpoint, recent(history, endpoint)))
            .collect();
        order(&mut rows, wish.sort);
        let all = rows.len();
        wish.page = wish.page.min(all.saturating_sub(1) / ROWS);
        let from = wish.page * ROWS;
        let page = &rows[from..(from + ROWS).min(all)];
        let mut sections: Vec<Group> = Vec::new();
        for (endpoint, shares) in page {
            let name = match wish.sort {
                Sort::Group => endpoint.spec.group.clone().unwrap_or_default(),
                _ => String::new(),
            };
            let row = Row::new(endpoint, shares, history);
            match sections.last_mut() {
                Some(section) if section.name == name => section.rows.push(row),
                _ => sections.push(Group { name, summary: String::new(), rows: vec![row] }),
            }
        }
        for section in &mut sections {
            let members = rows.iter().filter(|(endpoint, _)| {
                wish.sort != Sort::Group || endpoint.spec.group.as_deref().unwrap_or_default() == section.name
            });
            let states: Vec<_> = members.map(|(endpoint, _)| endpoint.status.state).collect();
            section.summary = summary(&states);
        }
        let turn = |page: usize| Wish { page, ..wish.clone() }.href();
        Self {
            shell,
            tiles,
            groups: board.groups().into_iter().map(str::to_owned).collect(),
            sections,
            shown: (if all == 0 { 0 } else { from + 1 }, from + page.len(), all),
            watched: board.endpoints.len(),
            earlier: wish.page.checked_sub(1).map(turn),
            later: (from + ROWS < all).then(|| turn(wish.page + 1)),
            wish,
        }
    }

    fn is_group(&self, name: &str) -> bool {
        self.wish.group.as_deref() == Some(name)
    }

    fn sorts(&self) -> Vec<(&'static str, &'static str, bool)> {
        Sort::ALL.iter().map(|(sort, word, name)| (*word, *name, *sort == self.wish.sort)).collect()
    }

    /// The state that is filtered by, for the form to keep.
    fn state(&self) -> Option<&'static str> {
        self.wish.state.map(Up::as_str)
    }

    fn is_filtered(&self) -> bool {
        self.wish.group.is_some() || self.wish.state.is_some() || !self.wish.search.is_empty()
    }
}

fn tiles(found: &[&Endpoint], wish: &Wish) -> Vec<Tile> {
    let tile = |name, state: Option<Up>, count| Tile {
        name,
        count,
        href: Wish { state, page: 0, ..wish.clone() }.href(),
        current: wish.state == state,
    };
    let mut tiles = vec![tile("All", None, found.len())];
    for state in STATES {
        let count = found.iter().filter(|endpoint| endpoint.status.state == state).count();
        // Of those that are rare only what is there.
        if count > 0 || matches!(state, Up::Up | Up::Down) || wish.state == Some(state) {
            tiles.push(tile(state.as_str(), Some(state), count));
        }
    }
    tiles
}

/// `12 up, 1 down`: what a group's heading says.
fn summary(states: &[Up]) -> String {
    let mut counts: HashMap<Up, usize> = HashMap::new();
    for state in states {
        *counts.entry(*state).or_default() += 1;
    }
    let told = STATES.into_iter().filter_map(|state| {
        let count = counts.get(&state)?;
        Some(format!("{count} {}", state.as_str().to_lowercase()))
    });
    told.collect::<Vec<_>>().join(", ")
}

fn recent(history: &History, endpoint: &Endpoint) -> Vec<Share> {
    let mut shares = history.of(endpoint.id, endpoint.created_at);
    shares.drain(..shares.len().saturating_sub(DAYS));
    shares
}

/// How bad a state is: its place among [`STATES`].
fn badness(endpoint: &Endpoint) -> usize {
    STATES.iter().position(|state| *state == endpoint.status.state).unwrap_or(STATES.len())
}

fn order(rows: &mut [(&Endpoint, Vec<Share>)], sort: Sort) {
    let name = |endpoint: &Endpoint| endpoint.spec.display_name.to_lowercase();
    match sort {
        // Those without a group come last.
        Sort::Group => rows.sort_by_cached_key(|(it, _)| {
            (it.spec.group.is_none(), it.spec.group.clone(), badness(it), name(it))
        }),
        Sort::State => rows.sort_by_cached_key(|(it, _)| (badness(it), name(it))),
        Sort::Name => rows.sort_by_cached_key(|(it, _)| name(it)),
        Sort::Uptime => rows.sort_by(|(_, one), (_, other)| {
            let uptime = |shares: &[Share]| history::total(shares).uptime().unwrap_or(2.0);
            uptime(one).total_cmp(&uptime(other))
        }),
        Sort::Latency => rows.sort_by_key(|(it, _)| {
            std::cmp::Reverse(it.status.last_check.as_ref().map(|check| check.duration_us))
        }),
    }
}

impl Row {
    fn new(endpoint: &Endpoint, shares: &[Share], history: &History) -> Self {
        let whole = history::total(shares);
        let status = &endpoint.status;
        let first = usize::try_from(history::DAYS).unwrap_or_default() - DAYS;
        let check = status.last_check.as_ref();
        let failed = check
            .filter(|_| !matches!(status.state, Up::Up | Up::Suspended))
            .and_then(|check| check.message.clone());
        Self {
            href: format!("/monitors/{}", endpoint.id),
            name: endpoint.spec.display_name.clone(),
            target: target(endpoint),
            kind: endpoint.spec.probe.kind(),
            state: status.state.as_str(),
            since: spoken(history.now - status.since),
            moment: rfc3339(status.since),
            error: unobserved(endpoint, history.now).or(failed).unwrap_or_default(),
            bars: Bars::new(shares, "30 days", |day| day_name(history.start(first + day))),
            uptime: whole.uptime().map_or_else(|| format::NOTHING.into(), bars::precise),
            unobserved: bars::unobserved(&whole),
            latency: check
                .map_or_else(|| format::NOTHING.into(), |check| format::duration(micros(check.duration_us))),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds of one check
pub(super) fn micros(us: i64) -> f64 {
    us as f64 / 1_000.0
}

/// A day's name, UTC.
pub(in crate::routes::dashboard) fn day_name(ms: i64) -> String {
    format::moment(ms, &jiff::tz::TimeZone::UTC, "%-d %b")
}

/// Why the state of an endpoint is not known although somebody should be looking.
pub(super) fn unobserved(endpoint: &Endpoint, now: i64) -> Option<String> {
    endpoint.unobserved_since(now)?;
    Some(match &endpoint.status.last_check {
        Some(check) => format!("no check has come for {}: no checker is at work", spoken(now - check.at)),
        None => "no check has come yet: no checker is at work".into(),
    })
}

/// What is asked, without what could be a secret: credentials and the query of a URL.
pub(super) fn target(endpoint: &Endpoint) -> String {
    shown_target(endpoint.spec.probe.target())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_wish_and_a_wish_an_address() {
        let wish = Wish::parse("q=Shop+API&state=down&sort=uptime&page=3&group=EU&x=y");
        assert_eq!(wish.state, Some(Up::Down));
        assert_eq!(wish.href(), "/monitors?q=Shop+API&group=EU&state=Down&sort=uptime&page=3");
        assert_eq!(Wish::parse(wish.href().split_once('?').expect("a query").1), wish);
        assert_eq!(Wish::parse("state=nonsense&sort=&page=-1").href(), "/monitors");
    }

    #[test]
    fn a_group_is_told_by_its_states_the_worst_first() {
        assert_eq!(summary(&[Up::Up, Up::Down, Up::Up, Up::Unknown]), "1 down, 1 unknown, 2 up");
        assert_eq!(summary(&[]), "");
    }
}
