//! Leader election by a Lease.
//!
//! Who holds the Lease is written with its `resourceVersion`, so of two writers one
//! fails. Whether another holder is gone is judged by the local monotonic clock from
//! the moment a change of the Lease was seen, so clocks need not agree.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gate::Deadline;

/// Where the Lease is and how fast it changes hands.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who this process is; differs for every process.
    pub identity: String,
    /// Silence after which others may take over.
    pub duration: Duration,
    /// Silence after which the holder itself stops; shorter than `duration`.
    pub renew_deadline: Duration,
    /// Pause between two looks.
    pub retry: Duration,
}

impl LeaseOptions {
    /// The usual times: 15 s, 10 s, 2 s, and an identity that no other process has.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: format!("{host}_{}", uuid::Uuid::new_v4()),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What is known of the Lease: its holder and when it was last seen to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Who holds it; nobody after a release.
    pub holder: Option<String>,
    /// How long the holder may be silent.
    pub duration: Duration,
    /// Local time at which the newest change was seen.
    pub changed_at: Instant,
}

/// What to do about the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is ours: renew it.
    Renew,
    /// It is free: take it.
    Acquire,
    /// Another holds it.
    Wait,
}

/// Judges what is known of the Lease at a moment.
#[must_use]
pub fn evaluate(lease: Option<&Observed>, identity: &str, now: Instant) -> Verdict {
    let Some(lease) = lease else {
        return Verdict::Acquire;
    };
    match lease.holder.as_deref() {
        Some(holder) if holder == identity => Verdict::Renew,
        None | Some("") => Verdict::Acquire,
        Some(_) if now.duration_since(lease.changed_at) >= lease.duration => Verdict::Acquire,
        Some(_) => Verdict::Wait,
    }
}

/// Takes part in the election until told to stop, then gives the Lease back.
/// `leading` is true exactly while the Lease is known to be held, and `deadline` is when others may take it.
pub async fn elect(
    client: Client,
    options: LeaseOptions,
    leading: watch::Sender<bool>,
    deadline: Deadline,
    stop: CancellationToken,
) {
    let api = Api::namespaced(client, &options.namespace);
    let mut elector = Elector { api, options, leading, deadline, seen: None, confirmed_at: None };
    while !stop.is_cancelled() {
        elector.step().await;
        let pause = elector.options.retry;
        let _ = tokio::time::timeout(pause, stop.cancelled()).await;
    }
    elector.release().await;
}

struct Elector {
    api: Api<Lease>,
    options: LeaseOptions,
    leading: watch::Sender<bool>,
    deadline: Deadline,
    /// The newest `resourceVersion` seen, and what was known then.
    seen: Option<(String, Observed)>,
    /// When the newest confirmed renewal was sent.
    confirmed_at: Option<Instant>,
}

