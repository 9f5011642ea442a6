//! A notice and what it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{Row, any::AnyRow};

use crate::{Result, State, StoreError, words::words};

words! {
    /// What a notice is about.
    Kind {
        /// An endpoint is down.
        Down = "down",
        /// It answers, and less well than it should.
        Degraded = "degraded",
        /// It is well again.
        Recovery = "recovery",
        /// It is still down, or still degraded.
        Reminder = "reminder",
        /// It has been down for so long that others are told as well.
        Escalation = "escalation",
        /// Its state changes too often for a notice each.
        Flapping = "flapping",
        /// Somebody asked for a test.
        Test = "test",
    }
}

words! {
    /// Why a notice may not go out yet.
    Hold {
        /// The endpoint flaps: it goes out once the state has held.
        Flapping = "flapping",
        /// The last notice of trouble was too recent.
        Cooldown = "cooldown",
        /// It is not known yet whether what it depends on is down as well, or it is.
        Dependency = "dependency",
        /// Its channel has quiet hours.
        Quiet = "quiet",
        /// It is for later, should the trouble last.
        Escalation = "escalation",
        /// It repeats another, should the trouble last.
        Reminder = "reminder",
        /// Its endpoint is being maintained.
        Maintenance = "maintenance",
    }
}

words! {
    /// What has become of a notice.
    NoticeState {
        /// It is to be sent, now or later.
        Waiting = "waiting",
        /// Somebody is sending it.
        Sending = "sending",
        /// Its channel took it.
        Sent = "sent",
        /// Its channel refused it for too long.
        Dead = "dead",
        /// What it should have told was over before it could be told.
        Dropped = "dropped",
    }
}

/// What a notice tells of its endpoint, as it was at the transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Identity of the endpoint.
    pub uid: String,
    /// Namespace of its manifest, or "".
    pub namespace: String,
    /// Name of its manifest.
    pub name: String,
    /// Name to show.
    pub display_name: String,
    /// Group it is shown in.
    pub group: Option<String>,
    /// What is probed, without credentials and query.
    pub target: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// Since when it had been in the state before, UTC milliseconds.
    pub from_since: i64,
    /// What the check that decided said.
    pub message: Option<String>,
    /// Its HTTP status, if there was an answer.
    #[serde(default)]
    pub status: Option<i32>,
    /// How long it took, microseconds.
    #[serde(default)]
    pub duration_us: Option<i64>,
}

/// A notice as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Number in this store.
    pub id: i64,
    /// The endpoint; 0 for a test.
    pub endpoint: i64,
    /// Name of the channel.
    pub channel: String,
    /// What it is about.
    pub kind: Kind,
    /// What whoever reads the channel knows of the endpoint afterwards.
    pub condition: State,
    /// Number of the transition that began the trouble: the same for every notice of it.
    pub episode: i64,
    /// When the transition was, UTC milliseconds.
    pub at: i64,
    /// What it tells.
    pub details: Details,
    /// What has become of it.
    pub state: NoticeState,
    /// Why it may not go out yet.
    pub hold: Option<Hold>,
    /// When it is looked at next, UTC milliseconds.
    pub due_at: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// Identity of the message it went out in, which it may share with others.
    pub delivery: Option<String>,
    /// What the last attempt said, or why it was dropped.
    pub error: Option<String>,
    /// When it was made, UTC milliseconds.
    pub created_at: i64,
    /// When it was sent, given up or dropped, UTC milliseconds.
    pub finished_at: Option<i64>,
    /// When it was tried first, UTC milliseconds.
    pub tried_at: Option<i64>,
}

impl Notice {
    /// The notice of a row; one that is damaged, or of a kind that this release does not know, holds up
    /// no other.
    pub(super) fn readable(row: &AnyRow) -> Option<Self> {
        Self::try_from(row)
            .inspect_err(|error| {
                let id: i64 = row.try_get(0).unwrap_or_default();
                tracing::error!(id, %error, "a stored notice is damaged and left out");
            })
            .ok()
    }
}

/// Columns in the order that [`Notice`] is read.
pub(super) const COLUMNS: &str = "id, endpoint_id, channel, kind, condition, episode, at, details, state, \
                                  hold, due_at, attempts, delivery, error, created_at, finished_at, tried_at";

impl TryFrom<&AnyRow> for Notice {
    type Error = StoreError;

    fn try_from(row: &AnyRow) -> Result<Self> {
        let word = |index: usize| row.try_get::<String, _>(index);
        let damaged = |what: &str, text: &str| StoreError::Damaged(format!("{what} {text} of a notice"));
        let (kind, state, hold) = (word(3)?, word(8)?, row.try_get::<Option<String>, _>(9)?);
        Ok(Self {
            id: row.try_get(0)?,
            endpoint: row.try_get(1)?,
            channel: word(2)?,
            kind: Kind::parse(&kind).ok_or_else(|| damaged("kind", &kind))?,
            condition: State::parse(&word(4)?)?,
            episode: row.try_get(5)?,
            at: row.try_get(6)?,
            details: serde_json::from_str(&word(7)?)?,
            state: NoticeState::parse(&state).ok_or_else(|| damaged("state", &state))?,
            hold: hold.map(|hold| Hold::parse(&hold).ok_or_else(|| damaged("hold", &hold))).transpose()?,
            due_at: row.try_get(10)?,
            attempts: row.try_get(11)?,
            delivery: row.try_get(12)?,
            error: row.try_get(13)?,
            created_at: row.try_get(14)?,
            finished_at: row.try_get(15)?,
            tried_at: row.try_get(16)?,
        })
    }
}
