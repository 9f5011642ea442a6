//! A dashboard's twelve panels over hits of a month, cold and warm, beside the same panels as SQL over
//! plain rows in the same Postgres: `make bench`. What counts are the ratios; the machine is noisy.
//!
//! `WATCHKEEPER_BENCH_HITS` names other numbers of hits, such as `10000000`, `WATCHKEEPER_BENCH_WARM` another
//! number of warm runs than nine, for a profiler.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::{Connection, Executor, PgConnection};
use watchkeeper_analytics::{
    Analytics, AnalyticsOptions, Bucket, Condition, Dimension, Metric, Panel, Question, Test,
};
use watchkeeper_store::{DAY_MS, Hit, Options, ProjectId, Store};
use watchkeeper_testkit::postgres::Postgres;

/// The product's own allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// 2026-06-01T00:00:00Z.
const FIRST: i64 = 1_780_272_000_000;
const DAYS: i64 = 30;

/// Hits of one post.
const BATCH: usize = 10_000;

const TABLE: &str = "CREATE TABLE rows (project BIGINT, ts BIGINT, method TEXT, host TEXT, path TEXT, status INT, \
     duration_us BIGINT, response_bytes BIGINT, ip TEXT, user_agent TEXT, consumer TEXT, country TEXT, client TEXT, \
     os TEXT, device TEXT, visitor BIGINT); CREATE INDEX ON rows (project, ts)";

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let sizes = std::env::var("WATCHKEEPER_BENCH_HITS").unwrap_or_else(|_| "10000,1000000".into());
    println!(
        "{:>9} {:>6} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "hits", "paths", "store", "filter", "cold ms", "warm ms", "CPU ms", "SQL ms", "cache MB", "RSS MB"
    );
    for size in sizes.split(',') {
        let hits: usize = size.trim().parse()?;
        for paths in [1_400, 50_000] {
            let month = Month { hits, paths };
            let directory = tempfile::tempdir()?;
            measure(month, "SQLite", &Options::sqlite(directory.path().join("s.db")), None).await?;
            drop(directory);
            let postgres = Postgres::shared()?;
            let mut raw = PgConnection::connect(&postgres.database()?).await?;
            month.copy(&mut raw).await?;
            let options = Options::postgres(&postgres.database()?, None)?;
            measure(month, "Postgres", &options, Some(&mut raw)).await?;
            raw.execute("DROP TABLE rows").await?;
        }
    }
    Ok(())
}

async fn measure(
    month: Month,
    name: &str,
    options: &Options,
    mut raw: Option<&mut PgConnection>,
) -> anyhow::Result<()> {
    let store = Store::open(options).await?;
    let project = month.append(&store).await?;
    // All that the panels need has room.
    let cache = AnalyticsOptions::default().cache_bytes.max(64 * month.hits);
    let analytics = || Analytics::with_cache(store.clone(), cache);
    for (filter, condition, sql) in filters() {
        let question = dashboard(condition);
        let cold = median(3, async || {
            analytics().ask(project, &question).await?;
            Ok(())
        })
        .await?;
        let analytics = analytics();
        analytics.ask(project, &question).await?;
        let runs =
            std::env::var("WATCHKEEPER_BENCH_WARM").ok().and_then(|runs| runs.parse().ok()).unwrap_or(9);
        let before = processor_time()?;
        let warm = median(runs, async || {
            analytics.ask(project, &question).await?;
            Ok(())
        })
        .await?;
        let processor = (processor_time()? - before) / u32::try_from(runs)?;
        let plain = match &mut raw {
            None => String::new(),
            Some(raw) => {
                let took = median(if month.hits > 1_000_000 { 1 } else { 3 }, async || {
                    panels_as_sql(raw, sql).await
                })
                .await?;
                format!("{:.0}", milliseconds(took))
            }
        };
        println!(
            "{:>9} {:>6} {name:>9} {filter:>8} {:>9.1} {:>9.1} {:>9.1} {plain:>9} {:>9.1} {:>9.0}",
            month.hits,
            month.paths,
            milliseconds(cold),
            milliseconds(warm),
            milliseconds(processor),
            megabytes(analytics.cached_bytes()),
            megabytes(resident()?),
        );
    }
    store.close().await;
    Ok(())
}

