//! Who is told of an endpoint's transitions and when, as stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::State;

/// Who is told of transitions, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertSpec {
    /// Names of channels; the installation's default ones when absent, nobody when empty.
    pub channels: Option<Vec<String>>,
    /// Bad checks before the endpoint is down, 1 to 64.
    pub failure_threshold: u32,
    /// Checks that are not bad before it is not down any more, 1 to 64.
    pub success_threshold: u32,
    /// Number of newest checks among which the bad ones are counted, up to 64;
    /// without it they must follow each other.
    pub window: Option<u32>,
    /// Shortest time from one notice of trouble to that of the next; the channel's when absent.
    pub cooldown: Option<Duration>,
    /// Time after which a notice of trouble that lasts is repeated.
    pub reminder: Option<Duration>,
    /// Further channels for an endpoint that stays down.
    pub escalation: Vec<Escalation>,
    /// Whether recoveries are told; the channel's word when absent.
    pub send_recovery: Option<bool>,
    /// Whether degraded is told; otherwise it counts as up for notices.
    pub degraded: bool,
    /// When changes come too often to tell each; never when absent.
    pub flapping: Option<FlappingSpec>,
}

impl Default for AlertSpec {
    fn default() -> Self {
        Self {
            channels: None,
            failure_threshold: 1,
            success_threshold: 1,
            window: None,
            cooldown: None,
            reminder: None,
            escalation: Vec::new(),
            send_recovery: None,
            degraded: true,
            flapping: None,
        }
    }
}

impl AlertSpec {
    /// A condition as whoever is told of it sees it.
    pub(crate) fn told_as(&self, condition: State) -> State {
        match condition {
            State::Degraded if !self.degraded => State::Up,
            other => other,
        }
    }
}

/// Further channels for an endpoint that stays down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Time since the transition.
    pub after: Duration,
    /// Names of channels.
    pub channels: Vec<String>,
}

/// When changes come too often: from then on, until none has come for `within`, a
/// change is told only once the state has held for that long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlappingSpec {
    /// Number of changes, 2 to 64.
    pub changes: u32,
    /// Time in which they come.
    pub within: Duration,
}

/// A time when bad checks are expected, or when nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceWindow {
    /// When it (first) starts: local time of the zone, RFC 3339, or a time of day.
    pub start: String,
    /// How long it lasts, at most 31 days.
    pub duration: Duration,
    /// `none`, `daily`, `weekly`, `monthly` or a cron expression.
    #[serde(default)]
    pub recurrence: Option<String>,
    /// Zone by its IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
}

fn utc() -> String {
    "UTC".into()
}
