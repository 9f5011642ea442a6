//! What came when: the chart over time of a project's page, with its annotations.

use watchkeeper_analytics::{Metric, Value};
use watchkeeper_store::Annotation;

use super::{
    charts, format,
    lists::Links,
    panels::{self, Panels, Scope},
};

/// Requests, response times and the success rate over time.
pub(super) struct Activity {
    /// Buckets, which is the width of every box.
    pub width: usize,
    pub top: String,
    pub success: String,
    pub client: String,
    pub server: String,
    pub users: String,
    pub slow_top: String,
    pub spread: String,
    pub means: String,
    pub strips: Vec<(usize, String)>,
    pub ticks: Vec<(f64, String)>,
    pub titles: Vec<String>,
    /// Where buckets begin and the last one ends, Unix seconds, and the page that a time is added to.
    pub edges: String,
    pub zoom: String,
    pub marks: Vec<Mark>,
    pub summary: String,
    pub all: String,
    pub csv: String,
}

/// An annotation within the chart.
pub(super) struct Mark {
    pub place: f64,
    pub when: String,
    pub text: String,
    pub url: Option<String>,
}

/// Draws it.
pub(super) fn activity(
    panels: &Panels,
    scope: &Scope<'_>,
    links: &Links<'_>,
    annotations: &[Annotation],
) -> Activity {
    let bucket = scope.bucket();
    let starts = scope.starts();
    let zone = &scope.period.zone;
    let width = starts.len();
    let mut rows: Vec<Vec<Option<f64>>> = vec![vec![None; panels::ACTIVITY.len()]; width];
    let place = |key: &[Value]| {
        let start = key.first()?.as_number()?;
        starts.binary_search(&start).ok()
    };
    for row in &panels.activity().rows {
        if let Some(place) = place(&row.key) {
            rows[place].clone_from(&row.metrics);
        }
    }
    let mut server = vec![0.0; width];
    for row in &panels.server_errors().rows {
        if let Some(place) = place(&row.key) {
            server[place] = row.metrics.first().copied().flatten().unwrap_or_default();
        }
    }
    let column = |metric: Metric| -> Vec<Option<f64>> {
        let index = panels::ACTIVITY.iter().position(|it| *it == metric).unwrap_or_default();
        rows.iter().map(|row| row[index]).collect()
    };
    let counts = |metric| column(metric).into_iter().map(Option::unwrap_or_default).collect::<Vec<f64>>();
    let (hits, users, errors) = (counts(Metric::Hits), column(Metric::Users), counts(Metric::Errors));
    let client: Vec<f64> = errors.iter().zip(&server).map(|(all, server)| (all - server).max(0.0)).collect();
    let good: Vec<f64> = hits.iter().zip(&errors).map(|(all, errors)| (all - errors).max(0.0)).collect();
    let top = charts::top(hits.iter().copied().fold(0.0, f64::max));
    let mut stacked = charts::stack(&[good, client, server.clone()], top).into_iter();
    let mut next = || stacked.next().unwrap_or_default();
    let (success, client, server_path) = (next(), next(), next());

    let (p50, p95, means) =
        (column(Metric::Duration(500)), column(Metric::Duration(950)), column(Metric::MeanDuration));
    let slow_top = charts::top(p95.iter().chain(&means).copied().flatten().fold(0.0, f64::max));
    let spread: Vec<_> = p50.iter().zip(&p95).map(|(p50, p95)| (*p50).zip(*p95)).collect();
    let rates = column(Metric::SuccessRate);
    // Upstream's steps at 90 and 70 percent, and finer ones above.
    let class = |rate: f64| match rate {
        0.99.. => 0,
        0.95.. => 1,
        0.9.. => 2,
        0.7.. => 3,
        _ => 4,
    };
    let classes: Vec<Option<usize>> = rates.iter().map(|rate| rate.map(class)).collect();
    let titles = starts.iter().enumerate().map(|(index, start)| {
        let when = format::bucket(*start, zone, bucket);
        if hits[index] == 0.0 {
            return format!("{when}: no requests");
        }
        let mut text = format!(
            "{when}: {} requests, {} users, {} errors",
            format::count(hits[index]),
            format::count(users[index].unwrap_or_default()),
            format::count(errors[index])
        );
        if let (Some(mean), Some(p95)) = (means[index], p95[index]) {
            text += &format!(", mean {}, p95 {}", format::duration(mean), format::duration(p95));
        }
        text
    });
    let hours = (scope.period.to - scope.period.from) / 3_600_000;
    let pattern = match hours {
        ..=50 => "%H:%M",
        51..=192 => "%a %-d",
        193..=9_600 => "%-d %b",
        9_601..=350_000 => "%b %Y",
        _ => "%Y",
    };
    let labels: Vec<String> = starts.iter().map(|start| format::moment(*start, zone, pattern)).collect();
    #[allow(clippy::cast_precision_loss)] // moments of a range
    let within = |at: i64| {
        let index = starts.partition_point(|start| *start <= at).saturating_sub(1);
        let end = starts.get(index + 1).copied().unwrap_or(scope.period.to);
        let start = starts.get(index).copied().unwrap_or(at);
        index as f64 + ((at - start) as f64 / (end - start).max(1) as f64).clamp(0.0, 1.0)
    };
    let marks = annotations.iter().take(50).map(|annotation| {
        let place = within(annotation.note.at);
        Mark {
            place: (place * 100.0).round() / 100.0,
            when: format::moment(annotation.note.at, zone, "%-d %b, %H:%M"),
            text: annotation.note.text.clone(),
            url: annotation.note.url.clone(),
        }
    });
    let total: f64 = hits.iter().sum();
    let most = hits.iter().copied().enumerate().max_by(|one, other| one.1.total_cmp(&other.1));
    let most = most.filter(|(_, most)| *most > 0.0).map_or(String::new(), |(index, most)| {
        format!(", most of them {}: {}", format::bucket(starts[index], zone, bucket), format::count(most))
    });
    let query = scope.filters.query();
    // The last bucket ends with the period; the second that it ends in is whole.
    let edges = starts.iter().map(|start| start / 1_000).chain([(scope.period.to + 999) / 1_000]);
    Activity {
        width,
        top: format::compact(top),
        success,
        client,
        server: server_path,
        users: charts::line(&users, top),
        slow_top: format::duration(slow_top),
        spread: charts::ranges(&spread, slow_top),
        means: charts::line(&means, slow_top),
        strips: (0..5).map(|class| (class, charts::strip(&classes, class))).collect(),
        ticks: charts::ticks(&labels, 7),
        titles: titles.collect(),
        edges: edges.map(|edge| edge.to_string()).collect::<Vec<_>>().join(" "),
        zoom: links.to(&scope.filters.set("period", None)),
        marks: marks.collect(),
        summary: format!("{} requests{most}", format::count(total)),
        all: format!("{}/table/activity{query}", links.base),
        csv: format!("{}/table/activity.csv{query}", links.base),
    }
}
