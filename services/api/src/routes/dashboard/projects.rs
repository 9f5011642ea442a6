//! Projects beside each other: which of them an address asks for and in which period, their numbers, and
//! what they come to together.

use http::StatusCode;
use url::form_urlencoded;
use watchkeeper_analytics::{
    Bucket, Comparison, Condition, Dimension, Field, Metric, Panel, Question, Table, Value,
};
use watchkeeper_store::{DashboardSettings, Project, StoreError};

use super::{
    charts,
    filters::{BadFilter, Filters},
    format::{self, Change, Rise},
    overview::title,
    page::answer,
    panels::{BUCKETS, Scope},
    shell::{PageError, percent_encoded},
};
use crate::{
    Api, auth,
    period::{Period, PeriodError, Range},
};

/// Projects of one page.
pub(super) const PROJECTS: usize = 20;

/// Characters of a search that are looked at.
const SEARCH: usize = 200;

/// What is told of a project, in the order of its columns.
const NUMBERS: [Metric; 5] =
    [Metric::Hits, Metric::Users, Metric::ErrorRate, Metric::Duration(500), Metric::Duration(950)];

/// What an address asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub search: String,
    pub offset: usize,
    /// The projects to show, by name or number; without any, a page of all of them.
    pub chosen: Vec<String>,
    /// The period and the zone, as they stand in the address.
    when: Filters,
}

impl Wish {
    /// Reads an address; what it does not know it leaves out.
    ///
    /// # Errors
    /// Names the parameter that cannot be understood.
    pub fn parse(query: &str) -> Result<Self, BadFilter> {
        let mut wish = Self::default();
        let mut when = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "q" => wish.search = value.trim().chars().take(SEARCH).collect(),
                "offset" => {
                    wish.offset =
                        value.parse::<u32>().ok().and_then(|it| it.try_into().ok()).unwrap_or_default();
                }
                "project" => {
                    let named = value.trim();
                    if !named.is_empty() && !wish.chosen.iter().any(|it| it == named) {
                        wish.chosen.push(named.to_owned());
                    }
                }
                "period" | "from" | "to" | "zone" => {
                    when.append_pair(&name, &value);
                }
                _ => {}
            }
        }
        if wish.chosen.len() > PROJECTS {
            let message = format!("At most {PROJECTS} projects stand beside each other; take some away.");
            return Err(BadFilter { field: "project".into(), message });
        }
        wish.when = Filters::parse(&when.finish())?;
        Ok(wish)
    }

    /// Its address.
    pub fn href(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.kept()).extend_pairs(self.when.others(&[]));
        if self.offset > 0 {
            query.append_pair("offset", &self.offset.to_string());
        }
        let query = query.finish();
        if query.is_empty() { "/".into() } else { format!("/?{query}") }
    }

    /// The same from another project on.
    pub fn at(&self, offset: usize) -> String {
        Self { offset, ..self.clone() }.href()
    }

    /// The same in a named period.
    pub fn in_period(&self, period: &str) -> String {
        Self { when: self.when.in_period(period), ..self.clone() }.href()
    }

    /// All projects in the same period.
    pub fn of_all(&self) -> String {
        Self { when: self.when.clone(), ..Self::default() }.href()
    }

    /// Which projects are meant, for a form that chooses the period.
    pub fn kept(&self) -> Vec<(&'static str, &str)> {
        let chosen = self.chosen.iter().map(|named| ("project", named.as_str()));
        let search = Some(("q", self.search.as_str())).filter(|(_, search)| !search.is_empty());
        chosen.chain(search).collect()
    }

    /// The period, for a form that chooses projects.
    pub fn kept_period(&self) -> Vec<(&str, &str)> {
        self.when.others(&[])
    }

    /// The period in force: the last day unless the address has one.
    pub fn period(&self) -> Filters {
        let asked = self.when.get("period").or(self.when.get("from"));
        if asked.is_some() { self.when.clone() } else { self.when.in_period("24h") }
    }
}

/// The projects that an address asks for.
pub(super) struct Found {
    pub projects: Vec<Project>,
    /// How many a search finds, of which these are a page.
    pub all: usize,
    /// What nothing is called.
    pub missing: Vec<String>,
}

