//! Checkers that share endpoints while they are killed, frozen and cut off: no
//! check is stored twice, none is missing for longer than two heartbeats and an
//! interval, and each change of a target is one transition, of which a mail
//! server and an HTTP server are told once. `WATCHKEEPER_SOAK` makes it 100 rounds.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng;
use serde_json::json;
use watchkeeper_e2e::proxy::Proxy;
use watchkeeper_e2e::sinks::{Sinks, Told};
use watchkeeper_e2e::targets::Targets;
use watchkeeper_store::alerts::{Channel, NoticeFilter, NoticeState};
use watchkeeper_store::{
    EndpointSpec, HttpProbe, NewEndpoint, Options, Origin, Probe, ProjectId, State, Store, now_ms,
};
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const ENDPOINTS: usize = 40;
const INTERVAL: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than a claim lasts, which is the longest that a notice waits for a sender that died.
const NOTICE_PATIENCE: Duration = Duration::from_secs(150);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Frozen,
    CutOff,
}

const FAULTS: [Fault; 3] = [Fault::Killed, Fault::Frozen, Fault::CutOff];

#[tokio::test(flavor = "multi_thread")]
async fn of_two_checkers_one_may_die_freeze_or_be_cut_off() {
    rounds_of_faults(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_checkers_one_may_die_freeze_or_be_cut_off() {
    rounds_of_faults(3).await;
}

struct Member {
    proxy: Proxy,
    checker: Watchkeeper,
}

async fn rounds_of_faults(members: usize) {
    let postgres = Postgres::shared().unwrap();
    let url = postgres.database().unwrap();
    let store = Store::open(&Options::postgres(&url, None).unwrap()).await.unwrap();
    let (targets, sinks) = (Targets::start().await.unwrap(), Sinks::start().unwrap());
    store.put_channels(&channels(&sinks)).await.unwrap();
    for number in 0..ENDPOINTS {
        store.put_endpoint(&endpoint(number, &targets)).await.unwrap();
    }
    let ids: Vec<i64> = store.endpoints().await.unwrap().iter().map(|endpoint| endpoint.id).collect();

    let mut checkers = Vec::new();
    for _ in 0..members {
        let proxy = Proxy::start(postgres.port()).await.unwrap();
        let through = url.replace(&format!(":{}/", postgres.port()), &format!(":{}/", proxy.port()));
        let checker = Watchkeeper::checker(&through)
            .arg("--checker-heartbeat")
            .arg(format!("{}s", HEARTBEAT.as_secs()))
            .start()
            .unwrap();
        checkers.push(Member { proxy, checker });
    }
    wait::until_async("all endpoints are up and shared", PATIENCE, async || {
        let up = store.endpoints().await?.iter().all(|endpoint| endpoint.status.state == State::Up);
        let view = store.checkers().await?;
        let owners: BTreeSet<i64> = view.shards.iter().filter_map(|owner| *owner).collect();
        Ok((up && view.replicas.len() == members && owners.len() == members).then_some(()))
    })
    .await
    .unwrap();

    let begin = now_ms();
    let rounds =
        if std::env::var_os("WATCHKEEPER_SOAK").is_some_and(|value| !value.is_empty()) { 100 } else { 3 };
    let (mut changes, mut told, mut caught) = (0, Vec::new(), Vec::new());
    for round in 0..rounds {
        // The short form has each fault once, the long one what comes.
        let (fault, victim) = if rounds == FAULTS.len() {
            (FAULTS[round % FAULTS.len()], round % members)
        } else {
            (FAULTS[rand::rng().random_range(0..FAULTS.len())], rand::rng().random_range(0..members))
        };
        let Member { proxy, checker } = &checkers[victim];
        match fault {
            Fault::Killed => checker.kill9().unwrap(),
            Fault::Frozen => checker.with_process(|process| process.freeze()).unwrap(),
            Fault::CutOff => proxy.set_cut(true),
        }
        caught.extend(claimed(&store).await);
        // In the middle of it a target changes, which whoever probes it now must notice once.
        let target = round % ENDPOINTS;
        targets.set_down(target, true);
        becomes(&store, ids[target], State::Down).await;
        targets.set_down(target, false);
        becomes(&store, ids[target], State::Up).await;
        changes += 2;
        told.extend(["down", "recovery"].map(|kind| (format!("target-{target}"), kind.to_owned())));
        // Longer than it takes to lose a term, so that it comes back to shards that are another's.
        tokio::time::sleep(HEARTBEAT * 2).await;
        match fault {
            Fault::Killed => checker.restart().unwrap(),
            Fault::Frozen => checker.with_process(|process| process.thaw()).unwrap(),
            Fault::CutOff => proxy.set_cut(false),
        }
        wait::until_async("all checkers share again", PATIENCE, async || {
            let view = store.checkers().await?;
            let alive = view.replicas.iter().filter(|replica| !replica.expires_in.is_zero());
            let alive: BTreeSet<i64> = alive.map(|replica| replica.term).collect();
            let owners: BTreeSet<i64> = view.shards.iter().filter_map(|owner| *owner).collect();
            Ok((alive.len() == members && owners == alive).then_some(()))
        })
        .await
        .unwrap();
        eprintln!("{members} checkers, round {round}: {fault:?}, {victim}");
    }
    wait::until_async("every notice is sent", NOTICE_PATIENCE, async || {
        let notices = store.notices(&NoticeFilter::default(), i64::MAX).await?;
        Ok(notices.iter().all(|notice| notice.state == NoticeState::Sent).then_some(()))
    })
    .await
    .unwrap();
    tokio::time::sleep(HEARTBEAT).await;
    let end = now_ms();
    // Told to stop, they store what they have found.
    for Member { checker, .. } in &checkers {
        assert!(checker.stop().unwrap());
    }

    let longest = i64::try_from((HEARTBEAT * 2 + INTERVAL).as_millis()).unwrap();
    let (mut checks, mut worst) = (0, 0);
    for (number, id) in ids.iter().enumerate() {
        let planned = store.planned_between(ProjectId::INSTALLATION, *id, 0, i64::MAX).await.unwrap();
        assert_eq!(planned.len(), planned.iter().collect::<BTreeSet<_>>().len(), "{number}: stored twice");
        assert!(planned.len() as u64 <= targets.asked(number), "{number}: stored more than was asked");
        checks += planned.len();
        let found =
            store.checks_between(ProjectId::INSTALLATION, *id, begin, end, usize::MAX, false).await.unwrap();
        let times: Vec<i64> = found.iter().map(|check| check.at).chain([end]).collect();
        let gaps = std::iter::once(begin).chain(times.iter().copied()).zip(&times);
        let gap = gaps.map(|(before, after)| after - before).max().unwrap_or_default();
        worst = worst.max(gap);
        assert!(gap <= longest, "{number}: nothing for {gap} ms, at most {longest} ms may be");
    }
    let mut transitions = 0;
    for id in &ids {
        let found = store.transitions_between(ProjectId::INSTALLATION, *id, begin, end).await.unwrap();
        for pair in found.windows(2) {
            assert_eq!(pair[0].to, pair[1].from, "transitions follow from each other");
        }
        transitions += found.len();
    }
    assert_eq!(transitions, changes, "each change of a target is one transition");
    for (name, found) in [("hook", sinks.hooked()), ("mail", sinks.mailed())] {
        let mut found: Vec<(String, String)> =
            found.into_iter().map(|Told { endpoint, kind, .. }| (endpoint, kind)).collect();
        found.sort_unstable();
        told.sort_unstable();
        assert_eq!(found, told, "{name}: one notice for each transition, and no other");
    }
    // Only what was claimed when something happened to a checker may have been sent again, and once.
    let [again, mailed_again] = sinks.repetitions();
    let repeated = sinks.repeated();
    assert!(repeated.iter().all(|delivery| caught.contains(delivery)), "{repeated:?}, {caught:?}");
    assert!(again + mailed_again <= caught.len(), "{again} requests and {mailed_again} mails repeated");
    eprintln!(
        "{members} checkers, {rounds} rounds: {again} requests and {mailed_again} mails were sent again \
         of {} messages caught on their way, \
         {checks} checks, {transitions} transitions, longest gap {worst} ms of {longest} ms allowed",
        caught.len()
    );
    store.close().await;
}

/// The messages that somebody may be sending.
async fn claimed(store: &Store) -> BTreeSet<String> {
    let filter = NoticeFilter { state: Some(NoticeState::Sending), ..NoticeFilter::default() };
    let sending = store.notices(&filter, i64::MAX).await.unwrap();
    sending.into_iter().filter_map(|notice| notice.delivery).collect()
}

async fn becomes(store: &Store, id: i64, state: State) {
    wait::until_async("the target's change is noticed", PATIENCE, async || {
        let all = store.endpoints().await?;
        Ok(all.iter().any(|endpoint| endpoint.id == id && endpoint.status.state == state).then_some(()))
    })
    .await
    .unwrap();
}

/// A webhook and a mail server, both told of everything.
fn channels(sinks: &Sinks) -> [Channel; 2] {
    let hook = json!({"name": "hook", "webhook": {"url": {"value": format!("{}/hook", sinks.hook.url())}}});
    let mail = json!({"name": "mail", "email": {"host": "127.0.0.1", "port": sinks.mail.address().port(),
        "encryption": "None", "from": "watch@own.example", "to": ["ops@team.example"]}});
    [Channel::new("hook", "webhook", hook), Channel::new("mail", "email", mail)]
}

fn endpoint(number: usize, targets: &Targets) -> NewEndpoint {
    NewEndpoint {
        uid: format!("target-{number}"),
        origin: Origin::Kubernetes,
        project: ProjectId::INSTALLATION,
        namespace: "shop".into(),
        name: format!("target-{number}"),
        generation: 1,
        spec: EndpointSpec {
            interval: INTERVAL,
            timeout: Duration::from_secs(2),
            ..EndpointSpec::new(format!("target-{number}"), Probe::Http(HttpProbe::new(targets.url(number))))
        },
    }
}
