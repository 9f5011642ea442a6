//! `POST /api/log-request` and `POST /api/requests`: one handler, two names.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_http::decompression::RequestDecompressionLayer;
use uuid::Uuid;
use watchkeeper_runtime::{
    error::ApiError,
    http::{cors, json_charset, not_found},
};
use watchkeeper_store::{Hit, ProjectId, Store, StoreError, day_of, now_ms};

use crate::{
    LoggerMetrics, Signup,
    decode::api_analytics::{Envelope, Refusal, Row},
    enrich::Enricher,
    keys::Keys,
};

/// Bodies that are held at once, KiB over all requests.
const BODIES_KIB: usize = 256 * 1_024;

/// Posts after which the rate limiter forgets the keys that have been quiet, so
/// that keys which a stranger makes up do not pile up in it.
const FORGET_EVERY: usize = 4_096;

/// Values that a row may have on average: clients send ten.
const VALUES_PER_ROW: usize = 64;

/// Parsed values that take a KiB.
const VALUES_PER_KIB: usize = 8;

/// UTC days that a batch may span.
const DAYS: usize = 400;

/// Rows that are enriched on the executor; more go to a thread of their own.
const INLINE: usize = 256;

/// Bounds on what clients may send.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest body, bytes, after decompression.
    pub body: usize,
    /// Most rows in a batch.
    pub rows: usize,
    /// Posts a minute and key; a burst may use them all at once.
    pub posts_per_minute: NonZeroU32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            rows: 20_000,
            posts_per_minute: NonZeroU32::new(6_000).unwrap_or(NonZeroU32::MAX),
        }
    }
}

/// What the write path needs; clones share it.
#[derive(Clone)]
pub struct Logger {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keys: Keys,
    enricher: Enricher,
    bounds: Bounds,
    posts: DefaultKeyedRateLimiter<Uuid>,
    limited: AtomicUsize,
    bodies: Semaphore,
    metrics: LoggerMetrics,
}

impl Logger {
    /// A logger that writes into `store`.
    pub fn new(
        store: Store,
        signup: Signup,
        enricher: Enricher,
        bounds: Bounds,
        metrics: LoggerMetrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                keys: Keys::new(store.clone(), signup),
                store,
                enricher,
                bounds,
                posts: RateLimiter::keyed(Quota::per_minute(bounds.posts_per_minute)),
                limited: AtomicUsize::new(0),
                bodies: Semaphore::new(BODIES_KIB),
                metrics,
            }),
        }
    }
}

/// The routes of the write path, without `/api/health`, which every service has.
pub fn router(logger: Logger) -> Router {
    Router::new()
        .route("/api/log-request", post(log_requests))
        .route("/api/requests", post(log_requests))
        .layer(RequestDecompressionLayer::new())
        .layer(middleware::map_response(json_charset))
        // Before the layer, or else preflights would not get into it.
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn(cors::allow_every_origin))
        .with_state(logger)
}

async fn log_requests(State(logger): State<Logger>, request: Request) -> Response {
    let logger = logger.inner;
    match logger.accept(request).await {
        Ok(()) => {
            let body = json!({ "message": "API requests logged successfully.", "status": 201 });
            (StatusCode::CREATED, Json(body)).into_response()
        }
        Err(Refused { reason, response }) => {
            logger.metrics.refused.with_label_values(&[reason]).inc();
            *response
        }
    }
}

/// An answer that is an error, and its reason for the metrics.
struct Refused {
    reason: &'static str,
    response: Box<Response>,
}