impl Found {
    /// Looks them up.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(api: &Api, wish: &Wish) -> Result<Self, PageError> {
        if wish.chosen.is_empty() {
            let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            let found = api.store.find_projects(&wish.search, number(wish.offset), number(PROJECTS)).await;
            let (projects, all) = found.map_err(store)?;
            return Ok(Self { projects, all: usize::try_from(all).unwrap_or_default(), missing: Vec::new() });
        }
        let mut found = Self { projects: Vec::new(), all: 0, missing: Vec::new() };
        for named in &wish.chosen {
            let project = auth::find(api, named)
                .await
                .map_err(|error| PageError::new(error.status, "Not available right now", error.message))?;
            match project {
                // By its name and by its number it is the same one.
                Some(project) if found.projects.iter().any(|it| it.id == project.id) => {}
                Some(project) => found.projects.push(project),
                None => found.missing.push(named.clone()),
            }
        }
        found.all = found.projects.len();
        Ok(found)
    }
}

/// Projects with their numbers over one period.
pub(super) struct Compared {
    pub period: Period,
    /// Bars of each trend.
    pub width: usize,
    pub rows: Vec<Row>,
    /// What they come to together; of one there is nothing to add.
    pub total: Option<Row>,
}

/// A project, or all of them, over the period.
pub(super) struct Row {
    pub name: String,
    /// What an address calls it.
    pub named: String,
    pub href: String,
    /// In the order of [`NUMBERS`].
    pub numbers: Vec<String>,
    pub change: Option<Change>,
    /// Bars of all requests and of errors.
    pub bars: String,
    pub errors: String,
    pub summary: String,
}

/// What was counted of a project.
struct Counted {
    table: Table,
    hits: f64,
    users: f64,
    /// Hits of a status of 400 and above, and of any.
    errors: f64,
    answered: f64,
    /// Hits of the period before, where there is one.
    before: Option<f64>,
    /// Hits and errors by bucket.
    bars: [Vec<f64>; 2],
}

/// Asks for the numbers of projects, each as its own page counts them.
///
/// # Errors
/// When the period cannot be understood, or a question not be answered.
pub(super) async fn compare(
    api: &Api,
    projects: &[Project],
    wish: &Wish,
    now: i64,
) -> Result<Compared, PageError> {
    let filters = wish.period();
    let bad = |error: PeriodError| mistake("from", error.to_string());
    let range = filters.range().map_err(bad)?;
    let mut first: Option<i64> = None;
    if range == Range::All {
        for project in projects {
            let hit = api.store.first_hit(project.id).await.map_err(store)?;
            first = first.into_iter().chain(hit).min();
        }
    }
    let period = range.at(now, &filters.zone(&DashboardSettings::default()), first).map_err(bad)?;
    let bucket = bucket(&period);
    let mut counted = Vec::new();
    for project in projects {
        let settings = api.store.dashboard_settings(project.id).await.map_err(store)?;
        let locked = Condition::default();
        let scope = Scope { filters: &filters, settings: &settings, locked, period: period.clone(), now };
        counted.push(count(api, project, &scope, bucket).await?);
    }
    let query = wish.when.query();
    let rows = projects.iter().zip(&counted).map(|(project, counted)| Row {
        href: format!("/p/{}{query}", percent_encoded(&named(project))),
        named: named(project),
        ..Row::new(title(project), counted, bucket, now)
    });
    Ok(Compared {
        width: counted.first().map_or(1, |it| it.bars[0].len()).max(1),
        rows: rows.collect(),
        total: (counted.len() > 1).then(|| total(&counted, bucket)),
        period,
    })
}

/// An address that cannot be understood.
pub(super) fn mistake(field: &str, message: impl Into<String>) -> PageError {
    let mut error = PageError::new(StatusCode::BAD_REQUEST, "That address has a mistake", message);
    error.field = Some(field.to_owned());
    error.back = Some("/".into());
    error
}

fn store(error: StoreError) -> PageError {
    PageError::store(&error)
}

/// What an address calls a project: its name, or else its number.
fn named(project: &Project) -> String {
    project.name.clone().unwrap_or_else(|| project.id.0.to_string())
}

/// The length of a trend's bars: some dozens of them.
fn bucket(period: &Period) -> Bucket {
    match period.to.saturating_sub(period.from) / 3_600_000 {
        ..=3 => Bucket::Seconds(300),
        4..=50 => Bucket::Hour,
        51..=192 => Bucket::Seconds(6 * 3_600),
        193..=2_400 => Bucket::Day,
        2_401..=9_600 => Bucket::Week,
        9_601..=70_000 => Bucket::Month,
        _ => Bucket::Year,
    }
}

