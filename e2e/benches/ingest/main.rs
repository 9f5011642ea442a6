//! Ingestion over HTTP into `watchkeeper logger` and a Postgres of the tests' own, on one machine
//! with the clients: `make bench`. What counts are the ratios to raw `COPY` in the same run.
//!
//! Environment: `WATCHKEEPER_BENCH_SECONDS`, of each cell of the table (3); `…_LATENCY_SECONDS`, of
//! the run at a constant rate (30; 300 for the record); `…_MILLIONS`, hits to begin it with (3).

mod clients;
mod rows;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clients::Post;
use rows::Rows;
use sqlx::{Connection, Executor, PgConnection};
use watchkeeper_testkit::postgres::{Options, Postgres};
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

/// The first of the days that hits are of, UTC seconds.
const DAY: i64 = 1_790_035_200;
const ROWS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const CLIENTS: [usize; 4] = [1, 8, 32, 128];
/// Clients of the run at a constant rate; more than are ever busy at once.
const OPEN_CLIENTS: usize = 128;
/// Projects that share the load.
const KEYS: usize = 4;
/// Rows from which `COPY` says something: a smaller one of sqlx's waits 40 ms for a delayed
/// acknowledgement of TCP's.
const LEAST_COPY: usize = 1_000;
const TABLE: &str = "CREATE TABLE raw (project BIGINT, ts BIGINT, method TEXT, host TEXT, path TEXT, status INT, \
     response_time DOUBLE PRECISION, ip TEXT, user_agent TEXT, framework TEXT); CREATE INDEX ON raw (project, ts)";

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    // As the operator starts it.
    let settings = vec![("backend_flush_after".into(), "512kB".into())];
    let postgres = Postgres::start(Options { settings, ..Options::default() })?;
    let url = postgres.database()?;
    let logger = Watchkeeper::logger(&url).arg("--posts-per-minute").arg("1000000000").start()?;
    let address = logger.base_url().trim_start_matches("http://").to_owned();
    let cell = seconds("WATCHKEEPER_BENCH_SECONDS", 3);
    let mut made = Rows::new(1, 1_400)?;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("00000000-0000-4000-8000-{number:012}")).collect();
    let mut posts = |count: usize| -> Result<Vec<Post>> {
        let different = (40_000 / count).clamp(8, 2_000);
        (0..different)
            .map(|number| Ok(clients::post(&address, &made.body(&keys[number % KEYS], DAY, count)?)))
            .collect()
    };

    println!("hits a second; the ratio is that of the best to COPY of as many rows at a time\n");
    println!(
        "| hits a post | COPY | {} clients | ratio |",
        CLIENTS.map(|clients| clients.to_string()).join(" | ")
    );
    println!("|---|---|{}---|", "---|".repeat(CLIENTS.len()));
    let mut knee = 0.0;
    for count in ROWS {
        let raw = if count < LEAST_COPY { 0.0 } else { copy(&postgres.database()?, count, cell).await? };
        let (posts, mut best, mut cells) = (posts(count)?, 0.0_f64, String::new());
        for clients in CLIENTS {
            let rate = clients::closed(&address, &posts, clients, cell).await?;
            if count == 1 && clients == 32 {
                knee = rate;
            }
            let hits = rate * f64::from(u32::try_from(count)?);
            best = best.max(hits);
            cells.push_str(&format!(" {hits:.0} |"));
        }
        if count < LEAST_COPY {
            println!("| {count} | |{cells} |");
        } else {
            println!("| {count} | {raw:.0} |{cells} {:.2} |", best / raw);
        }
    }
    let used = logger.with_process(|process| memory(process.pid()))?;
    println!("\nmemory of the logger, now and at most: {used}");
    drop(logger);

    let url = postgres.database()?;
    let logger = Watchkeeper::logger(&url).arg("--posts-per-minute").arg("1000000000").start()?;
    let address = logger.base_url().trim_start_matches("http://").to_owned();
    println!("\n| hits stored | posts a second of one hit, 32 clients |\n|---|---|");
    let mut made = Rows::new(2, 50_000)?;
    let single: Vec<Post> = (0..2_000)
        .map(|number| Ok(clients::post(&address, &made.body(&keys[number % KEYS], DAY + 86_400, 1)?)))
        .collect::<Result<_>>()?;
    let millions = number("WATCHKEEPER_BENCH_MILLIONS", 3);
    for million in 0..=millions {
        if million > 0 {
            fill(&address, &mut made, &keys[0], 1_000_000).await?;
        }
        let rate = clients::closed(&address, &single, 32, cell * 2).await?;
        println!("| {million} M | {rate:.0} |");
        knee = if million == 0 { rate } else { f64::min(knee, rate) };
    }

    let time = seconds("WATCHKEEPER_BENCH_LATENCY_SECONDS", 30);
    let rate = knee * 0.7;
    let latencies = clients::open(&address, &single, OPEN_CLIENTS, rate, time).await?;
    let at = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    println!(
        "\n{rate:.0} posts a second (70 % of the knee) for {time:?}: p50 {:.1?}, p95 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, most {:.1?}",
        at(0.5),
        at(0.95),
        at(0.99),
        at(0.999),
        at(1.0)
    );

    let mut reader = PgConnection::connect(&url).await?;
    wait::until_async("the inbox is sealed", Duration::from_secs(120), async || {
        let waiting: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox").fetch_one(&mut reader).await?;
        Ok((waiting < 64 * i64::try_from(KEYS)?).then_some(()))
    })
    .await?;
    let (hits, bytes, files): (i64, i64, i64) = sqlx::query_as(
        "SELECT SUM(rows)::BIGINT, SUM(bytes)::BIGINT, COUNT(*) FROM segments GROUP BY project_id \
         ORDER BY 1 DESC LIMIT 1",
    )
    .fetch_one(&mut reader)
    .await?;
    #[allow(clippy::cast_precision_loss)]
    let each = bytes as f64 / hits as f64;
    println!(
        "{hits} hits of the largest project at rest in {files} segments, {each:.1} bytes each, 50,000 paths"
    );
    println!(
        "memory of the logger, now and at most: {}",
        logger.with_process(|process| memory(process.pid()))?
    );
    Ok(())
}

