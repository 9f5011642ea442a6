//! Whether an endpoint's trouble may be that of what it depends on.

use std::collections::BTreeSet;

use sqlx::{Any, Transaction};

use super::plan::ms;
use crate::{Endpoint, Result, State, endpoints, standing::MEMORY};

/// How many endpoints are looked at above a parent, so that looking has an end.
const MOST_ABOVE: usize = 100;

/// Whether what the endpoint depends on is down or being maintained, or may turn
/// out to be: it was not checked since `at` (UTC milliseconds), or its own bad checks
/// are not yet enough. A parent that depends on the endpoint in turn is not waited
/// for: each would wait for the other. Nor is one that nobody observed any more at
/// `looked`, when somebody looked last.
pub(super) async fn waits_for_parent(
    transaction: &mut Transaction<'static, Any>,
    endpoint: &Endpoint,
    at: i64,
    looked: i64,
    now: i64,
) -> Result<bool> {
    for parent in parents(transaction, endpoint).await? {
        if decides(&parent, endpoint, at, looked, now)
            && !depends_on(transaction, &parent, endpoint.id).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an endpoint says that it depends on, as far as it is there.
async fn parents(transaction: &mut Transaction<'static, Any>, endpoint: &Endpoint) -> Result<Vec<Endpoint>> {
    let mut parents = Vec::new();
    for name in &endpoint.spec.depends_on {
        // A name alone is one of the same namespace.
        let alone = (endpoint.namespace.as_str(), name.as_str());
        let (namespace, name) = name.split_once('/').unwrap_or(alone);
        parents.extend(endpoints::called(transaction, namespace, name).await?);
    }
    Ok(parents)
}

/// Whether `endpoint` is the one of this number or depends on it, over however many others.
async fn depends_on(
    transaction: &mut Transaction<'static, Any>,
    endpoint: &Endpoint,
    number: i64,
) -> Result<bool> {
    let mut seen = BTreeSet::from([endpoint.id]);
    let mut next = vec![endpoint.clone()];
    while let Some(endpoint) = next.pop() {
        if endpoint.id == number {
            return Ok(true);
        }
        for parent in parents(transaction, &endpoint).await? {
            if seen.len() < MOST_ABOVE && seen.insert(parent.id) {
                next.push(parent);
            }
        }
    }
    Ok(false)
}

fn decides(parent: &Endpoint, endpoint: &Endpoint, at: i64, looked: i64, now: i64) -> bool {
    // A parent that nobody checks decides nothing.
    let patience = |of: &Endpoint| 2 * ms(of.spec.interval) + ms(of.spec.timeout);
    match parent.status.state {
        State::Down | State::Maintenance => parent.unobserved_since(looked).is_none(),
        State::Unknown | State::Suspended => false,
        State::Up | State::Degraded => {
            let checked = |of: &Endpoint| of.status.last_check.as_ref().map_or(0, |check| check.at);
            let unasked = checked(parent) < at && now < at.saturating_add(patience(parent));
            // Each further check that it needs comes an interval later.
            let alerts = &parent.spec.alerts;
            let needed = alerts.window.unwrap_or(0).max(alerts.failure_threshold).clamp(1, MEMORY);
            let further = ms(parent.spec.interval).saturating_mul(i64::from(needed) - 1);
            let failing = parent.status.last_check.as_ref().is_some_and(|check| !check.ok)
                && now < at.saturating_add(patience(parent)).saturating_add(further);
            // What came up again after its parent shows it by its own next check.
            let since = parent.status.since;
            let follows = checked(endpoint) <= since && now < since.saturating_add(patience(endpoint));
            failing || unasked || follows
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::watched;

    #[test]
    fn a_parent_that_fails_without_going_down_is_waited_for_no_longer_than_it_takes_to_know() {
        let child = watched(1, 1_000, false);
        let mut parent = watched(2, 1_000, false);
        let waits = |parent: &Endpoint, later: i64| decides(parent, &child, 1_000, 1_000, 1_000 + later);
        assert!(waits(&parent, 129_999));
        assert!(!waits(&parent, 130_000));
        // Two bad checks more take two minutes more.
        parent.spec.alerts.failure_threshold = 3;
        assert!(waits(&parent, 249_999));
        assert!(!waits(&parent, 250_000));
        parent.spec.alerts.window = Some(5);
        assert!(waits(&parent, 369_999));
        assert!(!waits(&parent, 370_000));
        // Down is down, however long.
        parent.status.state = State::Down;
        assert!(waits(&parent, i64::MAX - 1_000));
    }

    #[test]
    fn a_parent_that_nobody_looks_at_any_more_decides_nothing() {
        let child = watched(1, 1_000, false);
        let mut parent = watched(2, 1_000, false);
        parent.status.state = State::Down;
        // Two intervals, a timeout, and a minute for restarts.
        assert!(decides(&parent, &child, 1_000, 190_999, 191_000));
        assert!(!decides(&parent, &child, 1_000, 191_000, 191_000));
        parent.status.state = State::Maintenance;
        assert!(!decides(&parent, &child, 1_000, 191_000, 191_000), "its window is over");
    }

    #[test]
    fn a_parent_that_is_not_asked_is_waited_for_twice_its_interval() {
        let (child, parent) = (watched(1, 1_000, false), watched(2, 999, true));
        assert!(decides(&parent, &child, 1_000, 1_000, 1_000 + 129_999));
        assert!(!decides(&parent, &child, 1_000, 1_000, 1_000 + 130_000));
        assert!(!decides(&watched(2, 1_000, true), &child, 1_000, 1_000, 1_000));
    }
}
