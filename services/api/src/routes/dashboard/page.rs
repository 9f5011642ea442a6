//! A project's page.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::StatusCode;
use watchkeeper_analytics::{Answer, AskError, Condition, Metric, Panel, Question};
use watchkeeper_store::{ProjectId, now_ms};

use super::{
    access::{Look, render},
    activity::{Activity, activity},
    charts,
    filters::{Chip, Filters, PERIODS, WEEKDAYS},
    format::{self, Change, Rise},
    lists::{Head, Links, List, RowChart, Tab, sparks},
    panels::{self, EDGES, Panels, Scope, Shown, TOTALS, listing},
    shell::{PageError, Shell},
};
use crate::Api;

/// The tabs of the card of agents, and of the card of traffic: listing and name.
const AGENTS: &[(&str, &str)] = &[("clients", "Clients"), ("systems", "Systems"), ("devices", "Devices")];
const TRAFFIC: &[(&str, &str)] =
    &[("hosts", "Hosts"), ("versions", "Versions"), ("methods", "Methods"), ("frameworks", "Frameworks")];

#[derive(Template)]
#[template(path = "dashboard/page.html")]
struct Page {
    shell: Shell,
    bar: Bar,
    tiles: Vec<Tile>,
    activity: Activity,
    spread: Spread,
    usage: Usage,
    endpoints: List,
    routes: List,
    errors: List,
    locations: List,
    agents: List,
    traffic: List,
    referrers: List,
    users: Option<List>,
    /// Every request of the period, one by one, and as a file for whoever may have it.
    requests: String,
    export: Option<String>,
    empty: bool,
}

/// What chooses the hits.
pub(super) struct Bar {
    pub base: String,
    pub periods: Vec<Tab>,
    /// What is shown, in words.
    pub range: String,
    pub from: String,
    pub to: String,
    pub zone: String,
    pub chips: Vec<(Chip, String)>,
    pub locked: Vec<Chip>,
    pub clear: Option<String>,
    /// Toggles: name, whether it is on, link to the opposite.
    pub toggles: Vec<(&'static str, bool, String)>,
    /// For the forms: what they keep of the URL.
    pub kept_by_range: Vec<(String, String)>,
    pub kept_by_filter: Vec<(String, String)>,
    pub is_custom: bool,
}

struct Tile {
    name: &'static str,
    value: String,
    exact: String,
    note: String,
    change: Option<Change>,
}

/// The distribution of response times.
struct Spread {
    bars: Vec<(f64, String)>,
    labels: Vec<(f64, String)>,
    facts: Vec<(&'static str, String)>,
    rows: Vec<(String, String, String)>,
    csv: String,
}

/// When requests come.
struct Usage {
    /// Column, row, strength, title.
    cells: Vec<(usize, usize, u8, String)>,
    hours: Vec<Mark24>,
    days: Vec<Mark24>,
    csv: String,
}

/// An hour or a day that filters.
struct Mark24 {
    text: String,
    long: String,
    count: String,
    href: String,
    active: bool,
}

/// `GET /p/{project}` and `GET /s/{share}`.
pub(super) async fn page(
    look: Look,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let filters = look.filters(query.as_deref())?;
    let scope = scope(&api, &look, &filters).await?;
    let tab = |parameter: &str, tabs: &[(&'static str, &str)]| {
        let wanted = filters.get(parameter);
        tabs.iter().find(|(id, _)| wanted == Some(id)).unwrap_or(&tabs[0]).0
    };
    let (agents, traffic) = (tab("agents", AGENTS), tab("traffic", TRAFFIC));
    let mut wanted = vec![
        ("endpoints", 10),
        ("routes", 8),
        ("errors", 8),
        ("locations", 8),
        (agents, 8),
        (traffic, 8),
        ("referrers", 8),
    ];
    if look.people {
        wanted.push(("users", 10));
    }
    let shown: Shown = wanted.iter().filter_map(|(id, rows)| Some((listing(id)?, *rows))).collect();
    let before = match scope.before() {
        Some((from, to)) => {
            let totals = Question { from, to, ..scope.question() }.panel(Panel::by([], TOTALS));
            ask(&api, &look, &totals).await?.tables.into_iter().next()
        }
        None => None,
    };
    let before = before.and_then(|table| table.rows.into_iter().next()).map(|row| row.metrics);
    let annotations = api.store.annotations(look.project.id, scope.period.from, scope.period.to).await;
    let annotations = annotations.map_err(|error| PageError::store(&error))?;
    let panels = fill(&api, &look, &scope, &shown).await?;
    let links = Links { base: &look.base, scope: &scope };
    let list = |id: &'static str| match (listing(id), panels.list(id)) {
        (Some(listing), Some(table)) => links.list(listing, table),
        (Some(listing), None) => links.too_long(listing),
        (None, _) => List::default(),
    };
    let with_tabs = |id, parameter: &str, card: &'static str, title, tabs: &[(&str, &'static str)]| List {
        tabs: links.tabs(parameter, card, tabs),
        title,
        ..list(id)
    };
    let totals = panels.totals();
    let page = Page {
        shell: look.shell(&look.title),
        bar: bar(&look, &scope, &links),
        tiles: tiles(&panels, before.as_deref(), &scope),
        activity: activity(&panels, &scope, &links, &annotations),
        spread: spread(&panels, &totals, &links),
        usage: usage(&panels, &links),
        endpoints: List { tabs: links.outcomes(), ..list("endpoints") },
        routes: List { chart: Some("p50, p95 and p99"), ..list("routes") },
        errors: errors(list("errors"), &panels, &scope),
        locations: list("locations"),
        agents: with_tabs(agents, "agents", "agents", "Agents", AGENTS),
        traffic: with_tabs(traffic, "traffic", "traffic", "Traffic", TRAFFIC),
        referrers: list("referrers"),
        users: look.people.then(|| list("users")),
        requests: format!("{}/requests{}", look.base, filters.query()),
        export: look.manages.then(|| format!("{}/requests.csv{}", look.base, filters.query())),
        empty: totals.first().copied().flatten().unwrap_or_default() == 0.0,
    };
    render(&page)
}

