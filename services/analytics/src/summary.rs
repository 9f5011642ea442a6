//! A few numbers about a project's recent hits, for the overview.

use watchkeeper_store::{Hit, ProjectId, Result, Store};

use crate::{Filter, Page, visit};

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
    let recent = Filter { from: Some(from), to: Some(now + 1), ..Filter::default() };
    let all = Page { skip: 0, take: usize::MAX };
    visit(store, project, &recent, all, |hit| summary.add(&hit, from)).await?;
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

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
