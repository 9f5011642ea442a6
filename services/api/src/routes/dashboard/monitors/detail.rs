//! `/monitors/{id}`: one endpoint: its states over time, its response times, uptimes, outages,
//! certificate, notices, last checks and badges.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::HeaderMap;
use std::collections::HashMap;
use url::form_urlencoded;
use watchkeeper_store::{
    Bucket, DAY_MS, Endpoint, LastCheck, Outage, Phases, State as Measured, StoreError,
    alerts::{Notice, NoticeFilter, NoticeState},
    now_ms,
};

use super::{
    badges::WINDOWS,
    bars::{Bars, precise, unobserved},
    history::Share,
    list::{self, micros},
};
use crate::{
    Api,
    routes::dashboard::{
        access::{Keeper, Watcher, render},
        charts, format,
        forms::{Fields, check, done, token},
        notices::of_endpoint as all_notices,
        shares::absolute,
        shell::{PageError, Section, Shell},
        status::view::shows,
    },
    times::{rfc3339, spoken},
};

/// Periods: word in the address, name, days, buckets.
const PERIODS: [(&str, &str, i64, usize); 5] = [
    ("24h", "24 hours", 1, 96),
    ("7d", "7 days", 7, 84),
    ("30d", "30 days", 30, 90),
    ("90d", "90 days", 90, 90),
    ("1y", "1 year", 365, 73),
];

/// Checks and notices that are listed, and outages.
const CHECKS: usize = 25;
const NOTICES: i64 = 20;
const OUTAGES: usize = 30;

