//! The watch at rate, on one machine with its targets and its Postgres: `make bench`. A checker and an
//! API of this release, beside blackbox_exporter (Debian's) asked by a client as Prometheus would, and
//! beside Gatus where there is one; what counts are the ratios in the same run.
//!
//! Environment: `WATCHKEEPER_BENCH_ENDPOINTS`, each checked every second (1000);
//! `WATCHKEEPER_BENCH_WATCH_SECONDS`, of the first run (60; 600 for the record), the others end sooner;
//! `WATCHKEEPER_BENCH_SLOW_ENDPOINTS`, each checked every minute, on one core (10000);
//! `WATCHKEEPER_BENCH_GATUS`, a Gatus binary (`gatus` on PATH; `go install github.com/TwiN/gatus/v5@latest`).

mod peers;
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use watchkeeper_e2e::targets::Targets;
use watchkeeper_store::{
    EndpointSpec, HttpProbe, NewEndpoint, Options, Origin, Probe, ProjectId, Store, now_ms,
};
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

use usage::Usage;

const TOKEN: &str = "a-token-of-the-bench";
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run found.
pub struct Found {
    /// Checks made a second.
    pub rate: f64,
    /// Processor seconds for 1,000 checks.
    pub cost: f64,
    /// MiB of memory at most.
    pub memory: u64,
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let time = Duration::from_secs(number("WATCHKEEPER_BENCH_WATCH_SECONDS", 60));
    let many = usize::try_from(number("WATCHKEEPER_BENCH_ENDPOINTS", 1_000))?;
    let slow = usize::try_from(number("WATCHKEEPER_BENCH_SLOW_ENDPOINTS", 10_000))?;
    // What a peer costs a check shows soon, and that a minute's endpoints are all kept takes some minutes.
    let shorter = time.min(Duration::from_secs(120));
    let longer = time.clamp(Duration::from_secs(60), Duration::from_secs(240));
    let targets = Targets::start().await?;

    println!("| what | checks a second | processor seconds for 1,000 | memory, MiB |\n|---|---|---|---|");
    let own = watch(&targets, many, Duration::from_secs(1), time, false).await?;
    row(&format!("checker, {many} endpoints at 1 s"), &own);
    let blackbox = peers::blackbox(&targets, many, shorter).await?;
    row("blackbox_exporter, as many", &blackbox);
    match peers::gatus(&targets, many, shorter).await? {
        Some(gatus) => {
            row("Gatus on Postgres, as many", &gatus);
            ratios("Gatus", &own, &gatus);
        }
        None => println!("Gatus is skipped: there is none on PATH and WATCHKEEPER_BENCH_GATUS names none"),
    }
    ratios("blackbox_exporter", &own, &blackbox);
    let calm = watch(&targets, slow, Duration::from_secs(60), longer, true).await?;
    row(&format!("checker on one core, {slow} endpoints at 60 s"), &calm);
    Ok(())
}

fn row(what: &str, found: &Found) {
    println!("| {what} | {:.1} | {:.3} | {} |", found.rate, found.cost, found.memory);
}

fn ratios(peer: &str, own: &Found, other: &Found) {
    println!(
        "beside {peer}: {:.2} of its checks, {:.2} of its processor time a check",
        own.rate / other.rate,
        own.cost / other.cost
    );
}

/// Runs a checker, and an API that is asked for the list of endpoints ten times a second.
async fn watch(
    targets: &Targets,
    endpoints: usize,
    interval: Duration,
    time: Duration,
    one_core: bool,
) -> Result<Found> {
    let postgres = Postgres::shared()?;
    let url = postgres.database()?;
    let store = Store::open(&Options::postgres(&url, None)?).await?;
    for number in 0..endpoints {
        store.put_endpoint(&endpoint(number, targets, interval)).await?;
    }
    let directory = tempfile::tempdir()?;
    let token = directory.path().join("token");
    std::fs::write(&token, TOKEN)?;
    let checker = Watchkeeper::checker(&url).start()?;
    let pid = checker.with_process(|process| Ok(process.pid()))?;
    if one_core {
        usage::pin(pid)?;
    }
    let api = Watchkeeper::api(&url, &token).start()?;
    wait::until_async("every endpoint has been checked", PATIENCE, async || {
        let all = store.endpoints().await?;
        Ok(all.iter().all(|endpoint| endpoint.status.last_check.is_some()).then_some(()))
    })
    .await?;

    // An endpoint's first regular check comes up to one and a half intervals after its first of all.
    tokio::time::sleep(interval * 3 / 2).await;

    let (begin, used) = (Instant::now(), Usage::of(pid)?);
    let from = now_ms();
    let latencies = list(&api.base_url(), time).await?;
    let (took, cost) = (begin.elapsed().as_secs_f64(), Usage::of(pid)?.processor - used.processor);
    let to = now_ms();
    // What was found before that moment is stored a little later.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let all = store.availability_of_all(from, to).await?;
    let kept: i64 = all.values().map(|found| found.checks).sum();
    let memory = Usage::of(pid)?.memory;
    let size = postgres.psql(
        &url,
        "SELECT COALESCE(SUM(rows), 0), pg_total_relation_size('check_segments') FROM check_segments",
    )?;
    println!(
        "list of {endpoints} endpoints, {} times: p50 {:.1?}, p99 {:.1?}, most {:.1?}; API {} MiB; sealed checks and bytes: {size}",
        latencies.len(),
        at(&latencies, 50),
        at(&latencies, 99),
        at(&latencies, 100),
        api.with_process(|process| Usage::of(process.pid()))?.memory,
    );
    store.close().await;
    #[allow(clippy::cast_precision_loss)]
    let kept = kept as f64;
    Ok(Found { rate: kept / took, cost: cost * 1_000.0 / kept.max(1.0), memory })
}

/// Asks for the list all the while, and gives how long each answer took, sorted.
async fn list(base: &str, time: Duration) -> Result<Vec<Duration>> {
    let client = reqwest::Client::new();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (begin, mut latencies) = (Instant::now(), Vec::new());
    while begin.elapsed() < time {
        tick.tick().await;
        let asked = Instant::now();
        let answer =
            client.get(format!("{base}/api/v1/endpoints?origin=all")).bearer_auth(TOKEN).send().await?;
        answer.error_for_status()?.bytes().await.context("the list of endpoints")?;
        latencies.push(asked.elapsed());
    }
    latencies.sort();
    Ok(latencies)
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

fn endpoint(number: usize, targets: &Targets, interval: Duration) -> NewEndpoint {
    let spec = EndpointSpec {
        interval,
        timeout: Duration::from_secs(5),
        ..EndpointSpec::new(format!("target-{number}"), Probe::Http(HttpProbe::new(targets.url(number))))
    };
    NewEndpoint {
        uid: format!("target-{number}"),
        origin: Origin::Kubernetes,
        project: ProjectId::INSTALLATION,
        namespace: "bench".into(),
        name: format!("target-{number}"),
        generation: 1,
        spec,
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
