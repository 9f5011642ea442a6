//! Random questions.

use jiff::tz::TimeZone;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use watchkeeper_store::DAY_MS;

use super::data::{ADDRESSES, END, FIRST, HOSTS, PATHS, REFERRERS, USERS};
use crate::{
    Bucket, Column, Comparison, Condition, Dimension, Field, Metric, Order, Panel, Question, SESSION_IDLE,
    Test,
};

/// One panel of everything, over everything.
pub(super) fn wide() -> Question {
    let metrics: Vec<Metric> = Metric::all().collect();
    Question::new(FIRST, END)
        .panel(Panel::by([], metrics.clone()))
        .panel(Panel::by([Dimension::Time(Bucket::Day)], metrics.clone()))
        .panel(Panel::by([Dimension::Route, Dimension::Status], metrics))
}

/// Any question that can be asked.
pub(super) fn any(random: &mut StdRng) -> Question {
    let dimensions: Vec<Dimension> =
        Dimension::all().chain([7, 3_600, 50_000].map(|s| Dimension::Time(Bucket::Seconds(s)))).collect();
    let metrics: Vec<Metric> = Metric::all().chain([0, 1, 333, 1_000].map(Metric::Duration)).collect();
    let zones = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York"];
    let mut question = range(random);
    question.zone = TimeZone::get(zones.choose(random).expect("zones")).expect("zone");
    question.session_idle = *[SESSION_IDLE, SESSION_IDLE, 1, 0, 1_800_000 - 1].choose(random).expect("idle");
    question.condition = condition(random, &dimensions, 2, false);
    for _ in 0..random.random_range(1..4) {
        let mut panel = panel(random, &dimensions, &metrics, 4);
        if random.random_bool(0.4) {
            panel.condition = condition(random, &dimensions, 1, false);
        }
        if random.random_bool(0.5) {
            let columns = panel.metrics.len() + panel.dimensions.len();
            for _ in 0..random.random_range(0..3) {
                let place = random.random_range(0..columns);
                let by = match place.checked_sub(panel.metrics.len()) {
                    None => Column::Metric(place),
                    Some(place) => Column::Dimension(place),
                };
                panel.order.push(Order { by, descending: random.random_bool(0.5) });
            }
            panel.limit = random.random_bool(0.5).then(|| random.random_range(0..6));
            panel.offset = random.random_range(0..3);
        }
        question.panels.push(panel);
    }
    question
}

/// A question that can be written as SQL.
pub(super) fn for_sql(random: &mut StdRng) -> Question {
    use Dimension::{
        Bot, Client, Consumer, Country, Host, HourOfDay, Ip, Method, Path, Query, Referrer, Route, Status,
        StatusClass, Time, User, UserAgent, Weekday,
    };
    let dimensions = [
        Bot,
        Client,
        Consumer,
        Country,
        Host,
        HourOfDay,
        Ip,
        Method,
        Path,
        Query,
        Referrer,
        Route,
        Status,
        StatusClass,
        User,
        UserAgent,
        Weekday,
    ];
    let times = [Bucket::Minute, Bucket::Hour, Bucket::Day, Bucket::Seconds(5_000)].map(Time);
    let metrics: Vec<Metric> = Metric::all().collect();
    let mut question = range(random);
    question.session_idle = *[SESSION_IDLE, 60_000, 1].choose(random).expect("idle");
    question.condition = condition(random, &dimensions, 2, true);
    for _ in 0..random.random_range(1..3) {
        let all: Vec<Dimension> = dimensions.into_iter().chain(times).collect();
        let mut panel = panel(random, &all, &metrics, 3);
        if random.random_bool(0.3) {
            panel.condition = condition(random, &dimensions, 1, true);
        }
        question.panels.push(panel);
    }
    question
}

