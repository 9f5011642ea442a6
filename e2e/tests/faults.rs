//! Faults under clients that send each post until it is acknowledged: nothing is lost, and nothing
//! is there twice. `WATCHKEEPER_SOAK` makes it 200 rounds.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use watchkeeper_e2e::resend::{Resenders, count};
use watchkeeper_e2e::stores::{self, Store};
use watchkeeper_e2e::upstream::Upstream;
use watchkeeper_testkit::postgres::{self, Postgres};
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const CLIENTS: usize = 8;
const ROWS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_server_loses_and_doubles_nothing_on_sqlite() {
    kill_9_of_the_server_loses_and_doubles_nothing(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_server_loses_and_doubles_nothing_on_postgres() {
    kill_9_of_the_server_loses_and_doubles_nothing(Store::Postgres).await;
}

async fn kill_9_of_the_server_loses_and_doubles_nothing(store: Store) {
    let server = stores::start(store).unwrap();
    let upstream = Upstream::new(server.base_url()).unwrap();
    let clients = Resenders::start(std::slice::from_ref(&upstream), CLIENTS, ROWS).await.unwrap();
    for round in 0..rounds(4) {
        further(&clients, 1 + 37 * (round % 5)).await;
        server.kill9().unwrap();
        server.restart().unwrap();
    }
    further(&clients, 1).await;
    let sent = clients.finish().await.unwrap();
    let again: usize = sent.iter().map(|sent| sent.again).sum();
    assert!(again > 0, "no client noticed that its server was killed");
    let found = count(&sent, &upstream, ROWS).await.unwrap();
    eprintln!("{store:?}: {found:?}, {again} posts sent again");
    assert_eq!((found.lost, found.doubled), (0, 0), "{found:?}");
}

/// What befalls two loggers and their database.
#[derive(Debug, Clone, Copy)]
enum Fault {
    PostgresStopped,
    PostgresFrozen,
    PostgresKilled,
    LoggerKilled,
    LoggerFrozen,
    LoggerKilledWhilePostgresIsStopped,
    DiskFull,
}

const FAULTS: [Fault; 7] = [
    Fault::PostgresFrozen,
    Fault::LoggerKilled,
    Fault::PostgresStopped,
    Fault::PostgresKilled,
    Fault::LoggerFrozen,
    Fault::LoggerKilledWhilePostgresIsStopped,
    Fault::DiskFull,
];

#[tokio::test(flavor = "multi_thread")]
async fn two_loggers_lose_and_double_nothing_whatever_befalls_them_and_their_database() {
    // Room for the tests' own rows, and soon full when something fills it.
    let options = postgres::Options {
        disk: Some(if soak() { 2_048 } else { 400 }),
        settings: vec![("max_wal_size".into(), "96MB".into()), ("wal_keep_size".into(), "0".into())],
        ..postgres::Options::default()
    };
    let postgres = Postgres::start(options).unwrap();
    let url = postgres.database().unwrap();
    let reader = Watchkeeper::local().database(&url).start().unwrap();
    let spools = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let loggers = spools
        .each_ref()
        .map(|spool| Watchkeeper::logger(&url).arg("--spool").arg(spool.path()).start().unwrap());
    let upstreams: Vec<_> =
        loggers.iter().map(|logger| Upstream::split(logger.base_url(), reader.base_url()).unwrap()).collect();
    let clients = Resenders::start(&upstreams, CLIENTS, ROWS).await.unwrap();
    for round in 0..rounds(FAULTS.len()) {
        let fault = FAULTS[round % FAULTS.len()];
        let logger = &loggers[round / 2 % loggers.len()];
        further(&clients, 20).await;
        match fault {
            Fault::PostgresStopped => postgres.stop().unwrap(),
            Fault::PostgresFrozen => postgres.freeze().unwrap(),
            Fault::PostgresKilled => postgres.kill9().unwrap(),
            Fault::LoggerKilled => logger.kill9().unwrap(),
            Fault::LoggerFrozen => logger.with_process(|process| process.freeze()).unwrap(),
            Fault::LoggerKilledWhilePostgresIsStopped => {
                postgres.stop().unwrap();
                further(&clients, 20).await;
                logger.kill9().unwrap();
            }
            Fault::DiskFull => postgres.fill_disk().unwrap(),
        }
        match fault {
            // Whoever has posted to it waits for it, and whoever has not must not.
            Fault::LoggerFrozen => given_back(&postgres, &url),
            // The spools take what comes meanwhile.
            _ => further(&clients, 20).await,
        }
        match fault {
            Fault::PostgresFrozen => postgres.thaw().unwrap(),
            Fault::PostgresStopped | Fault::PostgresKilled => postgres.resume().unwrap(),
            Fault::LoggerKilled => logger.restart().unwrap(),
            Fault::LoggerFrozen => logger.with_process(|process| process.thaw()).unwrap(),
            Fault::LoggerKilledWhilePostgresIsStopped => {
                postgres.resume().unwrap();
                logger.restart().unwrap();
            }
            Fault::DiskFull => {
                postgres.free_disk().unwrap();
                // A log that cannot grow ends the server.
                if postgres.has_ended() {
                    postgres.resume().unwrap();
                }
            }
        }
        eprintln!("round {round}: {fault:?}, {} posts acknowledged so far", clients.acknowledged());
    }
    further(&clients, 20).await;
    let sent = clients.finish().await.unwrap();
    for logger in &loggers {
        wait::until("the spool is empty", PATIENCE, || {
            Ok(logger.metrics()?.contains("\nwatchkeeper_logger_spool_bytes 0\n").then_some(()))
        })
        .unwrap();
    }
    let found = count(&sent, &upstreams[0], ROWS).await.unwrap();
    eprintln!("{found:?}");
    assert_eq!((found.lost, found.doubled), (0, 0), "{found:?}");
    let spooled = loggers.iter().filter(|logger| {
        logger.metrics().unwrap().lines().any(|line| {
            line.strip_prefix("watchkeeper_logger_replayed_batches_total ").is_some_and(|count| count != "0")
        })
    });
    assert!(spooled.count() > 0, "nothing ever went through a spool");
}

/// Waits until this many posts more are acknowledged.
async fn further(clients: &Resenders, posts: usize) {
    let enough = clients.acknowledged() + posts;
    wait::until_async("posts are acknowledged", PATIENCE, async || {
        Ok((clients.acknowledged() >= enough).then_some(()))
    })
    .await
    .unwrap();
}

/// Waits until no client holds batches in a transaction that it does not go on with.
fn given_back(postgres: &Postgres, url: &str) {
    const HELD: &str = "SELECT COUNT(*) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid \
                        WHERE a.state LIKE 'idle in transaction%' AND l.relation = 'batches'::regclass";
    wait::until("what a frozen logger held is given back", PATIENCE, || {
        Ok((postgres.psql(url, HELD)? == "0").then_some(()))
    })
    .unwrap();
}

fn soak() -> bool {
    std::env::var_os("WATCHKEEPER_SOAK").is_some_and(|value| !value.is_empty())
}

fn rounds(short: usize) -> usize {
    if soak() { 200 } else { short }
}