impl Refused {
    fn new(reason: &'static str, error: ApiError) -> Self {
        Self { reason, response: Box::new(error.into_response()) }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let bad = |reason, message: &str| Self::new(reason, ApiError::bad_request(message));
        match refusal {
            Refusal::Malformed(why) => {
                let mut refused = bad("malformed", &format!("Invalid request data.\n{why}"));
                // Upstream's quirk: this one body is labelled as text.
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                refused.response.headers_mut().insert(CONTENT_TYPE, text);
                refused
            }
            // Upstream's spelling.
            Refusal::NoKey => bad("no_key", "API key requied."),
            Refusal::BadKey => bad("bad_key", "Invalid data."),
            Refusal::Empty => bad("empty", "Payload contains no logged requests."),
            Refusal::Framework => bad("framework", "Unsupported API framework."),
            Refusal::NoRows => bad("no_rows", "Invalid request data."),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::new(
                "overloaded",
                ApiError::unavailable("Too many requests wait to be stored; send this again."),
            ),
            other => {
                tracing::error!(error = %other, "hits could not be stored");
                Self::new("store", ApiError::unavailable("Database connection failed."))
            }
        }
    }
}

fn too_large(message: String, field: &str) -> Refused {
    Refused::new("too_large", ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).field(field))
}

impl Inner {
    async fn accept(self: &Arc<Self>, request: Request) -> Result<(), Refused> {
        let (body, mut room) = self.body(request.into_body()).await?;
        self.weigh(&body, &mut room)?;
        let envelope = Envelope::parse(&body)?;
        drop(body);

        // Upstream misses a key first of all, and finds it malformed last of all.
        let key = match envelope.key() {
            Err(Refusal::NoKey) => return Err(Refusal::NoKey.into()),
            key => key,
        };
        if let Ok(key) = &key {
            self.limit(key)?;
        }
        if envelope.len() > self.bounds.rows {
            let message = format!(
                "A batch may have {} requests; this has {}. Send it in parts.",
                self.bounds.rows,
                envelope.len()
            );
            return Err(too_large(message, "requests"));
        }
        room.merge(self.room(envelope.len())?);
        let level = envelope.privacy_level();
        let (framework, rows, repairs) = envelope.rows(now_ms())?;
        self.metrics.repaired(repairs);
        // Each day is a file of its own once it is sealed; real batches span minutes.
        if rows.iter().map(|row| day_of(row.ts)).collect::<HashSet<_>>().len() > DAYS {
            let message = format!("A batch may span {DAYS} days; send it in parts.");
            return Err(too_large(message, "requests[].created_at"));
        }
        self.store_rows(key?, framework, level, rows.into()).await
    }