/// How people say that something is of one bar.
fn each(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Seconds(300) => "in five minutes",
        Bucket::Seconds(_) => "in six hours",
        Bucket::Minute => "a minute",
        Bucket::Hour => "an hour",
        Bucket::Day => "a day",
        Bucket::Week => "a week",
        Bucket::Month => "a month",
        Bucket::Year => "a year",
    }
}

async fn count(
    api: &Api,
    project: &Project,
    scope: &Scope<'_>,
    bucket: Bucket,
) -> Result<Counted, PageError> {
    let known = Condition::Number { field: Field::Status, comparison: Comparison::AtLeast, value: 0.0 };
    let asked = scope
        .question()
        .panel(Panel::by([], NUMBERS))
        .panel(Panel::by([], [Metric::Errors]))
        .panel(Panel::by([], [Metric::Hits]).only(known))
        .panel(Panel::by([Dimension::Time(bucket)], [Metric::Hits, Metric::Errors]));
    let starts = asked.buckets(bucket, BUCKETS).unwrap_or_default();
    let tables = answer(api, project.id, &asked).await?.tables;
    let before = match scope.before() {
        Some((from, to)) => {
            let asked = Question { from, to, ..scope.question() }.panel(Panel::by([], [Metric::Hits]));
            answer(api, project.id, &asked).await?.tables.first().map(Table::number)
        }
        None => None,
    };
    let table = tables.first().cloned().unwrap_or_default();
    let number = |place: usize| tables.get(place).map(Table::number).unwrap_or_default();
    let mut bars = [vec![0.0; starts.len()], vec![0.0; starts.len()]];
    for row in tables.get(3).map(|table| table.rows.as_slice()).unwrap_or_default() {
        let start = row.key.first().and_then(Value::as_number);
        let Some(place) = start.and_then(|start| starts.binary_search(&start).ok()) else { continue };
        for (bars, value) in bars.iter_mut().zip(&row.metrics) {
            bars[place] = value.unwrap_or_default();
        }
    }
    Ok(Counted {
        hits: value(&table, Metric::Hits).unwrap_or_default(),
        users: value(&table, Metric::Users).unwrap_or_default(),
        errors: number(1),
        answered: number(2),
        before,
        bars,
        table,
    })
}

/// A number of a project.
fn value(table: &Table, metric: Metric) -> Option<f64> {
    let place = NUMBERS.iter().position(|it| *it == metric)?;
    table.rows.first()?.metrics.get(place).copied().flatten()
}

impl Row {
    fn new(name: String, counted: &Counted, bucket: Bucket, now: i64) -> Self {
        let told = |metric: Metric| format::told(&counted.table, metric, value(&counted.table, metric), now);
        Self {
            numbers: NUMBERS.into_iter().map(told).collect(),
            ..Self::drawn(name, &counted.bars, bucket, Some(counted.hits), counted.before)
        }
    }

    /// The trend and the change, without a number yet.
    fn drawn(
        name: String,
        bars: &[Vec<f64>; 2],
        bucket: Bucket,
        hits: Option<f64>,
        before: Option<f64>,
    ) -> Self {
        let most = bars[0].iter().copied().fold(0.0, f64::max);
        let [requests, errors] = [0, 1].map(|series: usize| {
            charts::stack(std::slice::from_ref(&bars[series]), most.max(1.0)).pop().unwrap_or_default()
        });
        Self {
            summary: format!("Requests of {name}, at most {} {}", format::count(most), each(bucket)),
            change: Change::between(before, hits, Rise::Neither),
            bars: requests,
            errors,
            named: String::new(),
            href: String::new(),
            numbers: Vec::new(),
            name,
        }
    }
}

