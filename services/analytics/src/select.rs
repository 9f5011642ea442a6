//! Raw hits that meet a condition, a batch at a time: what exports read.

use std::{collections::HashMap, sync::Arc};

use jiff::tz::TimeZone;
use watchkeeper_store::{Hit, ProjectId, Store};

use crate::{
    AskError, Condition,
    ask::aside,
    calendar::Calendar,
    row::{self, Matcher},
};

/// Which hits are wanted.
#[derive(Debug, Clone)]
pub struct Selection {
    /// First moment, UTC milliseconds.
    pub from: i64,
    /// First moment after the last, UTC milliseconds.
    pub to: i64,
    /// Zone of the hours and weekdays that the condition tests.
    pub zone: TimeZone,
    /// What must be true of them.
    pub condition: Condition,
}

/// Hits that are looked at before it is asked again whether they are wanted: one may take milliseconds.
const PACE: usize = 16;

/// Calls `each` with the hits of a selection over one state of the store, a batch at a time, until
/// it or `wanted` says `false`: oldest day first, and within a day as they lie. A few thousand hits
/// are in memory at once, beside the compressed files of one day. `wanted` is asked all the time, also
/// where no hit is of the selection; once it has said `false` it is not asked again.
///
/// # Errors
/// [`AskError::Question`] for a malformed expression, and whatever the store says.
pub async fn select<T: Send + 'static>(
    store: &Store,
    project: ProjectId,
    selection: &Selection,
    mut state: T,
    wanted: impl Fn(&T) -> bool + Send + Sync + 'static,
    each: impl Fn(&mut T, &[Hit]) -> bool + Send + Sync + 'static,
) -> Result<T, AskError> {
    if selection.from >= selection.to {
        return Ok(state);
    }
    let mut late = false;
    selection.condition.visit_dimensions(&mut |dimension| late |= dimension.is_late());
    let facts = if late { store.address_facts(project).await? } else { HashMap::new() };
    let condition = selection.condition.clone();
    let matcher: Arc<Matcher> = Arc::new(aside(move || row::matcher(&condition)).await?);
    let (facts, selection) = (Arc::new(facts), Arc::new(selection.clone()));
    let (wanted, each) = (Arc::new(wanted), Arc::new(each));
    let mut snapshot = store.snapshot(project, selection.from, selection.to).await?;
    for day in snapshot.days().to_vec() {
        if !wanted(&state) {
            break;
        }
        let (matcher, facts, selection) = (Arc::clone(&matcher), Arc::clone(&facts), Arc::clone(&selection));
        let (wanted, each) = (Arc::clone(&wanted), Arc::clone(&each));
        let scanned = snapshot.scan(day.day, state, move |state, hits| {
            let calendar = Calendar::new(&selection.zone, selection.from);
            let so_far: &T = state;
            let (mut looked, mut go_on) = (0_usize, true);
            hits.retain(|hit| {
                looked += 1;
                if looked.is_multiple_of(PACE) {
                    go_on = go_on && wanted(so_far);
                }
                let value = |dimension| row::value(dimension, hit, &facts, &calendar);
                go_on && (selection.from..selection.to).contains(&hit.ts) && matcher(hit, &value)
            });
            go_on && (hits.is_empty() || each(state, hits))
        });
        let go_on;
        (state, go_on) = scanned.await?;
        if !go_on {
            break;
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use watchkeeper_store::{DAY_MS, Options};

    use super::*;
    use crate::Dimension;

    #[tokio::test]
    async fn what_nobody_wants_any_more_is_not_looked_at_though_nothing_is_found() {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        let hits =
            (0..200_i64).map(|n| Hit { ts: n % 2 * DAY_MS, path: Some("/a".into()), ..Hit::default() });
        store.append(project, hits.collect()).await.expect("append");
        let asked = Arc::new(AtomicUsize::new(0));
        let found = async |path: &str, answers: usize| {
            asked.store(0, Ordering::Relaxed);
            let condition = Condition::is(Dimension::Path, path);
            let selection = Selection { from: 0, to: i64::MAX, zone: TimeZone::UTC, condition };
            let asked = Arc::clone(&asked);
            let wanted = move |_: &usize| asked.fetch_add(1, Ordering::Relaxed) < answers;
            let count = |found: &mut usize, hits: &[Hit]| {
                *found += hits.len();
                true
            };
            select(&store, project, &selection, 0, wanted, count).await.expect("select")
        };
        assert_eq!(found("/a", usize::MAX).await, 200);
        // Before each day, and six times among its hundred hits.
        assert_eq!((found("/none", usize::MAX).await, asked.load(Ordering::Relaxed)), (0, 14));
        assert_eq!((found("/none", 3).await, asked.load(Ordering::Relaxed)), (0, 4));
        assert_eq!((found("/a", 7).await, asked.load(Ordering::Relaxed)), (100, 8), "a whole day");
    }
}