    /// Takes room for what a body becomes when it is parsed, and refuses one that
    /// has far more values than the rows it may have: a few compressed bytes could
    /// otherwise become gigabytes.
    fn weigh<'a>(&'a self, body: &[u8], room: &mut SemaphorePermit<'a>) -> Result<(), Refused> {
        let values = body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        if values > self.bounds.rows.saturating_mul(VALUES_PER_ROW) {
            return Err(too_large(
                "The body has too many values; send the batch in parts.".into(),
                "requests",
            ));
        }
        room.merge(self.room(values / VALUES_PER_KIB + 1)?);
        Ok(())
    }

    fn limit(&self, key: &Uuid) -> Result<(), Refused> {
        if self.limited.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.posts.retain_recent();
        }
        self.posts.check_key(key).map_err(|_| {
            let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests.");
            Refused::new("rate", ApiError { retry_after: Some(1), ..error })
        })
    }

    /// Reads a body. Its share of the room for all bodies grows with it: a length
    /// claimed beforehand says nothing about what a compressed body holds.
    async fn body(&self, body: Body) -> Result<(Vec<u8>, SemaphorePermit<'_>), Refused> {
        let mut body = Limited::new(body, self.bounds.body);
        let mut room = self.room(1)?;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unreadable(&*error))?;
            let Ok(data) = frame.into_data() else { continue };
            bytes.extend_from_slice(&data);
            let missing = (bytes.len() / 1_024 + 1).saturating_sub(room.num_permits());
            if missing > 0 {
                room.merge(self.room(missing)?);
            }
        }
        Ok((bytes, room))
    }

    fn room(&self, kib: usize) -> Result<SemaphorePermit<'_>, Refused> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        self.bodies.try_acquire_many(kib).map_err(|_| Refused::from(StoreError::Overloaded))
    }

    fn unreadable(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Refused {
        if error.is::<LengthLimitError>() {
            let message = format!("The body may have {} bytes; send the batch in parts.", self.bounds.body);
            return Refused::new("too_large", ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        Refused::new("body", ApiError::bad_request(format!("Invalid request data.\n{error}")))
    }

    async fn store_rows(
        self: &Arc<Self>,
        key: Uuid,
        framework: &'static str,
        level: i64,
        rows: Arc<[Row]>,
    ) -> Result<(), Refused> {
        // Twice at most: the key's project may just have been deleted, and a key may be used again.
        for attempt in 0..2 {
            let Some(project) = self.keys.project(key).await? else {
                let message = "Invalid API key.";
                return Err(Refused::new("unknown_key", ApiError::bad_request(message).field("api_key")));
            };
            let hits = self.hits(project, framework, level, Arc::clone(&rows)).await?;
            let count = hits.len();
            let start = Instant::now();
            match self.store.append(project, hits).await {
                Ok(()) => {
                    self.metrics.append.observe(start.elapsed().as_secs_f64());
                    #[allow(clippy::cast_precision_loss)] // bounded by Bounds::rows
                    self.metrics.batch.observe(count as f64);
                    self.metrics.hits.with_label_values(&[framework]).inc_by(count as u64);
                    return Ok(());
                }
                Err(StoreError::NoProject) if attempt == 0 => self.keys.forget(key),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refused::from(StoreError::NoProject))
    }

    /// Enriches rows; many at once off the executor, since each new agent costs
    /// some hundred microseconds.
    async fn hits(
        self: &Arc<Self>,
        project: ProjectId,
        framework: &'static str,
        level: i64,
        rows: Arc<[Row]>,
    ) -> Result<Vec<Hit>, Refused> {
        let this = Arc::clone(self);
        let few = rows.len() <= INLINE;
        let enrich = move || rows.iter().map(|row| this.hit(project, framework, level, row)).collect();
        if few {
            return Ok(enrich());
        }
        tokio::task::spawn_blocking(enrich)
            .await
            .map_err(|error| Refused::new("internal", ApiError::internal(&error)))
    }

    fn hit(&self, project: ProjectId, framework: &'static str, level: i64, row: &Row) -> Hit {
        let Row { ts, method, host, path, query, status, duration_us, ip, user_agent, user, referrer } =
            row.clone();
        let location = self.enricher.locate(level, ip);
        let agent = user_agent.as_deref().map(|text| self.enricher.user_agent(text)).unwrap_or_default();
        let visitor =
            self.enricher.visitor(day_of(ts), project.0, ip, user_agent.as_deref(), user.as_deref());
        Hit {
            ts,
            source: Some("api-analytics".into()),
            method,
            host,
            path: Some(path),
            query,
            status,
            duration_us,
            ip: location.ip.map(|ip| ip.to_string()),
            bot: user_agent.is_some().then_some(agent.bot),
            user_agent,
            user,
            referrer,
            country: location.country.map(|country| country.as_str().to_owned()),
            framework: Some(framework.into()),
            visitor: visitor.map(u64::cast_signed),
            client: agent.client.map(|text| text.to_string()),
            os: agent.os.map(|text| text.to_string()),
            device: agent.device.map(|text| text.to_string()),
            ..Hit::default()
        }
    }
}

/// `GET /api/health`, which the logger and the API both have.
pub fn health(store: Store) -> Router {
    Router::new()
        .route("/api/health", get(healthy))
        .layer(middleware::map_response(json_charset))
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn(cors::allow_every_origin))
        .with_state(store)
}

async fn healthy(State(store): State<Store>) -> Response {
    match store.ping().await {
        Ok(()) => Json(json!({ "status": "healthy" })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            let body = json!({ "error": "Database connection failed", "status": "unhealthy" });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
    }
}
