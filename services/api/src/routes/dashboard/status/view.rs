//! A status page as it stands: pure, from what is measured and what was posted.

use std::collections::{HashMap, HashSet};

use watchkeeper_store::{
    DAY_MS, Endpoint, Impact, IncidentKind, IncidentStatus, Result, State as Measured, StatusIncident,
    StatusPage, now_ms,
};

use crate::{
    Api,
    routes::dashboard::monitors::{
        bars::Bars,
        board::Board,
        history::{self, History, Share},
        list::day_name,
    },
};

/// How long something that is over stays on the page itself, milliseconds.
const RECENT: i64 = 14 * DAY_MS;

/// Posts that one page or feed shows at most.
pub(super) const POSTS: i64 = 200;

/// How something works, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::routes::dashboard) enum Condition {
    Operational,
    Unknown,
    Maintenance,
    Degraded,
    Partial,
    Down,
}

impl Condition {
    /// The word in JSON and in the style sheet.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Unknown => "unknown",
            Self::Maintenance => "maintenance",
            Self::Degraded => "degraded",
            Self::Partial => "partial",
            Self::Down => "down",
        }
    }

    /// What a reader sees beside a name.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Operational => "Operational",
            Self::Unknown => "Not known",
            Self::Maintenance => "Maintenance",
            Self::Degraded => "Degraded",
            Self::Partial => "Partial outage",
            Self::Down => "Outage",
        }
    }

    const fn measured(state: Measured) -> Self {
        match state {
            Measured::Up => Self::Operational,
            Measured::Degraded => Self::Degraded,
            Measured::Down => Self::Down,
            Measured::Maintenance => Self::Maintenance,
            Measured::Unknown | Measured::Suspended => Self::Unknown,
        }
    }

    const fn posted(impact: Impact) -> Self {
        match impact {
            Impact::None => Self::Operational,
            Impact::Degraded => Self::Degraded,
            Impact::Partial => Self::Partial,
            Impact::Major => Self::Down,
        }
    }
}

/// A page with everything on it.
#[derive(Debug, Clone)]
pub(in crate::routes::dashboard) struct View {
    pub page: StatusPage,
    pub now: i64,
    pub condition: Condition,
    /// The banner.
    pub headline: String,
    /// How many endpoints are not observed now.
    pub unknown: usize,
    pub groups: Vec<Group>,
    pub active: Vec<Post>,
    pub planned: Vec<Post>,
    pub past: Vec<Post>,
}

/// Endpoints under one heading.
#[derive(Debug, Clone)]
pub(in crate::routes::dashboard) struct Group {
    pub name: String,
    pub condition: Condition,
    pub components: Vec<Component>,
}

/// One endpoint on the page.
#[derive(Debug, Clone)]
pub(in crate::routes::dashboard) struct Component {
    pub id: i64,
    pub name: String,
    pub condition: Condition,
    pub since: i64,
    pub bars: Bars,
    pub whole: Share,
    /// Of the last check, microseconds.
    pub latency: Option<i64>,
}

/// Something that was posted, with its state by the clock.
#[derive(Debug, Clone)]
pub(in crate::routes::dashboard) struct Post {
    pub incident: StatusIncident,
    pub status: IncidentStatus,
    /// Names of what it is about.
    pub about: Vec<String>,
}

impl Post {
    pub fn new(incident: StatusIncident, now: i64, board: &Board) -> Self {
        let about = incident.facts.endpoints.iter().filter_map(|uid| board.by_uid(uid));
        let about = about.map(|endpoint| endpoint.spec.display_name.clone()).collect();
        Self { status: by_the_clock(&incident, now), about, incident }
    }

    pub fn is_maintenance(&self) -> bool {
        self.incident.facts.kind == IncidentKind::Maintenance
    }

    /// When it last changed.
    pub fn changed(&self) -> i64 {
        self.incident.updates.first().map_or(self.incident.facts.starts_at, |update| update.at)
    }
}

/// How far a post has come: a maintenance begins and ends by the clock unless somebody began or ended it.
pub(super) fn by_the_clock(incident: &StatusIncident, now: i64) -> IncidentStatus {
    let facts = &incident.facts;
    if facts.kind == IncidentKind::Incident || incident.status.is_over() {
        return incident.status;
    }
    match facts.ends_at {
        Some(end) if now >= end => IncidentStatus::Completed,
        _ if now >= facts.starts_at || incident.status == IncidentStatus::InProgress => {
            IncidentStatus::InProgress
        }
        _ => IncidentStatus::Scheduled,
    }
}

/// A word of a post's state as a reader sees it.
pub(in crate::routes::dashboard) const fn spoken_status(status: IncidentStatus) -> &'static str {
    match status {
        IncidentStatus::Open => "Open",
        IncidentStatus::Investigating => "Investigating",
        IncidentStatus::Identified => "Identified",
        IncidentStatus::Monitoring => "Monitoring",
        IncidentStatus::Resolved => "Resolved",
        IncidentStatus::Scheduled => "Scheduled",
        IncidentStatus::InProgress => "In progress",
        IncidentStatus::Completed => "Completed",
    }
}

