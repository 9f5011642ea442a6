//! Who is told of an endpoint's transitions, and when bad checks are expected.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::common::yes;
use crate::durations::TimeSpan;

/// When a state counts as changed, and who is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.window) || self.window >= self.failureThreshold")
    .message("window must be at least failureThreshold"))]
pub struct Alerts {
    /// Channels of the instance; its default ones when left out, nobody when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)))]
    pub channels: Option<Vec<String>>,
    /// Bad checks before the endpoint is down: in a row, or among the last `window`.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub failure_threshold: i32,
    /// Checks in a row that are not bad before it is not down any more.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub success_threshold: i32,
    /// Number of newest checks among which the bad ones are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub window: Option<i32>,
    /// Shortest time from one notice of trouble to the next; the instance's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<TimeSpan>,
    /// Time after which a notice of trouble that lasts is repeated; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')")
        .message("reminder must be at least 1m"))]
    pub reminder: Option<TimeSpan>,
    /// Whether recoveries are told; the channel decides when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_recovery: Option<bool>,
    /// Whether degraded is told; otherwise it counts as up for notices.
    #[serde(default = "yes")]
    pub degraded: bool,
    /// Further channels for an endpoint that stays down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub escalation: Vec<Escalation>,
    /// When changes come too often to tell each; each is told when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flapping: Option<Flapping>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            channels: None,
            failure_threshold: 1,
            success_threshold: 1,
            window: None,
            cooldown: None,
            reminder: None,
            send_recovery: None,
            degraded: true,
            escalation: Vec::new(),
            flapping: None,
        }
    }
}

fn one() -> i32 {
    1
}

/// Further channels for an endpoint that stays down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// Time since it went down.
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')")
        .message("after must be longer than nothing"))]
    pub after: TimeSpan,
    /// Channels of the instance.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 63)))]
    pub channels: Vec<String>,
}

/// When changes come too often: from then on one is told only once the state has held for `within`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flapping {
    /// Number of changes.
    #[schemars(range(min = 2, max = 64))]
    pub changes: i32,
    /// Time in which they come.
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')")
        .message("within must be longer than nothing"))]
    pub within: TimeSpan,
}

/// A time that comes once or again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When it (first) starts: `2026-01-31T22:00` in its zone, `2026-01-31T22:00:00Z`, or `22:00` if it recurs.
    #[schemars(length(min = 4, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{4}-[0-9]{2}-[0-9]{2}[T ])?[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?$')")
        .message("start must be a time such as 22:00, 2026-01-31T22:00 or 2026-01-31T22:00:00Z"))]
    pub start: String,
    /// How long it lasts, at most 31 days.
    #[x_kube(validation = Rule::new("duration(self) > duration('0s') && duration(self) <= duration('744h')")
        .message("duration must be longer than nothing and at most 744h"))]
    pub duration: TimeSpan,
    /// `none`, `daily`, `weekly`, `monthly`, or five fields of cron that say when it starts.
    #[serde(default = "none")]
    #[schemars(length(min = 4, max = 128))]
    #[x_kube(validation = Rule::new("self in ['none', 'daily', 'weekly', 'monthly'] || self.matches('^[-0-9*/,]+( +[-0-9*/,]+){4}$')")
        .message("recurrence must be none, daily, weekly, monthly or five fields of cron (minute, hour, day of month, month, day of week)"))]
    pub recurrence: String,
    /// Zone by its IANA name, for example `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')")
        .message("timezone must be the name of a time zone, for example Europe/Berlin or UTC"))]
    pub timezone: String,
}

fn none() -> String {
    "none".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}
