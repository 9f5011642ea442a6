//! A few numbers about a project's recent hits, for the overview.

use watchkeeper_store::{Hit, ProjectId, Result, Store};

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

impl Summary {
    fn add(&mut self, hit: &Hit, from: i64) {
        self.hits += 1;
        self.errors += u64::from(hit.status.is_some_and(|status| status >= 400));
        self.bots += u64::from(hit.bot == Some(true));
        let hour = usize::try_from((hit.ts - from) / 3_600_000).unwrap_or_default();
        if let Some(count) = self.hours.get_mut(hour) {
            *count += 1;
        }
    }
}

/// Sums up the `hours` hours before `now` (UTC milliseconds).
///
/// # Errors
/// When the store fails.
pub async fn summarize(store: &Store, project: ProjectId, now: i64, hours: u16) -> Result<Summary> {
    let from = now - i64::from(hours) * 3_600_000;
    let mut summary = Summary { hours: vec![0; usize::from(hours)], ..Summary::default() };
    let mut snapshot = store.snapshot(project, from, now + 1).await?;
    for day in snapshot.days().to_vec() {
        let add = move |summary: &mut Summary, hit: &Hit| {
            if (from..=now).contains(&hit.ts) {
                summary.add(hit, from);
            }
        };
        summary = snapshot.fold(day.day, &["ts", "status", "bot"], summary, add).await?;
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_hours_asked_for_count_sealed_or_not() {
        let directory = tempfile::tempdir().expect("directory");
        let options = watchkeeper_store::Options::sqlite(directory.path().join("s.db"));
        let store = Store::open(&options).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        let now = 10 * watchkeeper_store::DAY_MS;
        let hit = |ago: i64| Hit { ts: now - ago * 3_600_000, status: Some(500), ..Hit::default() };
        store.append(project, vec![hit(1), hit(5), hit(30)]).await.expect("append");
        store.seal_all().await.expect("seal");
        store.append(project, vec![hit(2), hit(-1), hit(24)]).await.expect("append");
        let summary = summarize(&store, project, now, 24).await.expect("summary");
        assert_eq!((summary.hits, summary.errors), (4, 4));
        assert_eq!(summary.hours.iter().sum::<u64>(), 4);
    }

    #[test]
    fn hits_are_counted_by_hour_and_kind() {
        let mut summary = Summary { hours: vec![0; 2], ..Summary::default() };
        let hit = |ts, status, bot| Hit { ts, status: Some(status), bot, ..Hit::default() };
        for hit in [hit(0, 200, None), hit(3_599_999, 500, Some(true)), hit(3_600_000, 404, Some(false))] {
            summary.add(&hit, 0);
        }
        assert_eq!(summary, Summary { hits: 3, errors: 2, bots: 1, hours: vec![2, 1] });
    }
}
