//! `/openapi.json`, `/docs` and `/redoc`: every JSON route, described in one document that is put together
//! from one part an area, and Swagger UI out of this binary: it loads nothing from elsewhere.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{Redirect, Response},
    routing::get,
};
use http::{
    HeaderValue,
    header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_swagger_ui::{Config, SwaggerUi};
use watchkeeper_runtime::VERSION;

use super::{api_analytics, dashboard, exchange, monitoring, overview, privacy, query, site_analytics, v1};
use crate::{Api, auth};

/// An error, as every interface answers one.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorView {
    /// What went wrong and how to mend it.
    message: String,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// The field at fault, as a path into the request.
    #[schema(example = "panels[0].metrics[1]")]
    field: Option<String>,
}

/// The frame that the areas' parts are put into.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Watchkeeper",
        description = "API analytics and uptime. Projects are named by name, id or user id; times are UTC unless \
                       they say otherwise.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Security),
    components(schemas(ErrorView)),
    tags(
        (name = "query", description = "Questions about hits"),
        (name = "hits", description = "Raw hits in and out"),
        (name = "privacy", description = "What one person may ask for"),
        (name = "projects", description = "Projects and their settings"),
        (name = "endpoints", description = "What is watched"),
        (name = "notices", description = "Channels, what they were told, what waits, and dead letters"),
        (name = "status pages", description = "Public pages about it, what is posted on them, and badges"),
        (name = "monitoring", description = "The interfaces of api-monitoring-system's clients, which share their paths with the operator's"),
        (name = "api-analytics", description = "The interfaces of api-analytics' clients and dashboard"),
        (name = "site-analytics", description = "The interfaces of a website that reports its views"),
        (name = "health", description = "Whether it works"),
    ),
)]
struct Frame;

/// The credentials of all systems.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let header = |name| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
        let components = document.components.get_or_insert_default();
        for (name, scheme) in [
            ("admin", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
            ("admin_basic", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic))),
            ("project_key", header("X-AUTH-TOKEN")),
            ("project_x_api_key", header("X-API-Key")),
            ("site_secret", header("Authorization")),
            ("monitoring_key", header("X-API-Key")),
        ] {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// The whole document: the API's areas, and what other parts of the process add.
pub(crate) fn document(more: &[utoipa::openapi::OpenApi]) -> utoipa::openapi::OpenApi {
    let mut document = Frame::openapi();
    document.info.version = VERSION.to_owned();
    for part in [
        query::document::QueryDoc::openapi(),
        exchange::ExchangeDoc::openapi(),
        privacy::PrivacyDoc::openapi(),
        v1::V1Doc::openapi(),
        monitoring::MonitoringDoc::openapi(),
        dashboard::AnnotationsDoc::openapi(),
        dashboard::StatusPagesDoc::openapi(),
        overview::OverviewDoc::openapi(),
        api_analytics::ApiAnalyticsDoc::openapi(),
        site_analytics::document::SiteAnalyticsDoc::openapi(),
    ] {
        document.merge(part);
    }
    for part in more {
        document.merge(part.clone());
    }
    name_operations(&mut document);
    document
}

/// Names every operation by its method and path: a program that is made from the document needs
/// names, and those of handlers are only unique within their modules.
fn name_operations(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let words: Vec<_> =
            path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let path = words.join("_");
        for (method, operation) in [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ] {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{path}"));
            }
        }
    }
}

pub(super) fn router(api: &Api) -> Router<Api> {
    // Swagger UI would ask its maker's server whether the document is valid.
    let config = Config::new(["/openapi.json"]).validator_url("none");
    let ui = SwaggerUi::new("/docs").url("/openapi.json", document(&api.options.documents)).config(config);
    Router::from(ui)
        // FastAPI's other page; one viewer is enough to carry along.
        .route("/redoc", get(|| async { Redirect::to("/docs/") }))
        .layer(middleware::from_fn_with_state(api.clone(), guard))
}

/// Asks for the administrator where the documentation is protected, and keeps the page to itself.
async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    // The headers alone: a body cannot be shared while this waits.
    let headers = request.headers().clone();
    if api.options.protect_docs
        && let Err(refused) = auth::administrator(&api, &headers).await
    {
        return refused;
    }
    let mut response = next.run(request).await;
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                  frame-ancestors 'none'; base-uri 'none'";
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