/// The median time of so many runs.
async fn median(runs: usize, mut run: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        run().await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[runs / 2])
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// Processor time of this process so far: on a busy machine it says more than the clock.
fn processor_time() -> anyhow::Result<Duration> {
    let line = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = line.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Bytes of memory that this process has at present.
fn resident() -> anyhow::Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = pages.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4_096)
}

/// Filters that keep everything, half and a tenth, ours and in SQL.
fn filters() -> [(&'static str, Condition, &'static str); 3] {
    let countries = Condition::Text {
        dimension: Dimension::Country,
        test: Test::Is(["C0", "C1", "C2", "C3", "C4"].map(|it| Some(it.into())).to_vec()),
        ignore_case: false,
    };
    let agents = Condition::Text {
        dimension: Dimension::Path,
        test: Test::Matches(vec!["^/v1/[^/]+/[0-9]*7($|/)".into()]),
        ignore_case: false,
    };
    [
        ("none", Condition::default(), "TRUE"),
        ("half", countries, "country IN ('C0', 'C1', 'C2', 'C3', 'C4')"),
        ("tenth", agents, "path ~ '^/v1/[^/]+/[0-9]*7($|/)'"),
    ]
}

fn dashboard(condition: Condition) -> Question {
    use Dimension::{Client, Consumer, Country, Device, Host, Os, Path, Status, Time, UserAgent};
    let quantiles = [500, 950, 990].map(Metric::Duration);
    let panels = [
        Panel::by([Path, Status], [Metric::Hits]).top(100),
        Panel::by([UserAgent], [Metric::Hits]).top(20),
        Panel::by([Country], [Metric::Hits]),
        Panel::by([Host], [Metric::Hits]),
        Panel::by([Client], [Metric::Hits]),
        Panel::by([Os], [Metric::Hits]),
        Panel::by([Device], [Metric::Hits]),
        Panel::by([], quantiles),
        Panel::by([Dimension::Route], [Metric::Hits].into_iter().chain(quantiles).collect::<Vec<_>>())
            .top(20),
        Panel::by([Time(Bucket::Hour)], [Metric::Hits, Metric::SuccessRate, Metric::MeanDuration]),
        Panel::by([Time(Bucket::Day)], [Metric::Visitors]),
        Panel::by([Consumer], [Metric::Hits, Metric::Errors, Metric::LastSeen]).top(20),
    ];
    Question { condition, panels: panels.into(), ..Question::new(FIRST, FIRST + DAYS * DAY_MS) }
}

/// The same panels, one statement each.
async fn panels_as_sql(raw: &mut PgConnection, filter: &str) -> anyhow::Result<()> {
    let quantiles = "PERCENTILE_DISC(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_us)";
    let top =
        |key: &str| format!("{key}, COUNT(*) AS hits FROM rows WHERE @ GROUP BY {key} ORDER BY hits DESC");
    for panel in [
        format!("{} LIMIT 100", top("path, status")),
        format!("{} LIMIT 20", top("user_agent")),
        top("country"),
        top("host"),
        top("client"),
        top("os"),
        top("device"),
        format!("{quantiles} FROM rows WHERE @"),
        format!("path, COUNT(*) AS hits, {quantiles} FROM rows WHERE @ GROUP BY path ORDER BY hits DESC LIMIT 20"),
        "ts / 3600000, COUNT(*), AVG((status BETWEEN 200 AND 399)::INT), AVG(duration_us) FROM rows WHERE @ GROUP BY 1"
            .into(),
        "ts / 86400000, COUNT(DISTINCT visitor) FROM rows WHERE @ GROUP BY 1".into(),
        "consumer, COUNT(*) AS hits, COUNT(*) FILTER (WHERE status >= 400), MAX(ts) FROM rows WHERE @ \
             GROUP BY consumer ORDER BY hits DESC LIMIT 20"
            .into(),
    ] {
        let (from, to) = (FIRST, FIRST + DAYS * DAY_MS);
        let meant = format!("project = 1 AND ts >= {from} AND ts < {to} AND {filter}");
        let statement = format!("SELECT {}", panel.replace('@', &meant));
        sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(&mut *raw).await?;
    }
    Ok(())
}

/// Hits of thirty days.
#[derive(Debug, Clone, Copy)]
struct Month {
    hits: usize,
    paths: u32,
}