/// Reads what a page shows.
///
/// # Errors
/// When the store fails.
pub(super) async fn load(api: &Api, page: StatusPage) -> Result<View> {
    let now = now_ms();
    let board = api.dashboard.board.get(&api.store).await?;
    let history = api.dashboard.history.get(&api.store, now).await?;
    let posts = api.store.incidents(page.id, now - RECENT, i64::MAX, POSTS).await?;
    Ok(View::new(page, &board, &history, posts))
}

/// The endpoints of each group of a page. One that two groups name is in both.
pub(in crate::routes::dashboard) fn members<'a>(
    page: &StatusPage,
    board: &'a Board,
) -> Vec<Vec<&'a Endpoint>> {
    let members = page.spec.groups.iter().map(|group| {
        let mut found: Vec<_> = group.endpoints.iter().filter_map(|uid| board.by_uid(uid)).collect();
        if group.all_of.is_some() {
            let named: HashSet<_> = found.iter().map(|endpoint| endpoint.id).collect();
            let mut more: Vec<_> = board
                .endpoints
                .iter()
                .filter(|it| it.spec.group == group.all_of && !named.contains(&it.id))
                .collect();
            more.sort_by_cached_key(|endpoint| endpoint.spec.display_name.to_lowercase());
            found.append(&mut more);
        }
        found
    });
    members.collect()
}

/// The endpoints that any status page shows, or whose badges are public by themselves.
pub(in crate::routes::dashboard) async fn is_public(api: &Api, endpoint: &Endpoint) -> Result<bool> {
    if api.store.badges().await?.contains(&endpoint.uid) {
        return Ok(true);
    }
    Ok(api.store.status_pages().await?.iter().any(|page| shows(page, endpoint)))
}

/// Whether a page shows an endpoint, as [`members`] has it.
pub(in crate::routes::dashboard) fn shows(page: &StatusPage, endpoint: &Endpoint) -> bool {
    page.spec.groups.iter().any(|group| {
        let all_of = group.all_of.is_some() && group.all_of == endpoint.spec.group;
        all_of || group.endpoints.contains(&endpoint.uid)
    })
}

impl View {
    pub fn new(page: StatusPage, board: &Board, history: &History, posts: Vec<StatusIncident>) -> Self {
        let now = history.now;
        let posts = posts.into_iter().map(|incident| Post::new(incident, now, board));
        let (over, going): (Vec<_>, Vec<_>) = posts.partition(|post| post.status.is_over());
        let (mut planned, active): (Vec<_>, Vec<_>) =
            going.into_iter().partition(|post| post.status == IncidentStatus::Scheduled);
        planned.sort_by_key(|post| post.incident.facts.starts_at);
        let members = members(&page, board);
        let said = Said::new(&active, &members);
        let groups: Vec<Group> = page
            .spec
            .groups
            .iter()
            .zip(members)
            .map(|(group, members)| {
                let components: Vec<_> =
                    members.into_iter().map(|endpoint| component(endpoint, history, &said)).collect();
                let conditions: Vec<_> = components.iter().map(|it| it.condition).collect();
                let condition = overall(&conditions, Condition::Operational).0;
                Group { name: group.name.clone(), condition, components }
            })
            .collect();
        let conditions: Vec<_> =
            groups.iter().flat_map(|group| &group.components).map(|it| it.condition).collect();
        let (condition, headline) = overall(&conditions, said.whole);
        let unknown = conditions.iter().filter(|it| **it == Condition::Unknown).count();
        Self { page, now, condition, headline: headline.into(), unknown, groups, active, planned, past: over }
    }
}

/// What active posts say.
struct Said<'a> {
    /// Of the endpoints that they name.
    each: HashMap<&'a str, Condition>,
    /// Of the page as a whole: those that name none of its endpoints.
    whole: Condition,
    /// Whether work on the whole page was announced.
    announced: bool,
}

impl<'a> Said<'a> {
    fn new(active: &'a [Post], members: &[Vec<&Endpoint>]) -> Self {
        let shown: HashSet<_> = members.iter().flatten().map(|endpoint| endpoint.uid.as_str()).collect();
        let mut said = Self { each: HashMap::new(), whole: Condition::Operational, announced: false };
        for post in active {
            let facts = &post.incident.facts;
            let condition =
                if post.is_maintenance() { Condition::Maintenance } else { Condition::posted(facts.impact) };
            // One about endpoints that have gone meanwhile must not leave the banner as if nothing were.
            if !facts.endpoints.iter().any(|uid| shown.contains(uid.as_str())) {
                said.whole = said.whole.max(condition);
                said.announced |= post.is_maintenance() && facts.endpoints.is_empty();
            }
            for uid in &facts.endpoints {
                let entry = said.each.entry(uid.as_str()).or_insert(condition);
                *entry = (*entry).max(condition);
            }
        }
        said
    }

