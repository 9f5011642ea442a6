//! What is learnt about the addresses of websites after their views were stored: the host name, the
//! city, and whether a robot asks from there.
//!
//! Any replica may do this; a lease lets one at a time do it for a project. A day is looked at again
//! when its number of hits has changed, and what is learnt twice changes nothing, so a run that
//! dies is simply done again.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use watchkeeper_analytics::{Visit, Visits};
use watchkeeper_store::{
    AddressFacts, AddressState, AddressUpdate, DAY_MS, Hit, Lease, ProjectId, Result, Store, StoreError,
    day_of, now_ms,
};

use super::{
    Name, ReverseDns, SiteMetrics,
    classify::{ROBOT_RATE, host_is_bot},
};
use crate::enrich::Enricher;

/// Time between looks for hits that were not processed.
const PAUSE: Duration = Duration::from_secs(10);

/// How much longer a pause is at least than the work before it.
const REST: u32 = 10;

/// How long a replica that has died holds a project up.
const LEASE: Duration = Duration::from_secs(60);

/// Addresses that are learnt about and stored at a time. All of them unanswered take less than [`LEASE`].
const CHUNK: usize = 256;

/// Addresses whose state is asked for at a time.
const KNOWN: usize = 4_096;

/// Addresses of a day that are looked at: whoever may report views may make them up without end.
const ADDRESSES: usize = 500_000;

/// Hits of a day by whose times the rate of an address is judged.
const TIMES: usize = 1 << 23;

/// Questions to DNS at once.
const ASKED_AT_ONCE: usize = 32;

/// Time after which DNS is asked again about what it did not answer, milliseconds.
const ASK_AGAIN: i64 = 3_600_000;

/// How addresses are processed.
#[derive(Clone)]
pub struct ProcessorOptions {
    /// Who asks DNS; nobody if there is none.
    pub names: Option<ReverseDns>,
    /// Idle time that ends a visit, milliseconds.
    pub visit_idle: i64,
    /// Who this is, for leases: unique per process.
    pub holder: String,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Processed {
    /// Days looked at.
    pub days: usize,
    /// Addresses of which something new was learnt.
    pub addresses: usize,
}

impl std::ops::AddAssign for Processed {
    fn add_assign(&mut self, other: Self) {
        self.days += other.days;
        self.addresses += other.addresses;
    }
}

/// Learns about addresses; clones share everything.
#[derive(Clone)]
pub struct Processor {
    store: Store,
    enricher: Enricher,
    options: ProcessorOptions,
    metrics: SiteMetrics,
}

/// What a day's hits say about one address.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    last_seen: i64,
    agent: bool,
    rate: bool,
}

impl Processor {
    /// A processor of the addresses in `store`.
    pub fn new(store: Store, enricher: Enricher, options: ProcessorOptions, metrics: SiteMetrics) -> Self {
        Self { store, enricher, options, metrics }
    }

