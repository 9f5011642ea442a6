//! For the contract tests of the logger and the API: a fresh store of either kind, and a client
//! that needs no network.
#![allow(dead_code)] // No test uses all of it.

use std::path::PathBuf;

use axum::{Router, body::Body};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;
use watchkeeper_logger::{
    Bounds, Logger, LoggerMetrics, Signup, Site,
    enrich::{Enricher, EnricherConfig},
    site::{Processor, ProcessorOptions, ReverseDns, SiteMetrics, TrafficLog},
    site_router,
};
use watchkeeper_store::{Hit, Options, Project, SiteAccess, Store};
use watchkeeper_testkit::{dns::Dns, postgres::Postgres};

/// An empty store, and what must live as long as it.
pub struct Fresh {
    pub store: Store,
    _directory: Option<TempDir>,
}

pub async fn sqlite() -> Fresh {
    let directory = TempDir::new().expect("temporary directory");
    let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
    Fresh { store, _directory: Some(directory) }
}

pub async fn postgres() -> Fresh {
    let url = Postgres::shared().and_then(Postgres::database).expect("a Postgres database");
    let options = Options::postgres(&url, None).expect("options");
    Fresh { store: Store::open(&options).await.expect("open"), _directory: None }
}

/// Runs each behaviour on each store, as a test of its own.
#[macro_export]
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::common::sqlite().await).await; }
        )* }
        mod on_postgres { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::common::postgres().await).await; }
        )* }
    };
}

/// What hits gain, with countries and cities from a file.
pub async fn enricher(store: &Store, privacy_level: u8, geoip: Option<PathBuf>) -> Enricher {
    let salts = watchkeeper_logger::Salts::new(store.clone());
    let config = EnricherConfig { geoip, privacy_level, salts, honor_gpc: false };
    tokio::task::spawn_blocking(|| Enricher::new(config)).await.expect("join").expect("enricher")
}

/// The secret of the installation's website, whose project is called `site`.
pub const SECRET: &str = "dev-12345";

pub fn site_access() -> SiteAccess {
    SiteAccess::new(Some(SECRET), "site")
}

/// The route that websites report their views to.
pub fn site_route(store: &Store, logger: Logger, log: Option<TrafficLog>) -> Router {
    let metrics = SiteMetrics::new(&prometheus::Registry::new()).expect("metrics");
    site_router(logger, Site::new(store.clone(), site_access(), log, metrics))
}

/// A processor of addresses that asks `dns`, if there is one.
pub async fn processor(store: &Store, dns: Option<&Dns>, geoip: Option<PathBuf>) -> Processor {
    let names = dns.map(|dns| ReverseDns::new(Some(dns.address())).expect("resolver"));
    let holder = Uuid::new_v4().to_string();
    let options = ProcessorOptions { names, visit_idle: 600_000, holder };
    let metrics = SiteMetrics::new(&prometheus::Registry::new()).expect("metrics");
    Processor::new(store.clone(), enricher(store, 0, geoip).await, options, metrics)
}

/// A logger over `store`.
pub async fn logger(store: &Store, signup: Signup, privacy_level: u8, bounds: Bounds) -> Logger {
    logger_with(store, signup, enricher(store, privacy_level, None).await, bounds)
}

/// A logger whose hits gain what `enricher` has.
pub fn logger_with(store: &Store, signup: Signup, enricher: Enricher, bounds: Bounds) -> Logger {
    let metrics = LoggerMetrics::new(&prometheus::Registry::new()).expect("metrics");
    Logger::new(store.clone(), signup, enricher, bounds, metrics)
}

/// What a router answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Asserts the one shape of api-analytics' answers, its errors and its successes.
    #[track_caller]
    pub fn says(&self, status: u16, message: &str) {
        assert_eq!((self.status, self.json()), (status, json!({ "message": message, "status": status })));
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"));
    }

    /// Asserts an error of the administrator's interface, and the field at fault.
    #[track_caller]
    pub fn blames(&self, status: u16, field: &str) {
        let body = self.json();
        assert_eq!(
            (self.status, &body["status"], &body["field"]),
            (status, &json!(status), &json!(field)),
            "{body}"
        );
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }

    /// Asserts gin's answer where there is no route.
    #[track_caller]
    pub fn is_no_route(&self) {
        assert_eq!((self.status, self.text()), (404, "404 page not found"));
        assert!(self.header("content-type").is_some_and(|label| label.starts_with("text/plain")));
    }
}

