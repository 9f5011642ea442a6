//! Where notices go, as the installation's manifest says.

use std::{collections::HashSet, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{Any, Row, Transaction};

use super::{Hold, enqueue};
use crate::{Endpoint, Flapping, MaintenanceWindow, Origin, Result, State, Store, Transition, db, endpoints};

/// A place that notices go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What it is, such as `slack`.
    pub kind: String,
    /// Whether endpoints that name no channels use it.
    pub default: bool,
    /// How long a notice waits for others of the same host; zero sends each by itself.
    #[serde(default)]
    pub group_wait: Duration,
    /// Shortest time between two notices of trouble of one endpoint, unless that says otherwise.
    #[serde(default)]
    pub cooldown: Duration,
    /// Whether it is told of recoveries.
    pub send_recovery: bool,
    /// When nothing is sent; what still holds goes out at the end.
    #[serde(default)]
    pub quiet_hours: Vec<MaintenanceWindow>,
    /// Attempts in all before a notice is given up; without it for a day.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// Pause before each further attempt; without it longer ones each time.
    #[serde(default)]
    pub pause: Option<Duration>,
    /// Addresses and secrets, in the shape of the manifest with every reference
    /// resolved. Never shown.
    pub config: serde_json::Value,
}

/// Most notices that one message lists.
const MOST_IN_GROUP: i64 = 500;

/// Most notices at once for a channel that takes each by a request of its own: all
/// of them must get through in the time that a message has.
const MOST_ONE_BY_ONE: i64 = 10;

/// Kind of a channel that lacks something.
const MISSING: &str = "missing";

impl Channel {
    /// A channel that endpoints use without naming it, and that is told of everything at once.
    pub fn new(name: impl Into<String>, kind: impl Into<String>, config: serde_json::Value) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            default: true,
            group_wait: Duration::ZERO,
            cooldown: Duration::ZERO,
            send_recovery: true,
            quiet_hours: Vec::new(),
            attempts: None,
            pause: None,
            config,
        }
    }

    /// A channel that lacks something, such as its Secret: nothing can be sent to it, and what it was
    /// to be told is a dead letter.
    pub fn missing(name: impl Into<String>, default: bool) -> Self {
        Self { default, ..Self::new(name, MISSING, serde_json::Value::Null) }
    }

    /// Most notices that it is given at once.
    pub(super) fn most(&self) -> i64 {
        match self.kind.as_str() {
            "pagerduty" | "opsgenie" => MOST_ONE_BY_ONE,
            _ => MOST_IN_GROUP,
        }
    }
}

impl Store {
    /// Makes `channels` the channels of the installation; tells whether they differ
    /// from those before. When one comes that endpoints use without naming it, it is
    /// told of the trouble that nobody was told of, as there was no channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_channels(&self, channels: &[Channel]) -> Result<bool> {
        let mut transaction = self.begin_brief().await?;
        // First of all, so that two writers wait for each other, and that no state changes until whoever
        // changes one finds these channels.
        sqlx::query("UPDATE sequences SET value = value WHERE name = 'transitions'")
            .execute(&mut *transaction)
            .await?;
        let mut wanted = channels.to_vec();
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        let before = load(&mut transaction).await?;
        if before == wanted {
            return Ok(false);
        }
        sqlx::query("DELETE FROM channels").execute(&mut *transaction).await?;
        for channel in &wanted {
            sqlx::query("INSERT INTO channels (name, spec) VALUES ($1, $2)")
                .bind(&channel.name)
                .bind(serde_json::to_string(channel)?)
                .execute(&mut *transaction)
                .await?;
        }
        // Their quiet hours may be others now.
        let now = db::now(&mut transaction).await?;
        sqlx::query("UPDATE notices SET due_at = $1 WHERE state = 'waiting' AND hold = $2")
            .bind(now)
            .bind(Hold::Quiet.as_str())
            .execute(&mut *transaction)
            .await?;
        let is_default = |channels: &[Channel], name: &str| find(channels, name).is_some_and(|it| it.default);
        if wanted.iter().any(|it| is_default(&wanted, &it.name) && !is_default(&before, &it.name)) {
            let untold = untold(&mut transaction).await?;
            enqueue(&mut transaction, &untold).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The channels of the installation, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels(&self) -> Result<Vec<Channel>> {
        let mut transaction = self.db.snapshot().await?;
        load(&mut transaction).await
    }
}

/// The trouble of endpoints that leave their channels to the installation, and of which no channel was
/// told or is about to be.
async fn untold(transaction: &mut Transaction<'static, Any>) -> Result<Vec<Transition>> {
    let told: Vec<i64> = sqlx::query_scalar(include_str!("../../sql/alerts/told_of_trouble.sql"))
        .fetch_all(&mut **transaction)
        .await?;
    let told: HashSet<i64> = told.into_iter().collect();
    let condition = "state IN ('Down', 'Degraded') AND $1 = $1";
    let troubled = endpoints::select(transaction, condition, "").await?;
    let untold = |endpoint: &Endpoint| {
        endpoint.origin != Origin::Monitor
            && endpoint.spec.alerts.channels.is_none()
            && endpoint.spec.alerts.told_as(endpoint.status.state) != State::Up
            && !told.contains(&endpoint.id)
    };
    let mut transitions = Vec::new();
    for endpoint in troubled.into_iter().filter(untold) {
        transitions.push(last_transition(transaction, endpoint).await?);
    }
    transitions.sort_by_key(|transition| transition.seq);
    Ok(transitions)
}

/// The transition that led to an endpoint's state, under its own number: its notices are the same ones,
/// however often they are planned.
async fn last_transition(
    transaction: &mut Transaction<'static, Any>,
    endpoint: Endpoint,
) -> Result<Transition> {
    let past = sqlx::query(include_str!("../../sql/alerts/transition.sql"))
        .bind(endpoint.project.0)
        .bind(endpoint.id)
        .bind(endpoint.transition)
        .fetch_optional(&mut **transaction)
        .await?;
    let (at, from, message) = match past {
        Some(past) => (past.try_get(0)?, State::parse(&past.try_get::<String, _>(1)?)?, past.try_get(2)?),
        // So long ago that it is not remembered.
        None => {
            let message = endpoint.status.last_check.and_then(|check| check.message);
            (endpoint.status.since, State::Unknown, message)
        }
    };
    Ok(Transition {
        endpoint: endpoint.id,
        project: endpoint.project,
        seq: endpoint.transition,
        at,
        from,
        from_since: at,
        to: endpoint.status.state,
        message,
        flapping: Flapping::No,
    })
}

/// The channel of a name, if there is one that lacks nothing.
pub(super) fn find<'a>(channels: &'a [Channel], name: &str) -> Option<&'a Channel> {
    channels.iter().find(|channel| channel.name == name && channel.kind != MISSING)
}

/// The channels by name. One that is damaged hides no other.
pub(super) async fn load(transaction: &mut Transaction<'static, Any>) -> Result<Vec<Channel>> {
    let rows =
        sqlx::query("SELECT name, spec FROM channels ORDER BY name").fetch_all(&mut **transaction).await?;
    let mut channels = Vec::with_capacity(rows.len());
    for row in &rows {
        match serde_json::from_str(&row.try_get::<String, _>(1)?) {
            Ok(channel) => channels.push(channel),
            Err(error) => {
                let name: String = row.try_get(0)?;
                tracing::error!(channel = name, %error, "a stored channel is damaged and left out");
            }
        }
    }
    Ok(channels)
}
