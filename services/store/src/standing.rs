//! What an endpoint's checks make of it: thresholds, F of N, degraded,
//! maintenance and flapping. Pure: no clock, no database.
//!
//! Beneath the [`State`] that is shown lies a condition (`Up`, `Degraded`,
//! `Down`, or `Unknown` before anything is known), which maintenance hides and
//! does not touch: checks count on through it, so that its end tells the truth
//! at once.

use serde::{Deserialize, Serialize};

use crate::{EndpointSpec, LastCheck, ProjectId, State, maintenance};

/// Checks that are remembered, and so the largest threshold and window.
pub const MEMORY: u32 = 64;

/// Changes of condition that are remembered for damping.
const CHANGES: usize = 64;

/// An endpoint between two of its checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The endpoint.
    pub endpoint: i64,
    /// Its owner.
    pub project: ProjectId,
    /// What it is shown as.
    pub state: State,
    /// Since when, UTC milliseconds.
    pub since: i64,
    /// The newest check.
    pub last_check: Option<LastCheck>,
    /// What thresholds need to know of the checks before; stored as JSON in
    /// `endpoints.memory`, and lost without harm.
    pub memory: Memory,
}

/// What thresholds need to know of earlier checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The condition beneath maintenance; `None` where the state itself tells it.
    condition: Option<State>,
    /// Whether each of the newest checks was bad; the newest is the lowest bit.
    bad: u64,
    /// Whether each of them was bad or degraded.
    unwell: u64,
    /// How many of those bits mean anything.
    seen: u32,
    /// When the condition changed, oldest first, UTC milliseconds; kept for as
    /// long as damping looks back.
    changes: Vec<i64>,
    /// Whether there were too many of them; ends when none has come for that long.
    flapping: bool,
}

/// Whether a change of condition is one of too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flapping {
    /// It is not.
    #[default]
    No,
    /// It is the first one too many.
    Begins,
    /// It is another one.
    GoesOn,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The endpoint.
    pub endpoint: i64,
    /// Its owner.
    pub project: ProjectId,
    /// Number among all transitions; 0 until it is stored.
    pub seq: i64,
    /// When the check that decided it began, UTC milliseconds.
    pub at: i64,
    /// State before.
    pub from: State,
    /// Since when it had been in that, UTC milliseconds.
    pub from_since: i64,
    /// State after.
    pub to: State,
    /// What the deciding check said.
    pub message: Option<String>,
    /// Whether notices of it are damped.
    pub flapping: Flapping,
}

/// Takes one more check in and tells whether the state changes. Each check is
/// given once and in its order: clocks of replicas may differ, so that nothing
/// here goes by the time of the last one. A suspended endpoint stays as it is.
///
/// Down after `failure_threshold` bad checks in a row, or that many among the
/// last `window`; not down any more after `success_threshold` in a row that were
/// not bad (and fewer bad ones in the window). The same numbers lead into and
/// out of degraded. What has never been checked is up at its first good check.
pub fn advance(standing: &mut Standing, spec: &EndpointSpec, check: &LastCheck) -> Option<Transition> {
    if standing.state == State::Suspended {
        return None;
    }
    let before = standing.condition();
    let memory = &mut standing.memory;
    memory.take(check);
    let condition = memory.judge(before, spec);
    memory.condition = Some(condition);
    let flapping = memory.flapping(before, condition, spec, check.at);
    standing.last_check = Some(check.clone());

    let to = match maintenance::ends_at(&spec.maintenance, check.at) {
        Some(_) => State::Maintenance,
        None => condition,
    };
    if to == standing.state {
        return None;
    }
    let transition = Transition {
        endpoint: standing.endpoint,
        project: standing.project,
        seq: 0,
        at: check.at,
        from: standing.state,
        from_since: standing.since,
        to,
        message: check.message.clone(),
        flapping,
    };
    standing.state = to;
    standing.since = check.at;
    Some(transition)
}

impl Standing {
    /// `Up`, `Degraded`, `Down` or `Unknown`, whether or not maintenance hides it.
    pub fn condition(&self) -> State {
        match (self.state, self.memory.condition) {
            (State::Maintenance, condition) => condition.unwrap_or(State::Unknown),
            (State::Suspended, _) => State::Unknown,
            // What is shown counts: memory may be older than a binary that wrote none.
            (shown, _) => shown,
        }
    }
}

impl Memory {
    /// Whether the newest check was bad.
    pub fn is_failing(&self) -> bool {
        self.bad & 1 == 1
    }

    fn take(&mut self, check: &LastCheck) {
        self.bad = self.bad << 1 | u64::from(!check.ok);
        self.unwell = self.unwell << 1 | u64::from(!check.ok || check.degraded);
        self.seen = (self.seen + 1).min(MEMORY);
    }

    fn judge(&self, before: State, spec: &EndpointSpec) -> State {
        let alerts = &spec.alerts;
        let enough = alerts.failure_threshold.clamp(1, MEMORY);
        let settled = alerts.success_threshold.clamp(1, MEMORY);
        let reached = |bits: u64| match alerts.window {
            Some(window) => (bits & newest(window)).count_ones() >= enough,
            None => bits.trailing_ones() >= enough,
        };
        let streak = |bits: u64| (!bits).trailing_ones().min(self.seen);
        let (down, unwell) = (reached(self.bad), reached(self.unwell));
        let (not_bad, good) = (streak(self.bad), streak(self.unwell));
        match before {
            _ if down => State::Down,
            State::Down if not_bad < settled => State::Down,
            State::Down if good >= settled && !unwell => State::Up,
            State::Down => State::Degraded,
            State::Degraded if good >= settled && !unwell => State::Up,
            State::Degraded => State::Degraded,
            _ if unwell => State::Degraded,
            State::Unknown if good == 0 => State::Unknown,
            _ => State::Up,
        }
    }

    /// Notes a change of condition and tells whether there are too many. Once there
    /// were, each further one is, until none has come for as long as damping looks back.
    fn flapping(&mut self, before: State, after: State, spec: &EndpointSpec, at: i64) -> Flapping {
        let alerts = &spec.alerts;
        let Some(flapping) = &alerts.flapping else {
            self.changes.clear();
            self.flapping = false;
            return Flapping::No;
        };
        let limit = usize::try_from(flapping.changes).unwrap_or(CHANGES).clamp(2, CHANGES);
        let within = i64::try_from(flapping.within.as_millis()).unwrap_or(i64::MAX);
        self.changes.retain(|change| at.saturating_sub(*change) < within);
        if self.changes.is_empty() {
            self.flapping = false;
        }
        // What becomes known for the first time has not changed, nor has what nobody would be told of.
        if before != State::Unknown && alerts.told_as(before) != alerts.told_as(after) {
            self.changes.push(at);
        }
        let excess = self.changes.len().saturating_sub(CHANGES);
        self.changes.drain(..excess);
        if self.flapping {
            return Flapping::GoesOn;
        }
        self.flapping = self.changes.len() >= limit;
        if self.flapping { Flapping::Begins } else { Flapping::No }
    }
}

/// A mask of the newest `window` checks.
fn newest(window: u32) -> u64 {
    u64::MAX >> (MEMORY - window.clamp(1, MEMORY))
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
