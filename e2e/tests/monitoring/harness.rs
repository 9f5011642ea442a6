//! A running installation, targets to watch, and sinks for notices.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use watchkeeper_e2e::stores::Store;
use watchkeeper_e2e::upstream::http_client;
use watchkeeper_store::Options;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::{Local, Watchkeeper};

/// Longest wait for something that one check brings about: intervals are ten seconds at least.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Calls made so far.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Runs each behaviour on each store, as a test of its own.
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(watchkeeper_e2e::stores::Store::Sqlite).await; }
        )* }
        mod on_postgres { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(watchkeeper_e2e::stores::Store::Postgres).await; }
        )* }
    };
}

/// A running installation that goes by a file.
pub struct World {
    pub watchkeeper: Watchkeeper,
    pub file: PathBuf,
    database: Option<String>,
    http: reqwest::Client,
    _directory: RunDir,
}

impl World {
    /// Starts one with the file's text.
    pub async fn start(store: Store, config: &str) -> Self {
        Self::start_with(store, config, |local| local).await
    }

    /// The same with more on its command line.
    pub async fn start_with(store: Store, config: &str, more: impl FnOnce(Local) -> Local) -> Self {
        let directory = RunDir::new("monitoring").unwrap();
        let file = directory.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let mut local = Watchkeeper::local().arg("--monitoring-config").arg(&file);
        let database = (store == Store::Postgres).then(|| Postgres::shared().unwrap().database().unwrap());
        if let Some(url) = &database {
            local = local.database(url);
        }
        let watchkeeper = more(local).start().unwrap();
        Self { watchkeeper, file, database, http: http_client().unwrap(), _directory: directory }
    }

    /// How to reach the store that it was started on.
    fn options(&self) -> Options {
        match &self.database {
            Some(url) => Options::postgres(url, None).unwrap(),
            None => Options::sqlite(self.watchkeeper.data().join("watchkeeper.db")),
        }
    }

    /// That store, beside the program.
    pub async fn store(&self) -> watchkeeper_store::Store {
        watchkeeper_store::Store::open(&self.options()).await.unwrap()
    }

    /// Rows that a table of that store has of an endpoint.
    pub async fn rows(&self, table: &str, endpoint: i64) -> i64 {
        sqlx::any::install_default_drivers();
        let mut database = sqlx::AnyConnection::connect(self.options().url()).await.unwrap();
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE endpoint_id = $1");
        let query = sqlx::query_scalar::<sqlx::Any, i64>(sqlx::AssertSqlSafe(sql)).bind(endpoint);
        let count = query.fetch_one(&mut database).await.unwrap();
        database.close().await.unwrap();
        count
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.watchkeeper.base_url()));
        // Each call as another client behind a proxy, so that who waits by asking is not refused.
        let count = CALLS.fetch_add(1, Ordering::Relaxed);
        request = request.header("x-forwarded-for", format!("10.0.{}.{}", count / 256 % 256, count % 256));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Waits until the log says that so many notices were sent. What dies before is sent again, as
    /// the same notice.
    pub async fn sent(&self, count: usize) {
        let token = std::fs::read_to_string(self.watchkeeper.data().join("admin-token")).unwrap();
        let url = format!("{}/api/v1/notices?state=sent", self.watchkeeper.base_url());
        wait::until_async("the notices are sent", PATIENCE, async || {
            let answer = self.http.get(&url).bearer_auth(token.trim()).send().await?.error_for_status()?;
            let log: Value = answer.json().await?;
            let notices = log["notices"].as_array().map_or(0, Vec::len);
            Ok((notices == count).then_some(()))
        })
        .await
        .unwrap();
    }

    /// Makes an endpoint that is checked every ten seconds, with what `more` has; gives its number.
    pub async fn create(&self, name: &str, url: &str, more: Value) -> i64 {
        let mut body = json!({ "name": name, "url": url, "interval": 10, "timeout": 5 });
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        let (status, made) = self.call(Method::POST, "/api/v1/endpoints", Some(&body)).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_i64().unwrap()
    }

    /// An inactive endpoint, which only manual checks look at.
    pub async fn create_quiet(&self, name: &str, url: &str, mut more: Value) -> i64 {
        more["is_active"] = false.into();
        self.create(name, url, more).await
    }

    /// A manual check.
    pub async fn check(&self, id: i64) -> Value {
        let (status, made) = self.call(Method::POST, &format!("/api/v1/endpoints/{id}/check"), None).await;
        assert_eq!(status, 200, "{made}");
        made
    }

    /// Everything that an endpoint's checks found, newest first.
    pub async fn history(&self, id: i64) -> Vec<Value> {
        let told = self.get(&format!("/api/v1/stats/history/{id}?limit=1000")).await;
        told["checks"].as_array().unwrap().clone()
    }

    /// Waits until the newest check went so, and gives all.
    pub async fn newest(&self, id: i64, success: bool) -> Vec<Value> {
        wait::until_async("the newest check", PATIENCE, async || {
            let all = self.history(id).await;
            let so = all.first().is_some_and(|it| it["success"] == success);
            Ok(so.then_some(all))
        })
        .await
        .unwrap()
    }
}