    /// Processes what arrives until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut pause = PAUSE;
        while tokio::time::timeout(pause, shutdown.cancelled()).await.is_err() {
            let start = tokio::time::Instant::now();
            let done = tokio::select! {
                // What is half done is done again.
                () = shutdown.cancelled() => return,
                done = self.process_all(|_| {}) => done,
            };
            if let Err(error) = done {
                self.metrics.errors.inc();
                tracing::warn!(%error, "addresses could not be processed; they will be tried again");
            }
            pause = PAUSE.max(start.elapsed() * REST);
        }
    }

    /// Processes every project that no other replica is at.
    ///
    /// # Errors
    /// When the store fails for one; the others were still tried.
    pub async fn process_all(&self, mut progress: impl FnMut(Processed)) -> Result<Processed> {
        let (mut all, mut failed) = (Processed::default(), None);
        for project in self.store.sites().await? {
            match self.process(project, &mut progress).await {
                Ok(done) => all += done.unwrap_or_default(),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(all), Err)
    }

    /// Processes one project and calls `progress` along the way; `None` if another replica is at it.
    ///
    /// # Errors
    /// When the store fails; running it again continues.
    pub async fn process(
        &self,
        project: ProjectId,
        progress: &mut impl FnMut(Processed),
    ) -> Result<Option<Processed>> {
        let lease =
            Lease { name: format!("site/{}", project.0), holder: self.options.holder.clone(), ttl: LEASE };
        if !self.store.hold(&lease).await? {
            return Ok(None);
        }
        let done = self.process_held(project, &lease, progress).await;
        self.store.release(&lease).await?;
        done.map(Some)
    }

    async fn process_held(
        &self,
        project: ProjectId,
        lease: &Lease,
        progress: &mut impl FnMut(Processed),
    ) -> Result<Processed> {
        let mut done = Processed::default();
        let processed = self.store.processed_days(project).await?;
        let mut days = self.store.snapshot(project, i64::MIN, i64::MAX).await?.days().to_vec();
        days.retain(|day| processed.get(&day.day) != Some(&day.rows));
        for day in days {
            let erasures = self.store.erasures(project).await?;
            let (rows, evidence) = self.look_at(project, day.day).await?;
            for looked_at in evidence.chunks(KNOWN) {
                let ips: Vec<&str> = looked_at.iter().map(|(ip, _)| ip.as_str()).collect();
                let states = self.store.address_states(project, &ips).await?;
                let news = looked_at.iter().filter(|(ip, evidence)| is_news(states.get(ip), evidence));
                let news: Vec<(String, Evidence)> = news.cloned().collect();
                for chunk in news.chunks(CHUNK) {
                    let Some(learnt) = self.learn(project, lease, erasures, chunk, &states).await? else {
                        return Ok(done);
                    };
                    done.addresses += learnt;
                    progress(done);
                }
            }
            self.store.put_processed_day(project, day.day, rows).await?;
            done.days += 1;
            progress(done);
        }
        done.addresses += self.ask_again(project, lease).await?;
        Ok(done)
    }

    /// The number of a day's hits, and what they say about each address.
    async fn look_at(&self, project: ProjectId, day: i64) -> Result<(usize, Vec<(String, Evidence)>)> {
        let from = day.saturating_mul(DAY_MS);
        // Ended before DNS is asked, which takes its time: it holds a connection.
        let mut snapshot = self.store.snapshot(project, from, from.saturating_add(DAY_MS)).await?;
        let rows = snapshot.days().iter().map(|day| day.rows).sum();
        let requests = snapshot.fold(day, &["ts", "ip", "bot"], Requests::default(), Requests::add).await?;
        if requests.numbers.len() >= ADDRESSES {
            tracing::warn!(
                project = project.0,
                day,
                "a day has more addresses than are looked at: {ADDRESSES}"
            );
        }
        let idle = self.options.visit_idle;
        let evidence = tokio::task::spawn_blocking(move || requests.evidence(idle)).await;
        Ok((rows, evidence.map_err(|error| StoreError::Damaged(error.to_string()))?))
    }

    /// Asks again about addresses that DNS did not answer for.
    async fn ask_again(&self, project: ProjectId, lease: &Lease) -> Result<usize> {
        if self.options.names.is_none() {
            return Ok(0);
        }
        let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let erasures = self.store.erasures(project).await?;
        let waiting = self.store.unasked_addresses(project, now_ms() - ASK_AGAIN, limit).await?;
        let states: HashMap<String, AddressState> = waiting.into_iter().collect();
        let asked: Vec<(String, Evidence)> = states
            .iter()
            .map(|(ip, state)| (ip.clone(), Evidence { last_seen: state.last_seen, ..Evidence::default() }))
            .collect();
        if asked.is_empty() {
            return Ok(0);
        }
        Ok(self.learn(project, lease, erasures, &asked, &states).await?.unwrap_or_default())
    }

    /// Learns about a few addresses and stores it; `None` if another replica has taken over, or somebody
    /// was erased since there were `erasures`, before these addresses were read: one may be theirs. The
    /// next run looks again.
    async fn learn(
        &self,
        project: ProjectId,
        lease: &Lease,
        erasures: i64,
        addresses: &[(String, Evidence)],
        states: &HashMap<String, AddressState>,
    ) -> Result<Option<usize>> {
        // It must outlast the questions that follow.
        if !self.store.hold(lease).await? {
            return Ok(None);
        }
        let facts: Vec<_> = addresses
            .iter()
            .map(|(ip, evidence)| self.facts(ip, *evidence, states.get(ip).copied()))
            .collect();
        let updates: Vec<AddressUpdate> = stream::iter(facts).buffered(ASKED_AT_ONCE).collect().await;
        if !self.store.put_addresses(project, erasures, &updates).await? {
            return Ok(None);
        }
        self.metrics.addresses.inc_by(updates.len() as u64);
        Ok(Some(updates.len()))
    }

    async fn facts(&self, ip: &str, evidence: Evidence, state: Option<AddressState>) -> AddressUpdate {
        let name = match &self.options.names {
            Some(names) if !state.is_some_and(|state| state.asked) => Some(self.ask(names, ip).await),
            _ => None,
        };
        let asked = matches!(name, Some(Name::Known(_) | Name::None));
        let host = match name {
            Some(Name::Known(host)) => Some(host),
            _ => None,
        };
        let named = host.as_deref().is_some_and(host_is_bot);
        for (reason, holds) in [("agent", evidence.agent), ("host", named), ("rate", evidence.rate)] {
            self.metrics.robots.with_label_values(&[reason]).inc_by(u64::from(holds));
        }
        let place = ip.parse::<IpAddr>().map(|ip| self.enricher.place(ip)).unwrap_or_default();
        let bot = evidence.agent || evidence.rate || named;
        AddressUpdate {
            ip: ip.to_owned(),
            facts: AddressFacts { host, city: place.city, region: place.region, bot: Some(bot) },
            asked,
            last_seen: evidence.last_seen,
        }
    }

    async fn ask(&self, names: &ReverseDns, ip: &str) -> Name {
        let timer = self.metrics.lookup_duration.start_timer();
        let name = names.ask(ip).await;
        timer.observe_duration();
        let result = match name {
            Name::Known(_) => "name",
            Name::None => "no_name",
            Name::NoAnswer => "no_answer",
        };
        self.metrics.lookups.with_label_values(&[result]).inc();
        name
    }
}

