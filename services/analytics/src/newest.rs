//! The newest raw hits that meet a condition, and a test of one hit at a time: what live pages show.

use std::{collections::HashMap, sync::Arc};

use jiff::tz::TimeZone;
use watchkeeper_store::{Hit, ProjectId, Result, Store};

use crate::{
    AskError, Condition,
    calendar::Calendar,
    row::{self, Matcher},
};

/// Fields that are read; all else of a hit is unknown.
const COLUMNS: &[&str] = &[
    "ts",
    "source",
    "method",
    "host",
    "path",
    "query",
    "route",
    "status",
    "duration_us",
    "ip",
    "user_agent",
    "user",
    "referrer",
    "country",
    "framework",
    "client",
    "os",
    "device",
    "bot",
    "home",
    "log",
];

/// A condition that hits are held against one by one. What is learnt late of addresses is unknown to it.
#[derive(Clone)]
pub struct Sieve {
    matcher: Arc<Matcher>,
    zone: TimeZone,
}

impl Sieve {
    /// A sieve with the hours and weekdays of `zone`.
    ///
    /// # Errors
    /// [`AskError::Question`] for a malformed expression.
    pub fn new(condition: &Condition, zone: &TimeZone) -> std::result::Result<Self, AskError> {
        Ok(Self { matcher: Arc::new(row::matcher(condition)?), zone: zone.clone() })
    }

    /// Whether a hit meets the condition.
    pub fn keeps(&self, hit: &Hit) -> bool {
        let (facts, calendar) = (HashMap::new(), Calendar::new(&self.zone, 0));
        (self.matcher)(hit, &|dimension| row::value(dimension, hit, &facts, &calendar))
    }
}

/// The newest `most` hits with `from <= ts < to` that a sieve keeps, oldest first. A multiple of
/// `most` is in memory at once.
///
/// # Errors
/// When the store fails.
pub async fn newest(
    store: &Store,
    project: ProjectId,
    from: i64,
    to: i64,
    sieve: Sieve,
    most: usize,
) -> Result<Vec<Hit>> {
    let mut found: Vec<Hit> = Vec::new();
    let mut snapshot = store.snapshot(project, from, to).await?;
    for day in snapshot.days().to_vec().into_iter().rev() {
        let sieve = sieve.clone();
        let add = move |kept: &mut Vec<Hit>, hit: &Hit| {
            if (from..to).contains(&hit.ts) && sieve.keeps(hit) {
                kept.push(hit.clone());
                if kept.len() >= 8 * most.max(1) {
                    trim(kept, most);
                }
            }
        };
        found = snapshot.fold(day.day, COLUMNS, found, add).await?;
        if found.len() >= most {
            break;
        }
    }
    trim(&mut found, most);
    Ok(found)
}

/// Leaves the newest, oldest first.
fn trim(hits: &mut Vec<Hit>, most: usize) {
    hits.sort_by_key(|hit| hit.ts);
    hits.drain(..hits.len().saturating_sub(most));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dimension;

    #[tokio::test]
    async fn the_newest_that_are_kept_come_oldest_first_sealed_or_not() {
        let directory = tempfile::tempdir().expect("directory");
        let options = watchkeeper_store::Options::sqlite(directory.path().join("s.db"));
        let store = Store::open(&options).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        let hit = |hour: i64, status| Hit { ts: hour * 3_600_000, status: Some(status), ..Hit::default() };
        store.append(project, (0..40).map(|hour| hit(hour, 200)).collect()).await.expect("append");
        store.seal_all().await.expect("seal");
        store.append(project, vec![hit(50, 404), hit(45, 200), hit(90, 200)]).await.expect("append");
        let good = Condition::is(Dimension::Status, "200");
        let sieve = Sieve::new(&good, &TimeZone::UTC).expect("sieve");
        let hours = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.ts / 3_600_000).collect::<Vec<_>>();
        let found = newest(&store, project, 0, 80 * 3_600_000, sieve.clone(), 3).await.expect("newest");
        assert_eq!(hours(found), [38, 39, 45]);
        let all = newest(&store, project, 0, i64::MAX, sieve, 100).await.expect("newest");
        assert_eq!(all.len(), 42);
    }
}