fn range(random: &mut StdRng) -> Question {
    let (from, to) = match random.random_range(0..6) {
        0 => (FIRST + 7, FIRST + 7),
        1 => (FIRST - 40 * DAY_MS, FIRST - DAY_MS),
        2 => (FIRST - DAY_MS, END + DAY_MS),
        3 => (FIRST, END),
        _ => {
            let from = random.random_range(FIRST..END);
            (from, from + random.random_range(0..3 * DAY_MS))
        }
    };
    Question::new(from, to)
}

fn panel(random: &mut StdRng, dimensions: &[Dimension], metrics: &[Metric], most: usize) -> Panel {
    let by: Vec<Dimension> =
        (0..random.random_range(0..most)).filter_map(|_| dimensions.choose(random).copied()).collect();
    let of: Vec<Metric> =
        (0..random.random_range(1..6)).filter_map(|_| metrics.choose(random).copied()).collect();
    Panel::by(by, of)
}

fn condition(random: &mut StdRng, dimensions: &[Dimension], depth: usize, simple: bool) -> Condition {
    let several = |random: &mut StdRng| {
        (0..random.random_range(0..4)).map(|_| condition(random, dimensions, depth - 1, simple)).collect()
    };
    match random.random_range(0..if depth == 0 { 4 } else { 8 }) {
        0 => Condition::Number {
            field: *[Field::Status, Field::Duration, Field::RequestBytes, Field::ResponseBytes]
                .choose(random)
                .expect("fields"),
            comparison: *[
                Comparison::Less,
                Comparison::AtMost,
                Comparison::Greater,
                Comparison::AtLeast,
                Comparison::Equal,
                Comparison::NotEqual,
            ]
            .choose(random)
            .expect("comparisons"),
            value: *[0.0, 1.5, 200.0, 400.0, 10.0, 70.001].choose(random).expect("values"),
        },
        1..4 => text(random, dimensions, simple),
        4 => Condition::default(),
        5 => Condition::All(several(random)),
        6 => Condition::Any(several(random)),
        _ => condition(random, dimensions, depth - 1, simple).negate(),
    }
}

fn text(random: &mut StdRng, dimensions: &[Dimension], simple: bool) -> Condition {
    let mut dimension = *dimensions.choose(random).expect("dimensions");
    // Those that other lists know values of come up more often.
    if random.random_bool(0.5) {
        let often =
            [Dimension::Path, Dimension::Host, Dimension::Consumer, Dimension::Status, Dimension::Route];
        dimension = *often.choose(random).expect("dimensions");
    }
    let values: Vec<&str> = [PATHS, HOSTS, ADDRESSES, USERS, REFERRERS].concat();
    let values: Vec<&str> = values
        .into_iter()
        .chain(["200", "404", "2xx", "GET", "true", "DE", "v1", "9", "user", "1774569600000"])
        .collect();
    let any = |random: &mut StdRng, from: &[&str]| {
        let count = random.random_range(0..4);
        (0..count).map(|_| (*from.choose(random).expect("values")).to_owned()).collect::<Vec<_>>()
    };
    let test = match random.random_range(0..if simple { 3 } else { 5 }) {
        0 => {
            let mut is: Vec<Option<String>> = any(random, &values).into_iter().map(Some).collect();
            is.extend(random.random_bool(0.3).then_some(None));
            Test::Is(is)
        }
        1 => Test::Contains(any(random, &["a", "e", "/", "20", "example", "", "%"])),
        2 => {
            let patterns = ["%", "/v_/%", "%\\%\\_%", "2__", "%example.com", "_"];
            Test::Like((*patterns.choose(random).expect("patterns")).into())
        }
        3 => Test::Glob(any(random, &["*", "/v?/*", "*.com", "[a-z]*", "2*"])),
        _ => Test::Matches(any(random, &["^/v[0-9]+/", "example", "a|b", "^$", "4.4"])),
    };
    Condition::Text { dimension, test, ignore_case: !simple && random.random_bool(0.3) }
}
