//! What to watch and how, as stored.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{AlertSpec, MaintenanceWindow, Probe};

/// What to watch and how, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// Name to show.
    pub display_name: String,
    /// Group to show it in.
    #[serde(default)]
    pub group: Option<String>,
    /// Time from the start of one check to the start of the next.
    pub interval: Duration,
    /// Longest time of one attempt.
    pub timeout: Duration,
    /// Further attempts after a bad one, before the check counts as bad.
    #[serde(default)]
    pub retries: u32,
    /// Pause between attempts.
    #[serde(default)]
    pub backoff: Duration,
    /// Which attempts are repeated, and how the pauses grow.
    #[serde(default)]
    pub retry: Retry,
    /// Whether checks are suspended.
    #[serde(default)]
    pub suspended: bool,
    /// The probe.
    pub probe: Probe,
    /// Labels for metrics, routes of notices and searches.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What must hold of an answer besides the probe's own terms.
    #[serde(default)]
    pub assertions: Vec<Assertion>,
    /// Who is told of transitions, and when.
    #[serde(default)]
    pub alerts: AlertSpec,
    /// Times when bad checks are expected.
    #[serde(default)]
    pub maintenance: Vec<MaintenanceWindow>,
    /// Endpoints without which this one cannot be up: `namespace/name`, or names in the same namespace.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Objective for its availability.
    #[serde(default)]
    pub slo: Option<Slo>,
}

impl EndpointSpec {
    /// A check every minute with a timeout of ten seconds, and nothing more.
    pub fn new(display_name: impl Into<String>, probe: Probe) -> Self {
        Self {
            display_name: display_name.into(),
            group: None,
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            retries: 0,
            backoff: Duration::ZERO,
            retry: Retry::default(),
            suspended: false,
            probe,
            labels: BTreeMap::new(),
            assertions: Vec::new(),
            alerts: AlertSpec::default(),
            maintenance: Vec::new(),
            depends_on: Vec::new(),
            slo: None,
        }
    }
}

/// Which attempts are repeated, and how the pauses between them grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Whether only attempts without an answer are repeated: an answer that is not as expected stands.
    pub no_answer_only: bool,
    /// Whether each pause is twice as long as the one before, a minute at most, and each shortened or
    /// lengthened by up to a half at random.
    pub exponential: bool,
}

/// One thing that must hold of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// The condition, as `[STATUS] == 200`.
    pub condition: String,
    /// What it means when it does not hold.
    #[serde(default)]
    pub severity: Severity,
}

/// What it means when an assertion does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The check is bad.
    #[default]
    Down,
    /// The check is good, and the endpoint works less well than it should.
    Degraded,
}

/// Objective for an endpoint's availability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Share of good checks, 0 to 1.
    pub target: f64,
    /// Time over which it must hold.
    pub window: Duration,
}
