//! What a page asks: listings by their names, and the question of all its panels.

use std::sync::LazyLock;

use watchkeeper_analytics::{
    Bucket, Column, Comparison, Condition, Dimension, Field, Metric, Order, Panel, Question, Table,
};
use watchkeeper_store::DashboardSettings;

use super::filters::Filters;
use crate::period::Period;

/// Buckets of a chart at most.
pub(super) const BUCKETS: usize = 500;

/// Buckets of an error group's sparkline.
const SPARK: i64 = 24;

/// A table that the page shows the head of, and that a page and a CSV of its own show whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
    /// In URLs and names of files.
    pub id: &'static str,
    /// Above the table.
    pub title: &'static str,
    pub dimensions: &'static [Dimension],
    pub metrics: &'static [Metric],
    pub only: Only,
    /// Whether it tells of persons.
    pub people: bool,
}

/// Hits that a listing is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Only {
    All,
    /// Of a status of 400 and above.
    Errors,
    /// Of known duration.
    Timed,
    /// Of known value of the first dimension.
    Known,
}

use Metric::{Duration, Errors, Hits, LastSeen, MeanDuration, SuccessRate, Users};

const SPLIT: &[Metric] = &[Hits, Users, SuccessRate, Duration(500)];

const fn split(id: &'static str, title: &'static str, dimensions: &'static [Dimension]) -> Listing {
    Listing { id, title, dimensions, metrics: SPLIT, only: Only::All, people: false }
}

/// Every listing but the one by time.
pub(super) const LISTINGS: &[Listing] = &[
    Listing {
        id: "endpoints",
        title: "Endpoints",
        dimensions: &[Dimension::Method, Dimension::Path, Dimension::Status],
        metrics: &[Hits, Users, Duration(500)],
        only: Only::All,
        people: false,
    },
    Listing {
        id: "routes",
        title: "Latency by route",
        dimensions: &[Dimension::Method, Dimension::Route],
        metrics: &[Hits, Duration(500), Duration(950), Duration(990)],
        only: Only::Timed,
        people: false,
    },
    Listing {
        id: "errors",
        title: "Errors",
        dimensions: &[Dimension::Status, Dimension::Method, Dimension::Route],
        metrics: &[Hits, Users, LastSeen],
        only: Only::Errors,
        people: false,
    },
    split("hosts", "Hosts", &[Dimension::Host]),
    Listing { only: Only::Known, ..split("versions", "Versions", &[Dimension::Version]) },
    split("methods", "Methods", &[Dimension::Method]),
    split("frameworks", "Frameworks", &[Dimension::Framework]),
    split("locations", "Locations", &[Dimension::Country]),
    split("clients", "Clients", &[Dimension::Client]),
    split("systems", "Systems", &[Dimension::Os]),
    split("devices", "Devices", &[Dimension::Device]),
    Listing { only: Only::Known, ..split("referrers", "Referrers", &[Dimension::ReferrerHost]) },
    Listing {
        id: "users",
        title: "Top users",
        dimensions: &[Dimension::Ip, Dimension::User, Dimension::Country],
        metrics: &[Hits, Errors, LastSeen],
        only: Only::All,
        people: true,
    },
    split("hours", "Hours of the day", &[Dimension::HourOfDay]),
    split("weekdays", "Days of the week", &[Dimension::Weekday]),
];

/// Columns of the listing by time.
pub(super) const ACTIVITY: &[Metric] =
    &[Hits, Users, Errors, SuccessRate, MeanDuration, Duration(500), Duration(950)];

/// The listing of this name.
pub(super) fn listing(id: &str) -> Option<&'static Listing> {
    LISTINGS.iter().find(|listing| listing.id == id)
}

/// Outcomes that the endpoints can be told apart by: parameter, name, class of status.
pub(super) const OUTCOMES: &[(&str, &str, Option<&str>)] = &[
    ("all", "All", None),
    ("success", "Success", Some("2xx")),
    ("redirect", "Redirect", Some("3xx")),
    ("client", "Client", Some("4xx")),
    ("server", "Server", Some("5xx")),
];

/// Edges of the distribution of response times, milliseconds; the last class has no end.
pub(super) const EDGES: &[f64] =
    &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0];

/// Orders of the latency listing: parameter and metric.
pub(super) const SORTS: &[(&str, Metric)] =
    &[("hits", Hits), ("p50", Duration(500)), ("p95", Duration(950)), ("p99", Duration(990))];

/// Numbers of the whole page, in the order of its tiles.
pub(super) const TOTALS: &[Metric] = &[
    Hits,
    Users,
    SuccessRate,
    Errors,
    Duration(250),
    Duration(500),
    Duration(750),
    Duration(950),
    Duration(990),
    MeanDuration,
    Metric::ResponseBytes,
];