/// Posts different hits, many at a time.
async fn fill(address: &str, made: &mut Rows, key: &str, hits: usize) -> Result<()> {
    for _ in 0..hits / 50_000 {
        let posts: Vec<Post> = (0..5)
            .map(|_| Ok(clients::post(address, &made.body(key, DAY, 10_000)?)))
            .collect::<Result<_>>()?;
        for post in &posts {
            clients::once(address, post).await?;
        }
    }
    Ok(())
}

/// Rows a second of raw `COPY`.
async fn copy(url: &str, count: usize, time: Duration) -> Result<f64> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(TABLE).await?;
    let mut made = Rows::new(1, 1_400)?;
    let texts =
        (0..(40_000 / count).clamp(8, 2_000)).map(|_| made.copy(DAY, count)).collect::<Result<Vec<_>>>()?;
    let (begin, mut rows) = (Instant::now(), 0_usize);
    for text in texts.iter().cycle() {
        if begin.elapsed() >= time {
            break;
        }
        let mut copy = connection.copy_in_raw("COPY raw FROM STDIN").await?;
        copy.send(text.as_bytes()).await?;
        copy.finish().await?;
        rows += count;
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(rows as f64 / begin.elapsed().as_secs_f64())
}

fn memory(pid: u32) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mebibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1_024)
    };
    let (now, most) = (mebibytes("VmRSS:").context("VmRSS")?, mebibytes("VmHWM:").context("VmHWM")?);
    Ok(format!("{now} MiB, {most} MiB"))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn seconds(name: &str, default: u64) -> Duration {
    Duration::from_secs(number(name, default))
}