#[derive(Template)]
#[template(path = "dashboard/monitor.html")]
struct Page {
    shell: Shell,
    token: String,
    id: i64,
    name: String,
    state: &'static str,
    since: String,
    moment: String,
    error: Option<String>,
    facts: Vec<(&'static str, String)>,
    uptimes: Vec<Uptime>,
    periods: Vec<(&'static str, String, bool)>,
    period: &'static str,
    timeline: Bars,
    ends: (String, String),
    chart: Option<Chart>,
    outages: Vec<Trouble>,
    more_outages: usize,
    certificate: Option<Certificate>,
    notices: Vec<Told>,
    /// The page that has all of them, and tries dead letters again.
    all_notices: String,
    checks: Vec<Row>,
    phases: bool,
    /// Title and slug of every status page that shows it.
    pages: Vec<(String, String)>,
    public: bool,
    switched_on: bool,
    snippets: Vec<Snippet>,
}

/// Uptime of a window.
struct Uptime {
    name: &'static str,
    value: String,
    note: String,
    good: bool,
}

/// Response times over the period.
struct Chart {
    buckets: usize,
    top: String,
    spread: String,
    mean: String,
    ticks: Vec<(f64, String)>,
    summary: String,
    rows: Vec<(String, String, String, String, String)>,
}

struct Trouble {
    start: String,
    start_moment: String,
    length: String,
    going: bool,
    /// Whether nobody knows how it went on.
    lost: bool,
    checks: i64,
    errors: Vec<String>,
}

struct Certificate {
    when: String,
    left: String,
    soon: bool,
}

struct Told {
    when: String,
    moment: String,
    what: &'static str,
    channel: String,
    state: String,
    error: String,
}

/// One check.
struct Row {
    when: String,
    moment: String,
    verdict: &'static str,
    status: String,
    took: String,
    message: String,
    /// Where each phase begins, how long it is in percent of the slowest check, and what it is.
    phases: Vec<(f64, f64, &'static str)>,
    told: String,
}

struct Snippet {
    name: &'static str,
    image: String,
    markdown: String,
    shields: String,
}

fn store(error: StoreError) -> PageError {
    PageError::store(&error)
}

/// `GET /monitors/{id}?period=`
pub(in crate::routes::dashboard) async fn page(
    watcher: Watcher,
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let endpoint = id.parse().ok().and_then(|id| board.by_id(id)).ok_or_else(PageError::not_found)?;
    let now = now_ms();
    let query: HashMap<_, _> =
        form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()).into_owned().collect();
    let asked = query.get("period").map(String::as_str).unwrap_or_default();
    let period = PERIODS.into_iter().find(|(word, ..)| *word == asked).unwrap_or(PERIODS[0]);
    let (word, name, days, count) = period;
    let from = now - days * DAY_MS;
    let (project, number) = (endpoint.project, endpoint.id);

    let mut uptimes = Vec::new();
    for (_, name, days, _) in PERIODS {
        let found = api.store.availability(project, number, now - days * DAY_MS, now).await.map_err(store)?;
        uptimes.push(Uptime::new(name, since_made(Share::from(&found), now - days * DAY_MS, endpoint)));
    }
    let buckets = api.store.buckets(project, number, from, now, count).await.map_err(store)?;
    let outages = api.store.outages(project, number, from, now).await.map_err(store)?;
    let mut checks =
        api.store.checks_between(project, number, from, now + 1, CHECKS, true).await.map_err(store)?;
    // Stored checks are rounded; the last one is known exactly.
    let last = endpoint.status.last_check.as_ref();
    if let (Some(newest), Some(last)) = (checks.first_mut(), last)
        && newest.at == last.at
    {
        newest.clone_from(last);
    }
    let filter = NoticeFilter { endpoint: Some(endpoint.uid.clone()), ..NoticeFilter::default() };
    let notices = api.store.notices(&filter, NOTICES).await.map_err(store)?;
    let pages = api.store.status_pages().await.map_err(store)?;
    let pages: Vec<_> = pages.into_iter().filter(|page| shows(page, endpoint)).collect();
    let switched_on = api.store.badges().await.map_err(store)?.contains(&endpoint.uid);

    let shares: Vec<_> =
        buckets.iter().map(|it| since_made(Share::from(&it.availability), it.from, endpoint)).collect();
    let label = |ms: i64| {
        format::moment(ms, &jiff::tz::TimeZone::UTC, if days <= 7 { "%-d %b %H:%M" } else { "%-d %b" })
    };
    let status = &endpoint.status;
    let lost = match status.state {
        Measured::Suspended => Some(status.since),
        _ => endpoint.unobserved_since(now),
    };
    render(&Page {
        shell: Shell {
            refresh: Some(30),
            ..watcher.shell(Section::Monitors, endpoint.spec.display_name.clone())
        },
        token: if watcher.manages { token(&api, &headers, "/monitors").await? } else { String::new() },
        id: number,
        name: endpoint.spec.display_name.clone(),
        state: status.state.as_str(),
        since: spoken(now - status.since),
        moment: rfc3339(status.since),
        error: list::unobserved(endpoint, now).or_else(|| {
            last.filter(|check| !check.ok || check.degraded).and_then(|check| check.message.clone())
        }),
        facts: facts(endpoint, now),
        uptimes,
        periods: PERIODS
            .iter()
            .map(|(it, name, ..)| (*name, format!("/monitors/{number}?period={it}"), *it == word))
            .collect(),
        period: name,
        timeline: Bars::new(&shares, name, |place| {
            buckets.get(place).map_or_else(String::new, |it| label(it.from))
        }),
        ends: (format!("{} UTC", label(from)), "now".into()),
        chart: Chart::new(&buckets, label),
        more_outages: outages.len().saturating_sub(OUTAGES),
        outages: outages.iter().rev().take(OUTAGES).map(|it| Trouble::new(it, lost, now)).collect(),
        certificate: last.and_then(|check| check.certificate_expires_at).map(|at| Certificate::new(at, now)),
        notices: notices.iter().map(|notice| Told::new(notice, now)).collect(),
        all_notices: all_notices(&endpoint.uid),
        phases: checks.iter().any(|check| check.phases.is_some()),
        checks: rows(&checks, now),
        public: switched_on || !pages.is_empty(),
        pages: pages.into_iter().map(|page| (page.spec.title, page.slug)).collect(),
        switched_on,
        snippets: snippets(&headers, endpoint),
    })
}

/// `POST /monitors/{id}/badge`: switches its badges on or off.
pub(in crate::routes::dashboard) async fn switch_badge(
    _: Keeper,
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, "/monitors", &fields).await?;
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let endpoint = id.parse().ok().and_then(|id| board.by_id(id)).ok_or_else(PageError::not_found)?;
    api.store.set_badge(&endpoint.uid, fields.checked("public")).await.map_err(store)?;
    Ok(done(&format!("/monitors/{}#badges", endpoint.id)))
}

/// A span that began at `from`, without the time before its endpoint was made: that is nothing,
/// not unknown.
fn since_made(mut share: Share, from: i64, endpoint: &Endpoint) -> Share {
    let before = (endpoint.created_at - from).max(0);
    share.unknown = (share.unknown - before).max(0);
    share
}

fn facts(endpoint: &Endpoint, now: i64) -> Vec<(&'static str, String)> {
    let spec = &endpoint.spec;
    let mut facts = vec![("Probe", spec.probe.kind().to_owned())];
    let target = list::target(endpoint);
    if !target.is_empty() {
        facts.push(("Target", target));
    }
    let time = |time: std::time::Duration| format::duration(time.as_secs_f64() * 1_000.0);
    facts.push(("Every", format!("{}, within {}", time(spec.interval), time(spec.timeout))));
    if let Some(group) = &spec.group {
        facts.push(("Group", group.clone()));
    }
    if !spec.labels.is_empty() {
        let labels: Vec<_> = spec.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        facts.push(("Labels", labels.join(", ")));
    }
    if !spec.depends_on.is_empty() {
        facts.push(("Depends on", spec.depends_on.join(", ")));
    }
    if let Some(slo) = &spec.slo {
        let days = slo.window.as_secs() / 86_400;
        facts.push(("Objective", format!("{} % over {days} days", slo.target)));
    }
    let origin = match (endpoint.origin.as_str(), endpoint.namespace.as_str()) {
        (origin, "") => origin.to_owned(),
        (origin, namespace) => format!("{origin}, {namespace}/{}", endpoint.name),
    };
    facts.push(("Declared by", origin));
    facts.push(("Watched for", spoken(now - endpoint.created_at)));
    facts
}

impl Uptime {
    fn new(name: &'static str, share: Share) -> Self {
        Self {
            name,
            value: share.uptime().map_or_else(|| format::NOTHING.into(), precise),
            note: unobserved(&share),
            good: share.uptime().is_none_or(|uptime| uptime >= 0.999),
        }
    }
}

impl Chart {
    fn new(buckets: &[Bucket], label: impl Fn(i64) -> String) -> Option<Self> {
        let latencies: Vec<_> = buckets.iter().map(|bucket| bucket.availability.latency).collect();
        let slowest = latencies.iter().flatten().map(|it| it.p95).max()?;
        let top = charts::top(micros(slowest));
        let spread: Vec<_> =
            latencies.iter().map(|it| it.map(|it| (micros(it.p50), micros(it.p95)))).collect();
        let mean: Vec<_> = latencies.iter().map(|it| it.map(|it| micros(it.mean))).collect();
        let labels: Vec<_> = buckets.iter().map(|bucket| label(bucket.from)).collect();
        let time = |us: i64| format::duration(micros(us));
        let rows = buckets.iter().zip(&latencies).filter_map(|(bucket, latency)| {
            let it = latency.as_ref()?;
            Some((label(bucket.from), time(it.mean), time(it.p50), time(it.p95), time(it.max)))
        });
        Some(Self {
            buckets: buckets.len(),
            top: format::duration(top),
            spread: charts::ranges(&spread, top),
            mean: charts::line(&mean, top),
            ticks: charts::ticks(&labels, 6),
            summary: format!(
                "Response times over {} parts of the period, at most {} at p95",
                buckets.len(),
                time(slowest)
            ),
            rows: rows.collect(),
        })
    }
}

impl Trouble {
    /// `lost` is since when nobody observes the endpoint, where nobody does.
    fn new(outage: &Outage, lost: Option<i64>, now: i64) -> Self {
        let open = outage.end.is_none();
        Self {
            start: format::utc(outage.start),
            start_moment: rfc3339(outage.start),
            length: spoken(outage.end.or(lost).unwrap_or(now) - outage.start),
            going: open && lost.is_none(),
            lost: outage.lost || (open && lost.is_some()),
            checks: outage.checks,
            errors: outage.errors.clone(),
        }
    }
}

impl Certificate {
    fn new(at: i64, now: i64) -> Self {
        let left =
            if at > now { format!("in {}", spoken(at - now)) } else { format!("{} ago", spoken(now - at)) };
        Self { when: format::utc(at), left, soon: at - now < 21 * DAY_MS }
    }
}

impl Told {
    fn new(notice: &Notice, now: i64) -> Self {
        let at = notice.finished_at.unwrap_or(notice.created_at);
        Self {
            when: format::ago(now, at),
            moment: rfc3339(at),
            what: notice.kind.as_str(),
            channel: notice.channel.clone(),
            state: match notice.hold {
                Some(hold) if notice.state == NoticeState::Waiting => format!("held: {}", hold.as_str()),
                _ => notice.state.as_str().to_owned(),
            },
            error: notice.error.clone().filter(|_| notice.state != NoticeState::Sent).unwrap_or_default(),
        }
    }
}

fn rows(checks: &[LastCheck], now: i64) -> Vec<Row> {
    let slowest = checks.iter().map(|check| check.duration_us).max().unwrap_or(1).max(1);
    checks.iter().map(|check| row(check, slowest, now)).collect()
}

fn row(check: &LastCheck, slowest: i64, now: i64) -> Row {
    let mut phases = Vec::new();
    let mut told = Vec::new();
    let mut at = 0;
    for (us, css, name) in check.phases.as_ref().map(named).into_iter().flatten() {
        if us > 0 {
            phases.push((
                charts::width(micros(at), micros(slowest)),
                charts::width(micros(us), micros(slowest)),
                css,
            ));
            told.push(format!("{name} {}", format::duration(micros(us))));
            at += us;
        }
    }
    Row {
        when: format::ago(now, check.at),
        moment: rfc3339(check.at),
        verdict: match (check.ok, check.degraded) {
            (true, false) => "Up",
            (true, true) => "Degraded",
            (false, _) => "Down",
        },
        status: check.status.map_or_else(|| format::NOTHING.into(), |status| status.to_string()),
        took: format::duration(micros(check.duration_us)),
        message: check.message.clone().unwrap_or_default(),
        phases,
        told: told.join(", "),
    }
}

/// The phases of a check with their class and name.
fn named(phases: &Phases) -> [(i64, &'static str, &'static str); 5] {
    [
        (phases.resolve_us, "ph-resolve", "resolve"),
        (phases.connect_us, "ph-connect", "connect"),
        (phases.tls_us, "ph-tls", "TLS"),
        (phases.processing_us, "ph-processing", "processing"),
        (phases.transfer_us, "ph-transfer", "transfer"),
    ]
}

fn snippets(headers: &HeaderMap, endpoint: &Endpoint) -> Vec<Snippet> {
    let name = endpoint.spec.display_name.replace(['[', ']', '\n'], " ");
    let badge = |what: &'static str, file: &str, query: &str| {
        let image = absolute(headers, &format!("/badges/{}/{file}.svg{query}", endpoint.id));
        let json = absolute(headers, &format!("/badges/{}/{file}.json{query}", endpoint.id));
        let json: String = form_urlencoded::byte_serialize(json.as_bytes()).collect();
        Snippet {
            name: what,
            markdown: format!("![{name}: {what}]({image})"),
            shields: format!("https://img.shields.io/endpoint?url={json}"),
            image: format!("/badges/{}/{file}.svg{query}", endpoint.id),
        }
    };
    let mut snippets = vec![badge("state", "state", "")];
    let names = ["uptime over 24 h", "uptime over 7 d", "uptime over 30 d"];
    for (name, (window, _)) in names.into_iter().zip(WINDOWS) {
        snippets.push(badge(name, "uptime", &format!("?window={window}")));
    }
    snippets.push(badge("response time", "latency", ""));
    snippets
}
