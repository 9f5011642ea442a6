//! What the dashboard of api-analytics waits for: a page of 250,000 rows, and the empty page after
//! it, over the real routes on the embedded store. `make bench` runs it.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use flate2::read::GzDecoder;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;
use uuid::Uuid;
use watchkeeper_analytics::Analytics;
use watchkeeper_api::{Api, ApiOptions, AuthConfig, router};
use watchkeeper_runtime::secret::Secret;
use watchkeeper_store::{DAY_MS, Hit, Options, Store};

/// Rows of a full page.
const ROWS: usize = 250_000;
/// Days that they spread over.
const DAYS: usize = 30;
/// Times that each answer is asked for; the first does not count.
const TIMES: usize = 8;

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await?;
    let key = Uuid::new_v4();
    let project = store.register_key(key).await?;
    let hits: Vec<Hit> = (0..ROWS).map(hit).collect();
    for batch in hits.chunks(10_000) {
        store.append(project.id, batch.to_vec()).await?;
    }
    store.seal_all().await?;

    let auth = AuthConfig { admin_token: Secret::new("only for measurements"), open_overview: false };
    let api = router(Api::new(Analytics::new(store), ApiOptions::new(auth, true), || {}));
    println!("{:>12} {:>10} {:>10} {:>12} {:>12}", "page", "best", "median", "text", "compressed");
    for page in [1, 2] {
        let path = format!("/api/requests/{}/{page}", project.user_id);
        let mut times = Vec::new();
        let mut body = get(&api, &path).await?.1;
        for _ in 0..TIMES {
            let (time, again) = get(&api, &path).await?;
            times.push(time);
            body = again;
        }
        times.sort();
        let mut text = String::new();
        GzDecoder::new(body.as_slice()).read_to_string(&mut text)?;
        let milliseconds = |time: Duration| format!("{} ms", time.as_millis());
        println!(
            "{:>12} {:>10} {:>10} {:>12} {:>12}",
            if page == 1 { "full" } else { "empty" },
            milliseconds(times[0]),
            milliseconds(times[TIMES / 2]),
            text.len(),
            body.len()
        );
    }
    Ok(())
}

async fn get(api: &Router, path: &str) -> anyhow::Result<(Duration, Vec<u8>)> {
    let start = Instant::now();
    let response = api.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
    anyhow::ensure!(response.status() == 200, "{path}: {}", response.status());
    let body = response.into_body().collect().await?.to_bytes().to_vec();
    Ok((start.elapsed(), body))
}

/// Traffic of an ordinary API: few endpoints with many ids, many visitors, some agents.
fn hit(n: usize) -> Hit {
    // A permutation of the numbers that looks random enough.
    let random = n.wrapping_mul(2_654_435_761) >> 8;
    let pick = |of: usize, salt: usize| (random / (salt + 1)) % of;
    let ts = i64::try_from(n * DAYS).unwrap_or_default() * DAY_MS / i64::try_from(ROWS).unwrap_or(1);
    let methods = ["GET", "GET", "GET", "POST", "PUT", "DELETE"];
    Hit {
        ts: 1_700_000_000_000 + ts + i64::try_from(pick(997, 3)).unwrap_or_default(),
        method: Some(methods[pick(methods.len(), 1)].into()),
        host: Some(format!("api{}.shop.example", pick(3, 2))),
        path: Some(match pick(4, 5) {
            0 => format!("/v1/items/{}", pick(20_000, 7)),
            1 => format!("/v1/orders/{}/lines", pick(5_000, 11)),
            2 => "/v1/items".into(),
            _ => "/health".into(),
        }),
        query: (pick(5, 13) == 0).then(|| format!("page={}", pick(50, 17))),
        status: Some([200, 200, 200, 201, 404, 500][pick(6, 19)]),
        duration_us: Some(i64::try_from(pick(400_000, 23)).unwrap_or_default()),
        ip: Some(format!("198.{}.{}.{}", 18 + pick(2, 29), pick(250, 31), pick(250, 37))),
        user_agent: Some(format!(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.0 Safari/537.36",
            100 + pick(40, 41),
            pick(20, 43)
        )),
        user: (pick(3, 47) == 0).then(|| format!("user-{}", pick(3_000, 53))),
        country: Some(["DE", "US", "FR", "JP", "BR"][pick(5, 59)].into()),
        framework: Some("FastAPI".into()),
        ..Hit::default()
    }
}