/// What stands fixed when a page is asked for.
pub(super) struct Scope<'a> {
    pub filters: &'a Filters,
    pub settings: &'a DashboardSettings,
    /// What a share does not let its reader out of.
    pub locked: Condition,
    pub period: Period,
    /// The present, UTC milliseconds.
    pub now: i64,
}

impl Scope<'_> {
    /// Which hits the page is about.
    pub fn condition(&self) -> Condition {
        match &self.locked {
            Condition::All(none) if none.is_empty() => self.filters.condition(self.settings),
            locked => Condition::All(vec![locked.clone(), self.filters.condition(self.settings)]),
        }
    }

    /// A question about the page's hits, without a panel yet.
    pub fn question(&self) -> Question {
        let mut question = Question::new(self.period.from, self.period.to);
        question.zone = self.period.zone.clone();
        question.condition = self.condition();
        question
    }

    /// The period before, as long as what has passed of this one; none before the first hit.
    pub fn before(&self) -> Option<(i64, i64)> {
        if self.filters.range().ok()? == crate::period::Range::All {
            return None;
        }
        let before = self.period.before().ok()?;
        let passed = (self.now.min(self.period.to) - self.period.from).max(0);
        Some((before.from, before.to.min(before.from.saturating_add(passed))))
    }

    /// Length of a chart's buckets: upstream's steps, with finer ones for short ranges.
    pub fn bucket(&self) -> Bucket {
        const HOUR: i64 = 3_600_000;
        match self.period.to.saturating_sub(self.period.from) / HOUR {
            ..=3 => Bucket::Minute,
            4..=12 => Bucket::Seconds(300),
            13..=50 => Bucket::Seconds(900),
            51..=192 => Bucket::Hour,
            193..=1_000 => Bucket::Seconds(6 * 3_600),
            1_001..=9_600 => Bucket::Day,
            9_601..=70_000 => Bucket::Week,
            70_001..=350_000 => Bucket::Month,
            _ => Bucket::Year,
        }
    }

    /// The starts of a chart's buckets. Of centuries on end they are the last that have begun.
    pub fn starts(&self) -> Vec<i64> {
        const YEAR: i64 = 365 * watchkeeper_store::DAY_MS;
        let (question, bucket) = (self.question(), self.bucket());
        question.buckets(bucket, BUCKETS).unwrap_or_else(|| {
            let to = question.to.min(self.now + 1);
            let years = i64::try_from(BUCKETS).unwrap_or_default() - 2;
            let from = question.from.max(to - years * YEAR);
            Question { from, to, ..question }.buckets(bucket, BUCKETS).unwrap_or_default()
        })
    }

    /// The columns of a listing, as this URL wants them.
    pub fn dimensions(&self, listing: &Listing) -> Vec<Dimension> {
        let mut dimensions = listing.dimensions.to_vec();
        if listing.id == "endpoints" && self.filters.splits_queries() {
            dimensions.push(Dimension::Query);
        }
        dimensions
    }

    /// A panel of a listing, in the order and the tab that this URL wants.
    pub fn panel(&self, listing: &Listing) -> Panel {
        let dimensions = self.dimensions(listing);
        let mut only = match listing.only {
            Only::All => Condition::default(),
            Only::Errors => number(Field::Status, Comparison::AtLeast, 400.0),
            Only::Timed => number(Field::Duration, Comparison::AtLeast, 0.0),
            Only::Known => Condition::is_unknown(dimensions[0]).negate(),
        };
        if listing.id == "endpoints" {
            let tab = self.filters.get("endpoints");
            let class = OUTCOMES.iter().find(|(id, ..)| tab == Some(id)).and_then(|(.., class)| *class);
            if let Some(class) = class {
                only = only.and(Condition::is(Dimension::StatusClass, class));
            }
        }
        let mut panel = Panel::by(dimensions, listing.metrics).only(only);
        if listing.id == "routes"
            && let Some((_, metric)) = SORTS.iter().find(|(id, _)| self.filters.get("sort") == Some(id))
            && let Some(column) = listing.metrics.iter().position(|it| it == metric)
        {
            panel.order = vec![Order { by: Column::Metric(column), descending: true }];
        }
        if matches!(listing.id, "hours" | "weekdays") {
            panel.order = vec![Order { by: Column::Dimension(0), descending: false }];
        }
        panel
    }

    /// The panel of the listing by time.
    pub fn activity(&self) -> Panel {
        Panel::by([Dimension::Time(self.bucket())], ACTIVITY)
    }

    /// Length of a sparkline's buckets.
    pub fn spark(&self) -> Bucket {
        let length = (self.period.to - self.period.from).max(1) / 1_000 / SPARK;
        Bucket::Seconds(u32::try_from(length).unwrap_or(u32::MAX).max(1))
    }
}