impl Month {
    /// The hits in the order of their arrival, a batch at a time.
    fn batches(self) -> impl Iterator<Item = Vec<Hit>> {
        let count = self.hits.div_ceil(BATCH);
        (0..count).map(move |batch| {
            let mut random = StdRng::seed_from_u64(batch as u64);
            let first = batch * BATCH;
            let last = (first + BATCH).min(self.hits);
            (first..last).map(|place| self.hit(place, &mut random)).collect()
        })
    }

    /// A hit as an API sees it: some paths, agents and consumers come up far more often than others.
    fn hit(self, place: usize, random: &mut StdRng) -> Hit {
        fn often(random: &mut StdRng, among: u32) -> u32 {
            let skewed = random.random::<f64>() * random.random::<f64>() * f64::from(among);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below `among`
            let place = skewed as u32;
            place
        }
        #[allow(clippy::cast_possible_wrap)] // far below
        let ts = FIRST
            + (place as i64 * 1_000 / self.hits as i64) * DAYS * DAY_MS / 1_000
            + random.random_range(0..DAYS * DAY_MS / 1_000);
        let path = often(random, self.paths);
        let agent = often(random, 500);
        let visitor = often(random, 100_000);
        let address = std::net::Ipv4Addr::from_bits(0x0A00_0000 + visitor).to_string();
        let status = [200, 200, 200, 200, 200, 201, 204, 304, 404, 500][random.random_range(0..10)];
        Hit {
            ts,
            source: Some("api-analytics".into()),
            method: Some(if random.random_bool(0.2) { "POST" } else { "GET" }.into()),
            host: Some(
                ["api.example.com", "www.example.com", "eu.example.com"][often(random, 3) as usize].into(),
            ),
            path: Some(format!("/v1/items/{path}")),
            status: Some(status),
            duration_us: Some(500 + i64::from(often(random, 400_000))),
            response_bytes: Some(i64::from(often(random, 60_000))),
            ip: Some(address),
            user_agent: Some(format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{agent}.0")),
            user: visitor.is_multiple_of(4).then(|| format!("user-{}", visitor % 5_000)),
            country: Some(format!("C{}", random.random_range(0..10))),
            framework: Some("FastAPI".into()),
            // An id has its day in it.
            visitor: Some(i64::from(visitor).wrapping_mul(0x2545_F491_4F6C_DD1D) ^ ts.div_euclid(DAY_MS)),
            client: Some(format!("Client {}", agent % 12)),
            os: Some(format!("OS {}", agent % 6)),
            device: Some(["Desktop", "Mobile", "Tablet"][(agent % 3) as usize].into()),
            bot: Some(agent.is_multiple_of(10)),
            ..Hit::default()
        }
    }

    async fn append(self, store: &Store) -> anyhow::Result<ProjectId> {
        let project = store.register_key(uuid::Uuid::new_v4()).await?.id;
        for (place, hits) in self.batches().enumerate() {
            store.append(project, hits).await?;
            if place % 10 == 9 {
                store.seal_all().await?;
            }
        }
        store.seal_all().await?;
        Ok(project)
    }

    async fn copy(self, raw: &mut PgConnection) -> anyhow::Result<()> {
        raw.execute(TABLE).await?;
        let mut copy = raw.copy_in_raw("COPY rows FROM STDIN").await?;
        for hits in self.batches() {
            let mut text = String::new();
            for hit in &hits {
                let field = |value: &Option<String>| value.clone().unwrap_or_else(|| "\\N".into());
                text.push_str(&format!(
                    "1\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
                    hit.ts,
                    field(&hit.method),
                    field(&hit.host),
                    field(&hit.path),
                    hit.status.unwrap_or_default(),
                    hit.duration_us.unwrap_or_default(),
                    hit.response_bytes.unwrap_or_default(),
                    field(&hit.ip),
                    field(&hit.user_agent),
                    hit.user.clone().or(hit.ip.clone()).unwrap_or_default(),
                    field(&hit.country),
                    field(&hit.client),
                    field(&hit.os),
                    field(&hit.device),
                    hit.visitor.unwrap_or_default(),
                ));
            }
            copy.send(text.as_bytes()).await?;
        }
        copy.finish().await?;
        raw.execute("ANALYZE rows").await?;
        Ok(())
    }
}