/// One request that a server has seen.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub method: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

#[derive(Default)]
struct Script {
    /// Statuses of the next answers; then the last one for ever.
    next: Mutex<VecDeque<u16>>,
    delay_ms: AtomicU64,
    seen: Mutex<Vec<Seen>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// A server that answers as it is told and remembers what it was asked.
#[derive(Clone)]
pub struct Server {
    url: String,
    script: Arc<Script>,
}

impl Server {
    /// One that answers `status` until told otherwise.
    pub async fn start(status: u16) -> Self {
        let script = Arc::new(Script::default());
        script.next.lock().unwrap().push_back(status);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&script);
        let router = Router::new().fallback(move |request: Request| answer(Arc::clone(&shared), request));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers these statuses from now on, the last of them for ever.
    pub fn say(&self, statuses: &[u16]) {
        *self.script.next.lock().unwrap() = statuses.iter().copied().collect();
    }

    /// Waits so long before each answer.
    pub fn delay(&self, delay: Duration) {
        self.script.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    /// Most requests that were under way at once.
    pub fn most(&self) -> usize {
        self.script.most.load(Ordering::Relaxed)
    }

    /// Waits until so many requests have come, and gives them.
    pub async fn wait_for(&self, count: usize) -> Vec<Seen> {
        wait::until_async("requests to arrive", PATIENCE, async || {
            let seen = self.seen();
            Ok((seen.len() >= count).then_some(seen))
        })
        .await
        .unwrap()
    }
}

async fn answer(script: Arc<Script>, request: Request) -> (StatusCode, &'static str) {
    let at = Instant::now();
    let under_way = script.under_way.fetch_add(1, Ordering::Relaxed) + 1;
    script.most.fetch_max(under_way, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    script.seen.lock().unwrap().push(Seen {
        at,
        method: parts.method.to_string(),
        headers: parts.headers,
        body,
    });
    let status = {
        let mut next = script.next.lock().unwrap();
        if next.len() > 1 { next.pop_front() } else { next.front().copied() }
    };
    let delay = script.delay_ms.load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    script.under_way.fetch_sub(1, Ordering::Relaxed);
    (StatusCode::from_u16(status.unwrap_or(200)).unwrap(), "{}")
}

/// A server that drops its first connections after the request has come, and answers 200 to others;
/// when each connection came is remembered.
pub async fn dropper(drops: usize) -> (String, Arc<Mutex<Vec<Instant>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let times = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&times);
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let count = {
                let mut times = shared.lock().unwrap();
                times.push(Instant::now());
                times.len()
            };
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head).await;
            if count > drops {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await;
            }
        }
    });
    (url, times)
}

/// A port that nothing listens on.
pub fn closed() -> String {
    format!("http://127.0.0.1:{}/", watchkeeper_testkit::ports::free_port().unwrap())
}

/// The file of an installation that tells a webhook at `sink`, with what `more` says of notifications.
pub fn telling(sink: &Server, more: &str) -> String {
    let url = sink.url();
    format!(
        "notifications:\n  enabled: true\n  cooldown_seconds: 0\n{more}  webhook:\n    enabled: true\n    url: {url}\n    \
         retry_delay: 0.2\n    payload_template: '{{\"down\": \"{{endpoint_name}}\", \"error\": \"{{error}}\"}}'\n"
    )
}
