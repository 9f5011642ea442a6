//! Durable ingestion beside raw `COPY` of the same rows into the same Postgres,
//! in the same run: `make bench`. What counts are the ratios; the machine is noisy.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use sqlx::{Connection, Executor, PgConnection};
use watchkeeper_store::{Hit, Options, ProjectId, Store};
use watchkeeper_testkit::postgres::Postgres;

/// Time that each measurement takes at least.
const LEAST: Duration = Duration::from_secs(4);

/// Different batches of each size.
const BATCHES: usize = 50;

const TABLE: &str = "CREATE TABLE rows (project BIGINT, ts BIGINT, method TEXT, host TEXT, path TEXT, status INT, \
     duration_us BIGINT, ip TEXT, user_agent TEXT, country TEXT, framework TEXT); \
     CREATE INDEX ON rows (project, ts)";

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let postgres = Postgres::shared()?;
    let url = postgres.database()?;
    let store = Store::open(&Options::postgres(&url, None)?).await?;
    let project = store.register_key(uuid::Uuid::new_v4()).await?.id;
    let mut raw = PgConnection::connect(&postgres.database()?).await?;
    raw.execute(TABLE).await?;

    println!("{:>10} {:>14} {:>14} {:>7}", "rows/batch", "COPY rows/s", "store rows/s", "ratio");
    // Smaller batches say nothing: each COPY of sqlx's then waits 40 ms for a delayed TCP acknowledgement.
    for size in [1_000, 10_000] {
        let batches: Vec<_> = (0..BATCHES).map(|batch| hits(batch * size, size)).collect();
        let copied = rate(&batches, async |hits| copy(&mut raw, hits).await).await?;
        let stored = rate(&batches, async |hits| append(&store, project, hits).await).await?;
        println!("{size:>10} {copied:>14.0} {stored:>14.0} {:>7.2}", stored / copied);
    }
    store.seal_all().await?;
    let total = store.stored().await?;
    #[allow(clippy::cast_precision_loss)]
    let each = total.bytes as f64 / total.hits as f64;
    println!("\n{} hits at rest, {each:.1} bytes each", total.hits);
    Ok(())
}

/// Rows a second over as many batches as fit into [`LEAST`].
async fn rate(
    batches: &[Vec<Hit>],
    mut write: impl AsyncFnMut(&[Hit]) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let (start, mut rows) = (Instant::now(), 0);
    for batch in batches.iter().cycle() {
        if start.elapsed() >= LEAST {
            break;
        }
        write(batch).await?;
        rows += batch.len();
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}

async fn append(store: &Store, project: ProjectId, hits: &[Hit]) -> anyhow::Result<()> {
    Ok(store.append(project, hits.to_vec()).await?)
}

async fn copy(connection: &mut PgConnection, hits: &[Hit]) -> anyhow::Result<()> {
    let mut text = String::new();
    for hit in hits {
        let field = |value: &Option<String>| value.clone().unwrap_or_else(|| "\\N".into());
        text.push_str(&format!(
            "1\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
            hit.ts,
            field(&hit.method),
            field(&hit.host),
            field(&hit.path),
            hit.status.unwrap_or_default(),
            hit.duration_us.unwrap_or_default(),
            field(&hit.ip),
            field(&hit.user_agent),
            field(&hit.country),
            field(&hit.framework),
        ));
    }
    let mut copy = connection.copy_in_raw("COPY rows FROM STDIN").await?;
    copy.send(text.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// Hits as an API sees them: few hosts and agents, many paths and addresses.
fn hits(first: usize, count: usize) -> Vec<Hit> {
    let mut random = rand::rngs::StdRng::seed_from_u64(first as u64);
    (0..count)
        .map(|_| Hit {
            ts: 1_790_000_000_000 + random.random_range(0..86_400_000),
            method: Some(if random.random_bool(0.2) { "POST" } else { "GET" }.into()),
            host: Some("api.example.com".into()),
            path: Some(format!("/v1/items/{}", random.random_range(0..1_400))),
            status: Some([200, 200, 200, 404, 500][random.random_range(0..5)]),
            duration_us: Some(random.random_range(0..400_000)),
            ip: Some(std::net::Ipv4Addr::from_bits(0x0A00_0000 + random.random_range(0..65_536)).to_string()),
            user_agent: Some(format!(
                "Mozilla/5.0 (X11; Linux x86_64) Chrome/{}.0",
                random.random_range(100..140)
            )),
            country: Some(["DE", "US", "FR", "IN"][random.random_range(0..4)].into()),
            framework: Some("FastAPI".into()),
            ..Hit::default()
        })
        .collect()
}