/// A client of a router.
#[derive(Clone)]
pub struct Client(pub Router);

impl Client {
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request =
            Request::builder().method(Method::from_bytes(method.as_bytes()).expect("method")).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            self.0.clone().oneshot(request.body(body.into()).expect("request")).await.expect("infallible");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("body").to_bytes().to_vec();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], Body::empty()).await
    }

    /// A post without a content type, as browsers and careless clients make it.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], body.to_string()).await
    }

    /// Asserts that a route of the website slows down a network which guesses at its secret, and nobody else:
    /// whoever has it is told what is wrong with the rest of the request.
    pub async fn slows_down_who_guesses_at_the_secret(&self, method: &str, path: &str) {
        let ask = async |from: &str, presented: &str| {
            let headers = [("x-forwarded-for", from), ("authorization", presented)];
            self.call(method, path, &headers, "junk").await
        };
        let (website, stranger) = ("192.0.2.1", "192.0.2.66");
        for guess in 0..20 {
            assert_eq!(ask(stranger, &format!("guess-{guess}")).await.status, 401);
        }
        for presented in ["guess-20", SECRET] {
            let refused = ask(stranger, presented).await;
            assert_eq!(refused.status, 429, "{presented}");
            assert!(refused.header("retry-after").is_some());
        }
        assert_eq!(ask(stranger, &Uuid::new_v4().to_string()).await.status, 401, "a key is no guess");
        assert_eq!(ask(website, SECRET).await.status, 400);
    }

    /// The headers of the answer to a browser's preflight.
    pub async fn preflight(&self, path: &str, method: &str) -> Answer {
        let headers = [("origin", "https://elsewhere.example"), ("access-control-request-method", method)];
        self.call("OPTIONS", path, &headers, Body::empty()).await
    }
}

/// A batch as the clients send it.
pub fn batch(key: Uuid, requests: &Value) -> Value {
    json!({ "api_key": key, "framework": "FastAPI", "privacy_level": 0, "requests": requests })
}

/// The moment of `row(0, …)`, UTC milliseconds.
pub const START: i64 = 1_700_000_000_397;

/// A row as the clients send it, `second` seconds after [`START`].
pub fn row(second: i64, path: &str) -> Value {
    let created_at = jiff::Timestamp::from_millisecond(START + second * 1_000).expect("a time").to_string();
    json!({
        "hostname": "example.com", "ip_address": "1.2.3.4", "user_agent": "curl/8", "path": path, "method": "GET",
        "status": 200, "response_time": 15, "user_id": "u1", "created_at": created_at,
    })
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, body).expect("write");
    encoder.finish().expect("finish")
}

/// A zstd frame of raw blocks (RFC 8878, section 3.1.1), which no library is needed for.
pub fn zstd(body: &[u8]) -> Vec<u8> {
    // No content size, no checksum; a window of 1 MiB, (1 << 10) << 10.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x50];
    let mut blocks = body.chunks(100_000).peekable();
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        let head = (u32::try_from(block.len()).expect("a small block") << 3) | last;
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

/// What is stored for a key, oldest first; nothing for a key that is not known.
pub async fn stored(store: &Store, key: Uuid) -> Vec<Hit> {
    match store.project_by_key(key).await.expect("find") {
        Some(project) => stored_of(store, project).await,
        None => Vec::new(),
    }
}

/// What is stored for the installation's website, oldest first.
pub async fn stored_views(store: &Store) -> Vec<Hit> {
    match store.project_by_name("site").await.expect("find") {
        Some(project) => stored_of(store, project).await,
        None => Vec::new(),
    }
}

async fn stored_of(store: &Store, project: Project) -> Vec<Hit> {
    let mut snapshot = store.snapshot(project.id, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        hits.extend(snapshot.load(day.day).await.expect("load"));
    }
    hits
}