/// What projects come to together. Who uses two of them is a user of each, and quantiles cannot be added.
fn total(counted: &[Counted], bucket: Bucket) -> Row {
    let sum = |of: fn(&Counted) -> f64| counted.iter().map(of).sum::<f64>();
    let (hits, answered) = (sum(|it| it.hits), sum(|it| it.answered));
    let mut bars =
        [0, 1].map(|series: usize| vec![0.0; counted.first().map_or(0, |it| it.bars[series].len())]);
    for (series, sums) in bars.iter_mut().enumerate() {
        for one in counted {
            sums.iter_mut().zip(&one.bars[series]).for_each(|(sum, it)| *sum += it);
        }
    }
    let before: Option<f64> = counted.iter().map(|it| it.before).sum();
    let estimated = counted.iter().any(|it| it.table.estimates(Metric::Users));
    let users = format::count(sum(|it| it.users));
    let rate = (answered > 0.0).then(|| sum(|it| it.errors) / answered);
    Row {
        numbers: vec![
            format::count(hits),
            if estimated { format!("≈ {users}") } else { users },
            rate.map_or_else(|| format::NOTHING.into(), format::percent),
            format::NOTHING.into(),
            format::NOTHING.into(),
        ],
        ..Row::drawn(format!("all {} together", counted.len()), &bars, bucket, Some(hits), before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Wish {
        Wish::parse(query).expect(query)
    }

    #[test]
    fn the_address_says_which_projects_are_shown_and_when() {
        let wish = parse("q=+a%26b+&offset=40&x=y&status=abc");
        assert_eq!((wish.search.as_str(), wish.offset), ("a&b", 40));
        assert_eq!([wish.at(20), wish.at(0)], ["/?q=a%26b&offset=20", "/?q=a%26b"]);
        assert_eq!(parse("offset=-1"), Wish::default());
        assert_eq!(Wish::default().at(0), "/");

        let some = parse("project=b&project=a+c&project=b&project=&period=30d&zone=Europe/Berlin");
        assert_eq!(some.chosen, ["b", "a c"]);
        let zone = "zone=Europe%2FBerlin";
        assert_eq!(some.href(), format!("/?project=b&project=a+c&period=30d&{zone}"));
        assert_eq!(some.in_period("7d"), format!("/?project=b&project=a+c&{zone}&period=7d"));
        assert_eq!(some.of_all(), format!("/?period=30d&{zone}"));
        assert_eq!(parse(some.href().trim_start_matches("/?")), some);
    }

    #[test]
    fn the_last_day_is_shown_unless_another_period_is_asked_for() {
        let range = |query: &str| parse(query).period().range().expect(query);
        assert_eq!(range(""), Range::Hours(24));
        assert_eq!(range("zone=Asia/Tokyo"), Range::Hours(24));
        assert_eq!(range("period=7d"), Range::Days(7));
        assert!(matches!(range("from=2026-01-01&to=2026-01-31"), Range::Between(..)));
    }

    #[test]
    fn what_cannot_be_understood_names_its_field() {
        for (query, field) in
            [("period=fortnight", "period"), ("zone=Mars", "zone"), ("from=2026-01-01", "from")]
        {
            assert_eq!(Wish::parse(query).expect_err(query).field, field, "{query}");
        }
        let many: String = (0..=PROJECTS).map(|number| format!("project=p{number}&")).collect();
        assert_eq!(Wish::parse(&many).expect_err("many").field, "project");
    }

    #[test]
    fn a_trend_has_some_dozens_of_bars() {
        for (range, bars) in
            [(Range::Hours(24), 24..=25), (Range::Days(7), 28..=28), (Range::Days(30), 30..=30)]
        {
            let period = range.at(1_700_000_000_000, &jiff::tz::TimeZone::UTC, None).expect("period");
            let starts = Question::new(period.from, period.to).buckets(bucket(&period), BUCKETS);
            assert!(starts.is_some_and(|starts| bars.contains(&starts.len())), "{range:?}");
        }
    }

    #[test]
    fn together_rates_are_of_all_answers_and_nothing_is_added_that_cannot_be() {
        let counted = |hits: f64, errors: f64, before| Counted {
            table: Table::default(),
            hits,
            users: 1.0,
            errors,
            answered: hits,
            before,
            bars: [vec![hits, 0.0], vec![errors, 0.0]],
        };
        let both = total(&[counted(90.0, 0.0, Some(40.0)), counted(10.0, 10.0, Some(10.0))], Bucket::Day);
        assert_eq!(both.numbers, ["100", "2", "10 %", "–", "–"]);
        assert_eq!(both.change.map(|change| change.text).as_deref(), Some("▲ 100 %"));
        assert!(both.summary.ends_with("at most 100 a day"), "{}", both.summary);
        let first = total(&[counted(1.0, 0.0, None), counted(1.0, 0.0, Some(1.0))], Bucket::Day);
        assert_eq!(first.change, None, "one of them has nothing to compare with");
    }
}