fn number(field: Field, comparison: Comparison, value: f64) -> Condition {
    Condition::Number { field, comparison, value }
}

/// One panel a class of response times.
pub(super) fn classes() -> impl Iterator<Item = Panel> {
    EDGES.iter().enumerate().map(|(index, low)| {
        let from = number(Field::Duration, Comparison::AtLeast, *low);
        let within = match EDGES.get(index + 1) {
            Some(high) => from.and(number(Field::Duration, Comparison::Less, *high)),
            None => from,
        };
        Panel::by([], [Hits]).only(within)
    })
}

/// Where each panel of every page stands in its question.
#[derive(Debug, Default)]
pub(super) struct Places {
    activity: usize,
    server_errors: usize,
    classes: usize,
    heat: usize,
}

/// The listings of a page: which, and how many rows of each.
pub(super) type Shown = Vec<(&'static Listing, usize)>;

/// A panel that is as long as hits have values, which may be too long to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The rows of a listing.
    List(&'static str),
    /// The course of the errors.
    Trend,
}

/// The question of what every page has.
pub(super) fn page(scope: &Scope<'_>) -> (Question, Places) {
    let mut question = scope.question().panel(Panel::by([], TOTALS));
    let mut add = |panel: Panel| {
        question.panels.push(panel);
        question.panels.len() - 1
    };
    let mut places = Places {
        activity: add(scope.activity()),
        server_errors: add(Panel::by([Dimension::Time(scope.bucket())], [Hits]).only(number(
            Field::Status,
            Comparison::AtLeast,
            500.0,
        ))),
        heat: add(Panel::by([Dimension::Weekday, Dimension::HourOfDay], [Hits])),
        ..Places::default()
    };
    for (index, class) in classes().enumerate() {
        let place = add(class);
        if index == 0 {
            places.classes = place;
        }
    }
    (question, places)
}

/// The panels of the listings that a page shows.
pub(super) fn parts(scope: &Scope<'_>, shown: &Shown) -> Vec<(Part, Panel)> {
    let mut parts = Vec::new();
    for (listing, rows) in shown {
        parts.push((Part::List(listing.id), scope.panel(listing).top(*rows)));
        if listing.only == Only::Errors {
            let mut dimensions = listing.dimensions.to_vec();
            dimensions.push(Dimension::Time(scope.spark()));
            parts.push((Part::Trend, Panel { dimensions, metrics: vec![Hits], ..scope.panel(listing) }));
        }
    }
    parts
}

/// A table without a row, for what was not asked or could not be answered.
static NONE: LazyLock<Table> = LazyLock::new(Table::default);

/// The answers of a page, by panel.
pub(super) struct Panels {
    tables: Vec<Table>,
    places: Places,
    parts: Vec<(Part, Table)>,
}

impl Panels {
    /// The answer of what every page has, without a listing yet.
    pub fn new(tables: Vec<Table>, places: Places) -> Self {
        Self { tables, places, parts: Vec::new() }
    }

    /// Adds the table of a part.
    pub fn add(&mut self, part: Part, table: Table) {
        self.parts.push((part, table));
    }

    fn table(&self, place: usize) -> &Table {
        self.tables.get(place).unwrap_or(&NONE)
    }

    /// The table of the whole page's numbers.
    pub fn all(&self) -> &Table {
        self.table(0)
    }

    /// The numbers of the whole page, in the order of [`TOTALS`].
    pub fn totals(&self) -> Vec<Option<f64>> {
        self.all().rows.first().map(|row| row.metrics.clone()).unwrap_or_default()
    }

    pub fn activity(&self) -> &Table {
        self.table(self.places.activity)
    }

    pub fn server_errors(&self) -> &Table {
        self.table(self.places.server_errors)
    }

    pub fn heat(&self) -> &Table {
        self.table(self.places.heat)
    }

    /// Hits of each class of response times.
    pub fn classes(&self) -> Vec<f64> {
        (0..EDGES.len()).map(|index| self.table(self.places.classes + index).number()).collect()
    }

    fn part(&self, part: Part) -> Option<&Table> {
        self.parts.iter().find(|(it, _)| *it == part).map(|(_, table)| table)
    }

    pub fn trend(&self) -> &Table {
        self.part(Part::Trend).unwrap_or(&NONE)
    }

    /// The rows of a listing; none at all where there are too many to be counted.
    pub fn list(&self, id: &'static str) -> Option<&Table> {
        self.part(Part::List(id))
    }
}
