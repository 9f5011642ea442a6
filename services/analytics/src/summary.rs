//! A few numbers about a project's recent hits, for the overview.

use watchkeeper_store::ProjectId;

use crate::{Analytics, AskError, Bucket, Condition, Dimension, Metric, Panel, Question, Value};

/// Numbers of one stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Hits.
    pub hits: u64,
    /// Hits with a status of 400 and above.
    pub errors: u64,
    /// Hits by robots.
    pub bots: u64,
    /// Hits an hour, oldest first.
    pub hours: Vec<u64>,
}

/// Sums up the `hours` hours before `now` (UTC milliseconds).
///
/// # Errors
/// When the store fails.
pub async fn summarize(
    analytics: &Analytics,
    project: ProjectId,
    now: i64,
    hours: u16,
) -> Result<Summary, AskError> {
    let from = now - i64::from(hours) * 3_600_000;
    let hour = Dimension::Time(Bucket::Seconds(3_600));
    let question = Question::new(from, now + 1)
        .panel(Panel::by([], [Metric::Hits]))
        .panel(Panel::by([], [Metric::Errors]))
        .panel(Panel::by([], [Metric::Hits]).only(Condition::is(Dimension::Bot, "true")))
        .panel(Panel::by([hour], [Metric::Hits]));
    let answer = analytics.ask(project, &question).await?;
    let mut summary = Summary { hours: vec![0; usize::from(hours)], ..Summary::default() };
    if let [hits, errors, bots, by_hour] = answer.tables.as_slice() {
        (summary.hits, summary.errors, summary.bots) =
            (whole(hits.number()), whole(errors.number()), whole(bots.number()));
        for row in &by_hour.rows {
            let start = row.key.first().and_then(Value::as_number).unwrap_or(from);
            let hour = usize::try_from((start - from) / 3_600_000).unwrap_or_default();
            if let (Some(count), Some(Some(hits))) = (summary.hours.get_mut(hour), row.metrics.first()) {
                *count = whole(*hits);
            }
        }
    }
    Ok(summary)
}

/// A count as the whole number that it is.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_store::{Hit, Store};

    #[tokio::test]
    async fn only_the_hours_asked_for_count_sealed_or_not_by_hour_and_kind() {
        let directory = tempfile::tempdir().expect("directory");
        let options = watchkeeper_store::Options::sqlite(directory.path().join("s.db"));
        let store = Store::open(&options).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        let now = 10 * watchkeeper_store::DAY_MS;
        let hit = |ago: i64, status, bot| Hit {
            ts: now - ago * 3_600_000,
            status: Some(status),
            bot,
            ..Hit::default()
        };
        let sealed = vec![hit(1, 500, None), hit(5, 404, Some(true)), hit(30, 500, None)];
        store.append(project, sealed).await.expect("append");
        store.seal_all().await.expect("seal");
        let fresh =
            vec![hit(2, 200, Some(false)), hit(-1, 500, None), hit(24, 500, Some(true)), hit(0, 200, None)];
        store.append(project, fresh).await.expect("append");
        let summary = summarize(&Analytics::new(store), project, now, 24).await.expect("summary");
        assert_eq!((summary.hits, summary.errors, summary.bots), (5, 3, 2));
        let mut hours = vec![0; 24];
        [0, 19, 22, 23].into_iter().for_each(|hour| hours[hour] = 1);
        assert_eq!(summary.hours, hours);
    }
}
