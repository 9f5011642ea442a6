//! Where notices go, as the installation's manifest says.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{Any, Row, Transaction};

use crate::{MaintenanceWindow, Result, Store};

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

impl Channel {
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
    /// from those before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_channels(&self, channels: &[Channel]) -> Result<bool> {
        let mut transaction = self.db.begin().await?;
        // First of all, so that two writers wait for each other.
        sqlx::query("DELETE FROM channels WHERE name = ''").execute(&mut *transaction).await?;
        let mut wanted = channels.to_vec();
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        if load(&mut transaction).await? == wanted {
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