    /// How an endpoint works, by what is measured and what is said.
    fn of(&self, endpoint: &Endpoint) -> Condition {
        let measured = Condition::measured(endpoint.status.state);
        let announced = self.announced.then_some(Condition::Maintenance);
        match self.each.get(endpoint.uid.as_str()).copied().max(announced) {
            // What breaks during announced work was announced.
            Some(Condition::Maintenance) => Condition::Maintenance,
            Some(said) => measured.max(said),
            None => measured,
        }
    }
}

fn component(endpoint: &Endpoint, history: &History, said: &Said<'_>) -> Component {
    let shares = history.of(endpoint.id, endpoint.created_at);
    Component {
        id: endpoint.id,
        name: endpoint.spec.display_name.clone(),
        condition: said.of(endpoint),
        since: endpoint.status.since,
        bars: Bars::new(&shares, &endpoint.spec.display_name, |day| day_name(history.start(day))),
        whole: history::total(&shares),
        latency: endpoint.status.last_check.as_ref().map(|check| check.duration_us),
    }
}

/// The banner: what the worst of all says, and whether that is all of it.
fn overall(conditions: &[Condition], posted: Condition) -> (Condition, &'static str) {
    let count = |condition| conditions.iter().filter(|it| **it == condition).count();
    let known = conditions.len() - count(Condition::Unknown);
    let worst = conditions.iter().copied().filter(|it| *it != Condition::Unknown).max();
    let nothing = if conditions.is_empty() { Condition::Operational } else { Condition::Unknown };
    let worst = worst.unwrap_or(nothing).max(posted);
    match worst {
        Condition::Down if posted == Condition::Down || count(Condition::Down) == known => {
            (Condition::Down, "Major outage")
        }
        Condition::Down | Condition::Partial => (Condition::Partial, "Partial outage"),
        Condition::Degraded => (Condition::Degraded, "Degraded performance"),
        Condition::Maintenance => (Condition::Maintenance, "Maintenance under way"),
        Condition::Unknown => (Condition::Unknown, "State not known"),
        Condition::Operational if conditions.is_empty() => (Condition::Operational, "No incidents reported"),
        Condition::Operational if known < conditions.len() => {
            (Condition::Operational, "All observed systems operational")
        }
        Condition::Operational => (Condition::Operational, "All systems operational"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_store::{IncidentFacts, StatusUpdate};

    #[test]
    fn the_banner_tells_the_worst_and_never_calls_unknown_up() {
        use Condition::{Degraded, Down, Maintenance, Operational, Partial, Unknown};
        let said = |conditions: &[Condition], posted| overall(conditions, posted).1;
        assert_eq!(said(&[Operational, Operational], Operational), "All systems operational");
        assert_eq!(said(&[Operational, Unknown], Operational), "All observed systems operational");
        assert_eq!(said(&[Unknown, Unknown], Operational), "State not known");
        assert_eq!(said(&[Down, Operational], Operational), "Partial outage");
        assert_eq!(said(&[Down, Unknown], Operational), "Major outage");
        assert_eq!(said(&[Operational, Partial], Operational), "Partial outage");
        assert_eq!(said(&[Operational, Degraded, Maintenance], Operational), "Degraded performance");
        assert_eq!(said(&[Operational], Maintenance), "Maintenance under way");
        assert_eq!(said(&[Operational], Down), "Major outage");
        assert_eq!(said(&[], Operational), "No incidents reported");
        assert_eq!(said(&[], Partial), "Partial outage");
    }

    fn maintenance(status: IncidentStatus, ends_at: Option<i64>) -> StatusIncident {
        let facts = IncidentFacts {
            kind: IncidentKind::Maintenance,
            title: "t".into(),
            impact: Impact::None,
            endpoints: vec![],
            starts_at: 100,
            ends_at,
        };
        let updates = vec![StatusUpdate { at: 1, status, text: String::new() }];
        StatusIncident { id: 1, facts, status, updates }
    }

    #[test]
    fn a_maintenance_begins_and_ends_by_the_clock() {
        let planned = maintenance(IncidentStatus::Scheduled, Some(200));
        let at = |now| by_the_clock(&planned, now);
        assert_eq!(
            [at(99), at(100), at(199), at(200)],
            [
                IncidentStatus::Scheduled,
                IncidentStatus::InProgress,
                IncidentStatus::InProgress,
                IncidentStatus::Completed
            ]
        );
        let ended = maintenance(IncidentStatus::Completed, Some(200));
        assert_eq!(by_the_clock(&ended, 150), IncidentStatus::Completed);
        for (ends_at, now) in [(None, 10_000), (Some(200), 50)] {
            let begun = maintenance(IncidentStatus::InProgress, ends_at);
            assert_eq!(by_the_clock(&begun, now), IncidentStatus::InProgress, "somebody has begun");
        }
    }
}
