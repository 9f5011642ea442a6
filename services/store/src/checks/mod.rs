//! Results of checks, good and bad, and the transitions that they cause.
//!
//! They arrive in batches of many endpoints (`check_batches`, a row a flush)
//! and are sealed in the background into `check_segments`, an endpoint and UTC
//! day each, packed and with their sum. A day that is over is added up once more,
//! of all endpoints together (`check_days`).

mod availability;
mod days;
mod latency;
mod message;
mod newest;
mod pack;
mod read;
mod record;
mod seal;
mod summary;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

pub use availability::{Availability, Bucket, Outage};
pub use days::DaySpent;
pub use latency::Latency;
pub use read::PastTransition;
pub use record::{PlannedCheck, Recording};

use crate::{LastCheck, ProjectId, Result, Store};

/// One check of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Owner of the endpoint.
    pub project: ProjectId,
    /// The endpoint.
    pub endpoint: i64,
    /// When, how it went and why.
    pub result: LastCheck,
}

/// Share of good time in what was observed, per window; `None` where nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Uptime {
    /// Over the last 24 hours, 0 to 1.
    pub day: Option<f64>,
    /// Over the last 7 days, 0 to 1.
    pub week: Option<f64>,
    /// Over the last 30 days, 0 to 1.
    pub month: Option<f64>,
}

impl Store {
    /// Results of one endpoint since `from` (UTC milliseconds), oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checks(&self, project: ProjectId, endpoint: i64, from: i64) -> Result<Vec<LastCheck>> {
        self.checks_between(project, endpoint, from, i64::MAX, usize::MAX, false).await
    }

    /// Uptime of one endpoint over the 30 days before `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn uptime(&self, project: ProjectId, endpoint: i64, now: i64) -> Result<Uptime> {
        let mut shares = [None; 3];
        for (share, days) in shares.iter_mut().zip([1, 7, 30]) {
            *share = self.availability(project, endpoint, days_before(now, days), now).await?.uptime();
        }
        let [day, week, month] = shares;
        Ok(Uptime { day, week, month })
    }

    /// Uptime of every endpoint that was checked in the last 30 days before
    /// `now`. Of many endpoints, the answer may be up to a minute old, and
    /// nobody waits for a newer one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn uptimes(&self, now: i64) -> Result<HashMap<i64, Uptime>> {
        let mut known = self.uptimes.lock().await;
        if let Some(known) = known.as_mut().filter(|known| known.is_good(now)) {
            if !known.renewing && !known.is_fresh() {
                known.renewing = true;
                tokio::spawn(self.clone().renew_uptimes(now));
            }
            return Ok(known.uptimes.clone());
        }
        let made = self.make_uptimes(now).await?;
        Ok(known.insert(made).uptimes.clone())
    }

    async fn renew_uptimes(self, now: i64) {
        let made = self.make_uptimes(now).await;
        let mut known = self.uptimes.lock().await;
        match made {
            Ok(made) => *known = Some(made),
            Err(error) => {
                tracing::warn!(%error, "uptimes could not be made anew");
                // Whoever asks next waits for them, and hears what is wrong.
                *known = None;
            }
        }
    }

    async fn make_uptimes(&self, now: i64) -> Result<KnownUptimes> {
        let made = Instant::now();
        let from = [1, 7, 30].map(|days| days_before(now, days));
        let [day, week, month] = self.availabilities(from, now).await?;
        let of = |all: &HashMap<i64, Availability>, id| all.get(id).and_then(Availability::uptime);
        let uptimes = month
            .keys()
            .map(|id| (*id, Uptime { day: of(&day, id), week: of(&week, id), month: of(&month, id) }))
            .collect();
        Ok(KnownUptimes { now, taken: made.elapsed(), made, renewing: false, uptimes })
    }
}

/// Endpoints from which on their uptimes may be those of a moment ago.
const MANY: usize = 200;

/// Uptimes of a moment ago.
#[derive(Debug)]
pub(crate) struct KnownUptimes {
    now: i64,
    /// How long they took to make.
    taken: Duration,
    made: Instant,
    /// Whether newer ones are being made.
    renewing: bool,
    uptimes: HashMap<i64, Uptime>,
}

impl KnownUptimes {
    /// Whether they will do.
    fn is_good(&self, now: i64) -> bool {
        self.uptimes.len() >= MANY && now >= self.now && self.made.elapsed() < Duration::from_secs(60)
    }

    /// Whether newer ones can wait: making them must not take more than a fiftieth of the time.
    fn is_fresh(&self) -> bool {
        self.made.elapsed() < (self.taken * 50).clamp(Duration::from_secs(1), Duration::from_secs(60))
    }
}

fn days_before(now: i64, days: i64) -> i64 {
    now - days * crate::DAY_MS
}
