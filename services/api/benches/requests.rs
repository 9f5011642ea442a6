//! What readers wait for, over the real routes on the embedded store: the dashboard of api-analytics
//! a page of 250,000 rows and the empty page after it, the public a status page of 500 endpoints, and
//! the administrator the list of 1,000. `make bench` runs it.

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
use watchkeeper_store::{
    Check, DAY_MS, EndpointSpec, Hit, HttpProbe, LastCheck, NewEndpoint, Options, Origin, Probe, ProjectId,
    StatusGroup, StatusPageSpec, Store, now_ms,
};

/// Rows of a full page.
const ROWS: usize = 250_000;
/// Days that they spread over.
const DAYS: usize = 30;
/// Times that each answer is asked for; the first does not count.
const TIMES: usize = 8;
/// Endpoints that are watched; half of them are on the status page.
const ENDPOINTS: usize = 1_000;
/// Time between checks in their past of 90 days, milliseconds.
const EVERY: i64 = DAY_MS / 4;

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

    let auth = AuthConfig { admin_token: Secret::new("only for measurements"), open_overview: true };
    watch(&store).await?;
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
    println!("\n{:>22} {:>10} {:>12} {:>12} {:>12}", "page", "first", "later: best", "median", "text");
    for path in ["/status/all", "/status/all.json", "/monitors"] {
        let (first, body) = get(&api, path).await?;
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(get(&api, path).await?.0);
        }
        times.sort();
        let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
        let [first, best, median] = [first, times[0], times[TIMES / 2]].map(milliseconds);
        println!("{path:>22} {first:>10} {best:>12} {median:>12} {:>12}", body.len());
    }
    Ok(())
}

/// Endpoints in groups of 25 with a past of 90 days, sealed as that of an installation is, and a status
/// page of half of the groups.
async fn watch(store: &Store) -> anyhow::Result<()> {
    let now = now_ms();
    for number in 0..ENDPOINTS {
        let probe = Probe::Http(HttpProbe::new(format!("https://e{number}.shop.example/health")));
        let spec = EndpointSpec {
            group: Some(format!("Group {}", number / 25)),
            interval: Duration::from_millis(EVERY.unsigned_abs()),
            ..EndpointSpec::new(format!("Endpoint {number}"), probe)
        };
        let new = NewEndpoint {
            uid: format!("uid-{number}"),
            origin: Origin::Kubernetes,
            project: ProjectId::INSTALLATION,
            namespace: "shop".into(),
            name: format!("e{number}"),
            generation: 1,
            spec,
        };
        store.put_endpoint(&new).await?;
    }
    let endpoints = store.endpoints().await?;
    for step in (1..=90 * DAY_MS / EVERY).rev() {
        let check = |(number, endpoint): (usize, &watchkeeper_store::Endpoint)| {
            let random = (number + 1).wrapping_mul(2_654_435_761) ^ usize::try_from(step).unwrap_or_default();
            let result = LastCheck {
                at: now - step * EVERY,
                ok: random % 97 != 0,
                status: Some(200),
                duration_us: 50_000 + i64::try_from(random % 100_000).unwrap_or_default(),
                ..LastCheck::default()
            };
            Check { project: endpoint.project, endpoint: endpoint.id, result }
        };
        let checks: Vec<_> = endpoints.iter().enumerate().map(check).collect();
        store.record_checks(&checks).await?;
    }
    store.seal_all_checks().await?;
    let groups = (0..ENDPOINTS / 50).map(|number| {
        let name = format!("Group {number}");
        StatusGroup { all_of: Some(name.clone()), name, endpoints: Vec::new() }
    });
    let spec =
        StatusPageSpec { title: "Everything".into(), groups: groups.collect(), ..StatusPageSpec::default() };
    store.create_status_page("all", &spec).await?;
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