/// Whether an address has to be looked at for what a day says about it.
fn is_news(state: Option<&AddressState>, evidence: &Evidence) -> bool {
    state.is_none_or(|state| {
        state.bot.is_none()
            || (state.bot == Some(false) && (evidence.agent || evidence.rate))
            || day_of(state.last_seen) < day_of(evidence.last_seen)
    })
}

/// The requests of a day by address.
#[derive(Debug, Default)]
struct Requests {
    numbers: HashMap<String, usize>,
    /// By number; nothing is said of the rate yet.
    evidence: Vec<Evidence>,
    all: Vec<(i64, u32)>,
}

impl Requests {
    fn add(&mut self, hit: &Hit) {
        // What is no address may have a character that cannot be kept beside it.
        let Some(ip) = hit.ip.as_ref().filter(|ip| !ip.contains('\0')) else { return };
        let number = match self.numbers.get(ip) {
            Some(number) => *number,
            None if self.numbers.len() == ADDRESSES => return,
            None => {
                self.numbers.insert(ip.clone(), self.evidence.len());
                self.evidence.push(Evidence { last_seen: hit.ts, ..Evidence::default() });
                self.evidence.len() - 1
            }
        };
        let evidence = &mut self.evidence[number];
        evidence.agent |= hit.bot == Some(true);
        evidence.last_seen = evidence.last_seen.max(hit.ts);
        if self.all.len() < TIMES {
            self.all.push((hit.ts, u32::try_from(number).unwrap_or(u32::MAX)));
        }
    }

    /// What they say about each address. A visit over midnight is judged by its parts.
    fn evidence(self, idle: i64) -> Vec<(String, Evidence)> {
        let Self { numbers, mut evidence, mut all } = self;
        all.sort_unstable();
        let mut visits = Visits::new(idle);
        let mut judge = |number: u32, visit: Visit| {
            evidence[number as usize].rate |= visit.requests_per_second() >= ROBOT_RATE;
        };
        for (ts, number) in all {
            if let Some(visit) = visits.push(number, ts) {
                judge(number, visit);
            }
        }
        visits.finish().for_each(|(number, visit)| judge(number, visit));
        numbers.into_iter().map(|(ip, number)| (ip, evidence[number])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(seconds: &[i64], bot: bool) -> Evidence {
        let mut requests = Requests::default();
        for second in seconds {
            requests.add(&Hit {
                ts: second * 1_000,
                ip: Some("1.2.3.4".into()),
                bot: Some(bot),
                ..Hit::default()
            });
        }
        requests.evidence(600_000)[0].1
    }

    #[test]
    fn a_request_a_second_is_a_robots_rate_and_a_slow_visitor_is_none() {
        assert!(evidence(&[0, 1, 2, 3], false).rate);
        assert!(!evidence(&[0, 3_600], false).rate, "two hits an hour apart");
        assert!(!evidence(&[0, 60, 120], false).rate);
        assert!(!evidence(&[5], false).rate);
    }

    #[test]
    fn a_burst_after_a_long_pause_is_a_visit_of_its_own() {
        assert!(evidence(&[0, 7_200, 7_201, 7_202], false).rate);
    }

    #[test]
    fn one_robots_agent_is_enough_and_the_last_hit_is_noted() {
        let evidence = evidence(&[9, 3], true);
        assert!(evidence.agent && evidence.last_seen == 9_000);
    }

    #[test]
    fn no_more_addresses_are_looked_at_than_there_is_room_for_and_those_to_the_end() {
        let mut requests = Requests::default();
        let hit = |n: usize, ts| Hit { ts, ip: Some(n.to_string()), bot: Some(false), ..Hit::default() };
        (0..=ADDRESSES).for_each(|n| requests.add(&hit(n, 0)));
        requests.add(&hit(0, 5));
        let evidence = requests.evidence(600_000);
        assert_eq!(evidence.len(), ADDRESSES);
        assert!(evidence.iter().any(|(ip, evidence)| ip == "0" && evidence.last_seen == 5));
    }
}
