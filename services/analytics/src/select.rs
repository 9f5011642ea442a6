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

/// Calls `each` with the hits of a selection over one state of the store, a batch at a time, until
/// it says `false`: oldest day first, and within a day as they lie. A few thousand hits are in
/// memory at once, beside the compressed files of one day.
///
/// # Errors
/// [`AskError::Question`] for a malformed expression, and whatever the store says.
pub async fn select<T: Send + 'static>(
    store: &Store,
    project: ProjectId,
    selection: &Selection,
    mut state: T,
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
    let (facts, each, selection) = (Arc::new(facts), Arc::new(each), Arc::new(selection.clone()));
    let mut snapshot = store.snapshot(project, selection.from, selection.to).await?;
    for day in snapshot.days().to_vec() {
        let (matcher, facts, each) = (Arc::clone(&matcher), Arc::clone(&facts), Arc::clone(&each));
        let selection = Arc::clone(&selection);
        let scanned = snapshot.scan(day.day, state, move |state, hits| {
            let calendar = Calendar::new(&selection.zone, selection.from);
            hits.retain(|hit| {
                let value = |dimension| row::value(dimension, hit, &facts, &calendar);
                (selection.from..selection.to).contains(&hit.ts) && matcher(hit, &value)
            });
            hits.is_empty() || each(state, hits)
        });
        let go_on;
        (state, go_on) = scanned.await?;
        if !go_on {
            break;
        }
    }
    Ok(state)
}