/// Asks for all of a page at once. Where that is too much, listings are asked for one by one, so that one
/// that is too long to be counted takes nothing but itself from the page.
async fn fill(api: &Api, look: &Look, scope: &Scope<'_>, shown: &Shown) -> Result<Panels, PageError> {
    let too_much = |error: &PageError| error.status == StatusCode::UNPROCESSABLE_ENTITY;
    let ((question, places), parts) = (panels::page(scope), panels::parts(scope, shown));
    let mut all = question.clone();
    all.panels.extend(parts.iter().map(|(_, panel)| panel.clone()));
    match ask(api, look, &all).await {
        Ok(Answer { mut tables }) => {
            let of_parts = tables.split_off(question.panels.len().min(tables.len()));
            let mut panels = Panels::new(tables, places);
            parts.iter().zip(of_parts).for_each(|((part, _), table)| panels.add(*part, table));
            return Ok(panels);
        }
        Err(error) if too_much(&error) => {}
        Err(error) => return Err(error),
    }
    let mut panels = Panels::new(ask(api, look, &question).await?.tables, places);
    for (part, panel) in parts {
        match ask(api, look, &scope.question().panel(panel)).await {
            Ok(answer) => answer.tables.into_iter().for_each(|table| panels.add(part, table)),
            Err(error) if too_much(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(panels)
}

/// The range and the rest of what a page is asked within.
pub(super) async fn scope<'a>(
    api: &Api,
    look: &'a Look,
    filters: &'a Filters,
) -> Result<Scope<'a>, PageError> {
    let bad = |error: crate::period::PeriodError| {
        let mut bad =
            PageError::new(StatusCode::BAD_REQUEST, "That address has a mistake", error.to_string());
        bad.back = Some(look.base.clone());
        bad
    };
    let now = now_ms();
    let range = filters.range().map_err(bad)?;
    let first = match range {
        crate::period::Range::All => {
            api.store.first_hit(look.project.id).await.map_err(|error| PageError::store(&error))?
        }
        _ => None,
    };
    let period = range.at(now, &filters.zone(&look.settings), first).map_err(bad)?;
    Ok(Scope { filters, settings: &look.settings, locked: look.condition(), period, now })
}

/// Asks about a reader's project, and says in words what cannot be answered.
pub(super) async fn ask(api: &Api, look: &Look, question: &Question) -> Result<Answer, PageError> {
    answer(api, look.project.id, question).await.map_err(|mut error| {
        error.back = Some(look.base.clone());
        error
    })
}

/// Asks about any project.
pub(super) async fn answer(api: &Api, project: ProjectId, question: &Question) -> Result<Answer, PageError> {
    let _room = api.rooms.enter(project).await.map_err(|error| {
        PageError::new(StatusCode::SERVICE_UNAVAILABLE, "Not available right now", error.to_string())
    })?;
    api.analytics.ask(project, question).await.map_err(|error| match error {
        AskError::Question(message) => {
            PageError::new(StatusCode::UNPROCESSABLE_ENTITY, "That is too much for one page", message)
        }
        AskError::Store(error) => PageError::store(&error),
    })
}

pub(super) fn bar(look: &Look, scope: &Scope<'_>, links: &Links<'_>) -> Bar {
    let (filters, period) = (scope.filters, &scope.period);
    let custom = filters.get("from").is_some();
    let current = filters.get("period").unwrap_or("7d");
    let periods = PERIODS.iter().map(|(id, text)| Tab {
        text,
        href: links.to(&filters.in_period(id)),
        current: !custom && *id == current,
    });
    let owned = |names: &[&str]| {
        filters.others(names).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let chips = filters.chips();
    let flip = |name: &str, on: bool| links.to(&filters.set(name, Some(if on { "0" } else { "1" })));
    let (bots, found) = (!filters.hides_bots(scope.settings), !filters.hides_not_found(scope.settings));
    let mut toggles = vec![
        ("Bots", bots, flip("bots", bots)),
        ("404s", found, flip("notfound", found)),
        ("Query strings", filters.splits_queries(), flip("query-strings", filters.splits_queries())),
    ];
    if !look.people {
        // What a query holds is a person's own.
        toggles.pop();
    }
    Bar {
        base: look.base.clone(),
        periods: periods.collect(),
        range: format::range(period.from, period.to, &period.zone),
        from: format::moment(period.from, &period.zone, "%Y-%m-%d"),
        to: format::moment((period.to.min(scope.now) - 1).max(period.from), &period.zone, "%Y-%m-%d"),
        zone: period.zone.iana_name().unwrap_or("UTC").to_owned(),
        clear: (chips.len() > 1).then(|| links.to(&filters.cleared())),
        chips: chips
            .into_iter()
            .map(|chip| {
                let without = links.to(&filters.without(&chip.name, &chip.raw));
                (chip, without)
            })
            .collect(),
        locked: look.locked.chips(),
        toggles,
        kept_by_range: owned(&["period", "from", "to", "zone"]),
        kept_by_filter: owned(&[]),
        is_custom: custom,
    }
}

fn tiles(panels: &Panels, before: Option<&[Option<f64>]>, scope: &Scope<'_>) -> Vec<Tile> {
    let (table, totals) = (panels.all(), panels.totals());
    #[allow(clippy::cast_precision_loss)] // hours of a range
    let hours = (scope.now.min(scope.period.to) - scope.period.from).max(1) as f64 / 3_600_000.0;
    let place = |metric: Metric| TOTALS.iter().position(|it| *it == metric).unwrap_or_default();
    let value = |metric| totals.get(place(metric)).copied().flatten();
    let hits = value(Metric::Hits).unwrap_or_default();
    let tile = |name, metric: Metric, rise, note: String| {
        let value = value(metric);
        let earlier = before.and_then(|before| before.get(place(metric)).copied().flatten());
        let exact = format::metric(metric, value, scope.now);
        let counts = matches!(metric, Metric::Hits | Metric::Users | Metric::Errors);
        let text = value.filter(|_| counts).map_or_else(|| exact.clone(), format::compact);
        let [shown, exact] = [text, exact].map(|text| format::estimated(table, metric, text));
        Tile { name, value: shown, exact, note, change: Change::between(earlier, value, rise) }
    };
    let mut rate = format!("{} an hour", format::compact((hits / hours * 10.0).round() / 10.0));
    if hits / hours < 10.0 {
        rate = format!("{} a day", format::compact((hits / hours * 24.0).round()));
    }
    let each = value(Metric::Users).filter(|users| *users > 0.0);
    let each = each
        .map_or(String::new(), |users| format!("{} requests each", format::compact((hits / users).round())));
    let errors = value(Metric::Errors).unwrap_or_default();
    let share = if hits > 0.0 { format!("{} of all", format::percent(errors / hits)) } else { String::new() };
    let p75 =
        value(Metric::Duration(750)).map_or(String::new(), |ms| format!("p75 {}", format::duration(ms)));
    let p99 =
        value(Metric::Duration(990)).map_or(String::new(), |ms| format!("p99 {}", format::duration(ms)));
    vec![
        tile("Requests", Metric::Hits, Rise::Neither, rate),
        tile("Users", Metric::Users, Rise::Good, each),
        tile("Success rate", Metric::SuccessRate, Rise::Good, String::from("2xx and 3xx")),
        tile("Errors", Metric::Errors, Rise::Bad, share),
        tile("Median time", Metric::Duration(500), Rise::Bad, p75),
        tile("95th percentile", Metric::Duration(950), Rise::Bad, p99),
    ]
}

fn spread(panels: &Panels, totals: &[Option<f64>], links: &Links<'_>) -> Spread {
    let counts = panels.classes();
    let most = counts.iter().copied().fold(0.0, f64::max);
    let all: f64 = counts.iter().sum();
    #[allow(clippy::cast_precision_loss)] // a dozen classes
    let step = 100.0 / EDGES.len() as f64;
    let name = |index: usize| match (EDGES[index], EDGES.get(index + 1)) {
        (low, None) => format!("{} and more", format::duration(low)),
        (_, Some(high)) if index == 0 => format!("under {}", format::duration(*high)),
        (low, Some(high)) => format!("{} to {}", format::duration(low), format::duration(*high)),
    };
    let share = |count: f64| if all > 0.0 { format::percent(count / all) } else { format::NOTHING.into() };
    #[allow(clippy::cast_precision_loss)] // a dozen classes
    let left = |index: usize| (index as f64 * step * 100.0).round() / 100.0;
    let bars = counts.iter().enumerate().map(|(index, count)| {
        let title = format!("{}: {} requests, {}", name(index), format::count(*count), share(*count));
        (charts::width(*count, most), title)
    });
    let labels = [(1, "1 ms"), (4, "10 ms"), (7, "100 ms"), (10, "1 s"), (13, "10 s")];
    let fact = |name, metric: Metric| {
        let place = TOTALS.iter().position(|it| *it == metric).unwrap_or_default();
        (name, totals.get(place).copied().flatten().map_or(format::NOTHING.into(), format::duration))
    };
    Spread {
        bars: bars.collect(),
        labels: labels.iter().map(|(index, text)| (left(*index), (*text).to_owned())).collect(),
        facts: vec![
            fact("Lower quartile", Metric::Duration(250)),
            fact("Median", Metric::Duration(500)),
            fact("Upper quartile", Metric::Duration(750)),
            fact("p95", Metric::Duration(950)),
            fact("p99", Metric::Duration(990)),
            fact("Mean", Metric::MeanDuration),
        ],
        rows: counts
            .iter()
            .enumerate()
            .map(|(index, count)| (name(index), format::count(*count), share(*count)))
            .collect(),
        csv: format!("{}/table/response-times.csv{}", links.base, links.scope.filters.query()),
    }
}

fn usage(panels: &Panels, links: &Links<'_>) -> Usage {
    let mut counts = [[0.0; 24]; 7];
    for row in &panels.heat().rows {
        let number = |index: usize| row.key.get(index).and_then(watchkeeper_analytics::Value::as_number);
        if let (Some(day @ 1..=7), Some(hour @ 0..=23)) = (number(0), number(1)) {
            let (day, hour) =
                (usize::try_from(day - 1).unwrap_or_default(), usize::try_from(hour).unwrap_or_default());
            counts[day][hour] = row.metrics.first().copied().flatten().unwrap_or_default();
        }
    }
    let most = counts.iter().flatten().copied().fold(0.0, f64::max);
    // Monday first in the page, Sunday first in the URL.
    let day_name = |day: usize| WEEKDAYS[(day + 1) % 7];
    let cells = (0..7).flat_map(|day| (0..24).map(move |hour| (day, hour))).map(|(day, hour)| {
        let count = counts[day][hour];
        let title = format!("{} {hour:02}:00: {} requests", day_name(day), format::count(count));
        (hour, day, charts::strength(count, most), title)
    });
    let filters = links.scope.filters;
    let mark = |name: &str, value: String, text: String, long: String, count: f64| Mark24 {
        text,
        long,
        count: format::count(count),
        href: format!("{}#usage", links.to(&filters.toggled(name, &value))),
        active: filters.has(name, &value),
    };
    let hours: Vec<f64> = (0..24).map(|hour| counts.iter().map(|day| day[hour]).sum()).collect();
    let days: Vec<f64> = counts.iter().map(|day| day.iter().sum()).collect();
    Usage {
        cells: cells.collect(),
        hours: hours
            .iter()
            .enumerate()
            .map(|(hour, count)| {
                let long = format!("{hour:02}:00 to {:02}:00", (hour + 1) % 24);
                mark("hour", hour.to_string(), format!("{hour:02}"), long, *count)
            })
            .collect(),
        days: days
            .iter()
            .enumerate()
            .map(|(day, count)| {
                let name = day_name(day);
                mark("weekday", ((day + 1) % 7).to_string(), name[..3].to_owned(), name.to_owned(), *count)
            })
            .collect(),
        csv: format!("{}/table/hours.csv{}", links.base, filters.query()),
    }
}

fn errors(mut list: List, panels: &Panels, scope: &Scope<'_>) -> List {
    let starts = {
        let question = Question { condition: Condition::default(), ..scope.question() };
        question.buckets(scope.spark(), panels::BUCKETS).unwrap_or_default()
    };
    let sparks = sparks(panels.trend(), &starts);
    let place = TOTALS.iter().position(|it| *it == Metric::Errors).unwrap_or_default();
    let all = panels.totals().get(place).copied().flatten().filter(|all| *all > 0.0);
    list.heads.insert(1, Head { text: "Share".into(), href: None, current: false });
    let answers = panels.list("errors").map(|table| table.rows.as_slice()).unwrap_or_default();
    for (row, answer) in list.rows.iter_mut().zip(answers) {
        let path = sparks.get(&answer.key).cloned().unwrap_or_default();
        row.chart = RowChart::Spark(path, starts.len().max(1));
        let share = answer.metrics.first().copied().flatten().zip(all).map(|(hits, all)| hits / all);
        row.numbers.insert(1, share.map_or_else(|| format::NOTHING.into(), format::percent));
    }
    list.chart = Some("Trend");
    list
}
