//! `POST /api/v1/traffic`: views of a website, as site-analytics takes them.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{Query, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode, header::AUTHORIZATION, request::Parts};
use sha2::{Digest, Sha256};
use tower_http::decompression::RequestDecompressionLayer;
use uuid::Uuid;
use watchkeeper_runtime::{
    error::{ApiError, unauthorized_site},
    guesses::{Guesses, refused},
    peer::Peer,
};
use watchkeeper_store::{Appended, Hit, Identity, ProjectId, SiteAccess, Store, StoreError, day_of, now_ms};

use crate::{
    decode::site_analytics::{MAX_VIEWS, Refusal, View, decode},
    intake::{Logger, Refused, Share, idempotency},
    keys::Remembered,
    site::{SiteMetrics, TrafficLog, hit, time},
};

/// What the metrics call views.
const LABEL: &str = "site-analytics";

/// Where a batch keeps its rows.
const ROWS: &str = "traffic";

/// Views that a body may have before it is read at all: far more than are taken, so that whoever sends
/// some too many is told how many they are.
const WEIGHED: usize = 10 * MAX_VIEWS;

/// What websites' views need beside a logger; clones share it.
#[derive(Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    access: SiteAccess,
    log: Option<TrafficLog>,
    metrics: SiteMetrics,
    /// By the digest of what was presented: a secret is not kept.
    projects: Remembered<[u8; 32]>,
    guesses: Guesses,
}

impl Site {
    /// Views for the projects that `access` opens, noted in `log` beside the store if there is one.
    pub fn new(store: Store, access: SiteAccess, log: Option<TrafficLog>, metrics: SiteMetrics) -> Self {
        let (projects, guesses) = (Remembered::new(), Guesses::default());
        Self { inner: Arc::new(Inner { store, access, log, metrics, projects, guesses }) }
    }
}

/// The route of websites' views.
pub fn site_router(logger: Logger, site: Site) -> Router {
    Router::new()
        .route("/api/v1/traffic", post(report))
        .layer(RequestDecompressionLayer::new())
        .with_state((logger, site))
}

/// Why a report is not taken.
enum Rejected {
    /// The header is missing or opens nothing. Decided before anything else.
    Unauthorized,
    /// The original's 400.
    Report(Refusal),
    /// As every protocol's posts are refused.
    Other(Refused),
}

impl From<Refused> for Rejected {
    fn from(refused: Refused) -> Self {
        Self::Other(refused)
    }
}

impl From<StoreError> for Rejected {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

async fn report(State((logger, site)): State<(Logger, Site)>, request: Request) -> Response {
    let refused = |reason: &str| logger.metrics().refused.with_label_values(&[reason]).inc();
    match accept(&logger, site.inner, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(Rejected::Unauthorized) => {
            refused("unauthorized");
            unauthorized_site()
        }
        Err(Rejected::Report(refusal)) => {
            refused("traffic");
            (StatusCode::BAD_REQUEST, refusal.to_string()).into_response()
        }
        Err(Rejected::Other(other)) => other.answer(logger.metrics()),
    }
}

async fn accept(logger: &Logger, site: Arc<Inner>, request: Request) -> Result<(), Rejected> {
    let (head, body) = request.into_parts();
    let presented = head.headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    if let Some(right) = site.access.guess(presented) {
        let noted = site.guesses.note(Peer::of(&head).network(), presented, right, Instant::now());
        noted.map_err(|seconds| Refused::new("unauthorized", refused(seconds)))?;
    }
    let project = site.project(presented).await?.ok_or(Rejected::Unauthorized)?;
    logger.limit(&limit_of(project))?;
    let mut body = logger.body(Peer::of(&head), body).await?;
    body.weigh(WEIGHED, ROWS).await?;
    let asked = head.uri.query().unwrap_or_default();
    let identity = idempotency::identity(&head.headers, &[asked.as_bytes(), &body.bytes])?;
    let views = decode(&query(&head), &body.bytes).map_err(Rejected::Report)?;
    // On a task of its own: what is stored is logged too when its client does not wait for it, and sends
    // it again, which is then neither stored nor logged.
    let room = body.decoded();
    let kept = keep(logger.clone(), site, presented.to_vec(), project, views, identity, room);
    tokio::spawn(kept).await.map_err(|error| Refused::new("internal", ApiError::internal(&error)))?
}

/// Stores the views of whoever has presented this, and logs them; they have their room until then.
async fn keep(
    logger: Logger,
    site: Arc<Inner>,
    presented: Vec<u8>,
    project: ProjectId,
    views: Vec<View>,
    identity: Option<Identity>,
    _room: Share,
) -> Result<(), Rejected> {
    let hits = hits(&logger, project, &views).await;
    let logged = site.log.as_ref().map(|log| (log, hits.clone()));
    let appended = match logger.append(project, LABEL, hits, identity.clone()).await {
        Err(refused) if refused.reason == "no_project" => {
            // It was deleted just now; whoever still may write starts a new one.
            site.projects.forget(&digest(&presented));
            let project = site.project(&presented).await?.ok_or(Rejected::Unauthorized)?;
            logger.append(project, LABEL, self::hits(&logger, project, &views).await, identity).await?
        }
        done => done?,
    };
    if let Some((log, hits)) = logged.filter(|_| appended == Appended::Stored)
        && let Err(error) = log.write(&hits).await
    {
        // The store has them; refusing now would have them sent and counted again.
        site.metrics.log_errors.inc();
        tracing::error!(%error, "the traffic log could not be written");
    }
    Ok(())
}

async fn hits(logger: &Logger, project: ProjectId, views: &[View]) -> Vec<Hit> {
    let (enricher, policy, now) = (logger.enricher(), logger.policy(project).await, now_ms());
    enricher.salts().prepare(views.iter().map(|view| day_of(time(view, now)))).await;
    views.iter().map(|view| hit(enricher, project, policy, view, now)).collect()
}

fn query(head: &Parts) -> Vec<(String, String)> {
    Query::try_from_uri(&head.uri).map(|Query(pairs)| pairs).unwrap_or_default()
}

/// What the posts of a project are counted under.
fn limit_of(project: ProjectId) -> Uuid {
    Uuid::from_u64_pair(0, project.0.cast_unsigned())
}

fn digest(presented: &[u8]) -> [u8; 32] {
    Sha256::digest(presented).into()
}

impl Inner {
    /// The project that a header opens, noted as one that a website reports to.
    async fn project(&self, presented: &[u8]) -> Result<Option<ProjectId>, StoreError> {
        let look_up = async {
            let found = self.store.site_project(&self.access, presented).await?;
            if let Some(project) = found {
                self.store.note_site(project).await?;
            }
            Ok(found)
        };
        self.projects.project(digest(presented), look_up).await
    }
}