impl Elector {
    /// One look and, where it is ours to make, one write; never longer than the
    /// time this process may still believe that it leads.
    async fn step(&mut self) {
        let deadline = match self.confirmed_at {
            Some(at) => at + self.options.renew_deadline,
            None => Instant::now() + self.options.renew_deadline,
        };
        match tokio::time::timeout_at(deadline, self.try_step()).await {
            Ok(Ok(holds)) => self.set(holds),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease cannot be renewed");
                self.give_up_if_late(deadline);
            }
            Err(_) => {
                tracing::warn!("the lease was not renewed in time");
                self.give_up_if_late(deadline);
            }
        }
    }

    fn give_up_if_late(&mut self, deadline: Instant) {
        // The next look comes after a pause, and by then it may be too late to stop.
        if Instant::now() + self.options.retry >= deadline {
            self.set(false);
        }
    }

    fn set(&mut self, holds: bool) {
        if !holds {
            self.confirmed_at = None;
        }
        let changed = self.leading.send_if_modified(|leads| std::mem::replace(leads, holds) != holds);
        if changed {
            tracing::info!(identity = self.options.identity, leading = holds, "leadership changed");
        }
    }

    async fn try_step(&mut self) -> Result<bool, kube::Error> {
        let lease = self.api.get_opt(&self.options.name).await?;
        let now = Instant::now();
        self.observe(lease.as_ref(), now);
        let observed = self.seen.as_ref().map(|(_, observed)| observed);
        match evaluate(observed, &self.options.identity, now) {
            Verdict::Wait => Ok(false),
            verdict => self.write(lease, verdict == Verdict::Acquire, now).await,
        }
    }

    fn observe(&mut self, lease: Option<&Lease>, now: Instant) {
        let Some(lease) = lease else {
            self.seen = None;
            return;
        };
        let version = lease.resource_version().unwrap_or_default();
        if self.seen.as_ref().is_some_and(|(seen, _)| *seen == version) {
            return;
        }
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        self.seen = Some((
            version,
            Observed {
                holder: spec.holder_identity,
                duration: seconds.map_or(self.options.duration, Duration::from_secs),
                changed_at: now,
            },
        ));
    }

    async fn write(
        &mut self,
        lease: Option<Lease>,
        acquire: bool,
        now: Instant,
    ) -> Result<bool, kube::Error> {
        let time = Some(MicroTime(Timestamp::now()));
        let old = lease.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(self.options.identity.clone()),
            lease_duration_seconds: Some(
                i32::try_from(self.options.duration.as_secs()).unwrap_or(i32::MAX).max(1),
            ),
            acquire_time: if acquire { time.clone() } else { old.acquire_time },
            renew_time: time,
            lease_transitions: Some(
                old.lease_transitions.unwrap_or_default() + i32::from(acquire && lease.is_some()),
            ),
            ..LeaseSpec::default()
        };
        let result = match lease {
            None => {
                let lease = Lease {
                    metadata: ObjectMeta { name: Some(self.options.name.clone()), ..ObjectMeta::default() },
                    spec: Some(spec),
                };
                self.api.create(&PostParams::default(), &lease).await
            }
            Some(mut lease) => {
                // The resourceVersion stays in, so that of two writers one fails.
                lease.spec = Some(spec);
                self.api.replace(&self.options.name, &PostParams::default(), &lease).await
            }
        };
        match result {
            Ok(written) => {
                self.observe(Some(&written), now);
                self.confirmed_at = Some(now);
                self.deadline.set(now + self.options.duration);
                Ok(true)
            }
            // Another was faster: look again at the next turn.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stops writes first, then lets others in at once.
    async fn release(&mut self) {
        let held = *self.leading.borrow();
        self.set(false);
        if !held {
            return;
        }
        let give_back = async {
            let Some(mut lease) = self.api.get_opt(&self.options.name).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.options.identity) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.api.replace(&self.options.name, &PostParams::default(), &lease).await.map(|_| ())
        };
        match tokio::time::timeout(self.options.retry.max(Duration::from_secs(2)), give_back).await {
            Ok(Ok(())) => tracing::info!("lease released"),
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not released and will run out"),
            Err(_) => tracing::warn!("the lease was not released in time and will run out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: Option<&str>, changed_at: Instant) -> Observed {
        Observed { holder: holder.map(str::to_owned), duration: Duration::from_secs(15), changed_at }
    }

    #[test]
    fn a_missing_or_released_lease_is_taken() {
        let now = Instant::now();
        assert_eq!(evaluate(None, "me", now), Verdict::Acquire);
        assert_eq!(evaluate(Some(&held(None, now)), "me", now), Verdict::Acquire);
        assert_eq!(evaluate(Some(&held(Some(""), now)), "me", now), Verdict::Acquire);
    }

    #[test]
    fn our_own_lease_is_renewed_however_old_it_is() {
        let now = Instant::now();
        let later = now + Duration::from_secs(3_600);
        assert_eq!(evaluate(Some(&held(Some("me"), now)), "me", later), Verdict::Renew);
    }

    #[test]
    fn the_lease_of_another_is_respected_until_it_has_been_silent_for_its_duration() {
        let seen = Instant::now();
        let lease = held(Some("other"), seen);
        let at = |seconds| seen + Duration::from_secs(seconds);
        assert_eq!(evaluate(Some(&lease), "me", at(0)), Verdict::Wait);
        assert_eq!(evaluate(Some(&lease), "me", at(14)), Verdict::Wait);
        assert_eq!(evaluate(Some(&lease), "me", at(15)), Verdict::Acquire);
    }

    #[test]
    fn the_holder_stops_before_others_may_begin() {
        let options = LeaseOptions::new("a", "b");
        assert!(options.renew_deadline + options.retry <= options.duration);
        assert_ne!(options.identity, LeaseOptions::new("a", "b").identity);
    }
}
