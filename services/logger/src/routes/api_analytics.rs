//! `POST /api/log-request` and `POST /api/requests`: one handler, two names.

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use tower_http::decompression::RequestDecompressionLayer;
use watchkeeper_runtime::{
    error::ApiError,
    http::{Quiet, cors, json_charset, not_found},
    peer::Peer,
};
use watchkeeper_store::{Hit, Identity, ProjectId, day_of, now_ms};

use crate::{
    decode::api_analytics::{Envelope, Refusal, Row},
    enrich::Enricher,
    intake::{Logger, Refused, idempotency},
    policy::Policy,
};

/// Upstream's answer, in its order of keys.
const LOGGED: &str = r#"{"message":"API requests logged successfully.","status":201}"#;

/// Where a batch keeps its rows.
const ROWS: &str = "requests";

/// Frameworks of the published `node-api-analytics` up to 1.3.0, which posts its
/// buffer again with every request that it sees while a post is under way.
const RESENDING: [&str; 3] = ["Express", "Fastify", "Koa"];

pub(super) fn router(logger: Logger) -> Router {
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
    match accept(&logger, request).await {
        Ok(()) => {
            let label = HeaderValue::from_static("application/json; charset=utf-8");
            (StatusCode::CREATED, Extension(Quiet), [(CONTENT_TYPE, label)], LOGGED).into_response()
        }
        Err(refused) => {
            // Upstream's quirk: this one body is labelled as text.
            let as_text = refused.reason == MALFORMED;
            let mut response = refused.answer(logger.metrics());
            if as_text {
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, text);
            }
            response
        }
    }
}

/// What the metrics call a body that is no batch.
const MALFORMED: &str = "malformed";

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let bad = |reason, message: &str| Self::new(reason, ApiError::bad_request(message));
        match refusal {
            Refusal::Malformed(why) => bad(MALFORMED, &format!("Invalid request data.\n{why}")),
            // Upstream's spelling.
            Refusal::NoKey => bad("no_key", "API key requied."),
            Refusal::BadKey => bad("bad_key", "Invalid data."),
            Refusal::Empty => bad("empty", "Payload contains no logged requests."),
            Refusal::Framework => bad("framework", "Unsupported API framework."),
            Refusal::NoRows => bad("no_rows", "Invalid request data."),
        }
    }
}

async fn accept(logger: &Logger, request: Request) -> Result<(), Refused> {
    let (head, body) = request.into_parts();
    let mut body = logger.body(Peer::of(&head), body).await?;
    body.weigh(logger.bounds().rows, ROWS).await?;
    let key_of_request = idempotency::identity(&head.headers, &[&body.bytes])?;
    let envelope = Envelope::parse(&body.bytes)?;

    // Upstream misses a key first of all, and finds it malformed last of all.
    let key = match envelope.key() {
        Err(Refusal::NoKey) => return Err(Refusal::NoKey.into()),
        key => key,
    };
    if let Ok(key) = &key {
        logger.limit(key)?;
    }
    logger.check_rows(envelope.len(), ROWS)?;
    let level = envelope.privacy_level();
    let (framework, rows, repairs) = envelope.rows(now_ms())?;
    logger.metrics().repaired(repairs);
    Logger::check_days(rows.iter().map(|row| row.ts), "requests[].created_at")?;

    let resends = RESENDING.contains(&framework).then_some(Identity::Buffer);
    let identity = key_of_request.or(resends);
    let enricher = logger.enricher().clone();
    enricher.salts().prepare(rows.iter().map(|row| day_of(row.ts))).await;
    let hit = move |project, policy, row: &Row| hit(&enricher, project, policy, framework, level, row);
    logger.append_by_key(key?, framework, identity, rows, hit, body.decoded()).await
}

fn hit(
    enricher: &Enricher,
    project: ProjectId,
    policy: Policy,
    framework: &'static str,
    level: i64,
    row: &Row,
) -> Hit {
    let row = row.clone();
    let Row { ts, method, host, path, query, status, duration_us, ip, user_agent, referrer, .. } = row;
    let anonymous = row.opted_out && (policy.honor_gpc || enricher.honors_gpc());
    let user = row.user.filter(|_| !anonymous);
    let mut location = enricher.locate(level.max(policy.level), ip);
    location.ip = location.ip.filter(|_| !anonymous);
    let ip = ip.filter(|_| !anonymous);
    let agent = user_agent.as_deref().map(|text| enricher.user_agent(text)).unwrap_or_default();
    let visitor = enricher.visitor(day_of(ts), project.0, ip, user_agent.as_deref(), user.as_deref());
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
