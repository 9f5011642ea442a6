//! `/health` and what lies below it: whether it works, breakers and certificates.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use watchkeeper_runtime::VERSION;
use watchkeeper_store::{CertificateAnswer, DAY_MS, Endpoint, Errand, Probe, State as EndpointState, now_ms};

use super::{
    access::Caller,
    endpoints::find,
    past::{Breaker, Circuit},
    problem::Problem,
    query::Params,
};
use crate::{Api, routes::ErrorView, times::rfc3339};

/// Longest wait for the certificates of a report: less than any answer may take.
const REPORT: Duration = Duration::from_secs(45);

/// Certificates of one report.
const CERTIFICATES: usize = 1_000;

/// Tells whether the store answers and whether a checker is at work. Open to everybody.
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    responses(
        (status = 200, description = "The store answers", body = Object),
        (status = 503, description = "It does not", body = Object),
    ),
)]
pub(crate) async fn health(State(api): State<Api>) -> Response {
    let checking = match api.store.ping().await {
        Ok(()) => {
            api.store.checkers().await.map(|view| view.replicas.iter().any(|one| !one.expires_in.is_zero()))
        }
        Err(error) => Err(error),
    };
    let (status, word, database, checking) = match checking {
        Ok(checking) => (StatusCode::OK, "healthy", "connected", checking),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "disconnected", false)
        }
    };
    let body = json!({
        "status": word,
        "version": VERSION,
        "timestamp": rfc3339(now_ms()),
        "database": database,
        "scheduler": if checking { "running" } else { "stopped" },
    });
    (status, Json(body)).into_response()
}

/// The name of an endpoint's breaker.
fn breaker_name(endpoint: &Endpoint) -> String {
    format!("health_check_{}", endpoint.name)
}

/// Lists a breaker for every active endpoint, as its checks would have moved it. It reports alone: no
/// check is left out because a breaker is open.
#[utoipa::path(
    get,
    path = "/health/circuit-breakers",
    tag = "monitoring",
    responses(
        (status = 200, description = "The breakers, and how many are in which state", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn breakers(_: Caller<100>, State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let mut told = Map::new();
    let mut count = [0_usize; 3];
    let endpoints = active(&api).await?;
    for (endpoint, circuit) in endpoints.iter().zip(circuits(&api, &endpoints).await?) {
        count[circuit.breaker as usize] += 1;
        let name = breaker_name(endpoint);
        let body = json!({
            "name": name,
            "state": circuit.breaker.name(),
            "failure_count": circuit.failures,
            "success_count": circuit.successes,
            "last_failure_time": circuit.last_failure.map(rfc3339),
            "failure_threshold": Breaker::FAILURES,
            "recovery_timeout": Breaker::RECOVERY_MS / 1_000,
        });
        told.insert(name, body);
    }
    let [closed, half_open, open] = count;
    Ok(Json(json!({
        "timestamp": rfc3339(now_ms()),
        "summary": {
            "total_circuit_breakers": count.iter().sum::<usize>(),
            "open": open,
            "half_open": half_open,
            "closed": closed,
        },
        "circuit_breakers": told,
    })))
}

async fn active(api: &Api) -> Result<Vec<Endpoint>, Problem> {
    let endpoints = api.store.endpoints().await?;
    Ok(endpoints.into_iter().filter(|endpoint| !endpoint.spec.suspended).collect())
}

/// The breakers of endpoints, in their order. Of most their state says all; the checks of the others are
/// read together.
async fn circuits(api: &Api, endpoints: &[Endpoint]) -> Result<Vec<Circuit>, Problem> {
    let now = now_ms();
    let open: Vec<_> =
        endpoints.iter().filter_map(|endpoint| Some((endpoint, failures_from(endpoint, now)?))).collect();
    let mut checks = api.store.newest_checks(&open, now + 1, Breaker::LOOK).await?;
    let circuit = |endpoint: &Endpoint| {
        let checks = checks.remove(&endpoint.id).unwrap_or_default();
        Circuit::after(checks.iter().rev(), now)
    };
    Ok(endpoints.iter().map(circuit).collect())
}

/// From when failures may count for an endpoint's breaker; `None` where there are none for certain.
fn failures_from(endpoint: &Endpoint, now: i64) -> Option<i64> {
    let status = &endpoint.status;
    let interval = i64::try_from(endpoint.spec.interval.as_millis()).unwrap_or(i64::MAX);
    let steady =
        status.state == EndpointState::Up && now.saturating_sub(status.since) > interval.saturating_mul(3);
    if !steady {
        return Some(endpoint.breaker_reset_at);
    }
    // What has been up for so long has been closed for almost as long: failures before say nothing. Where
    // the first failure is the end of it, there were none since.
    let flawless = endpoint.spec.alerts.failure_threshold <= 1
        && status.last_check.as_ref().is_some_and(|check| check.ok);
    (!flawless).then(|| endpoint.breaker_reset_at.max(status.since))
}

/// Closes the breaker of one endpoint: failures until now do not count any more.
#[utoipa::path(
    post,
    path = "/health/circuit-breakers/{name}/reset",
    tag = "monitoring",
    params(("name" = String, Path, description = "`health_check_` and the endpoint's name")),
    responses(
        (status = 200, description = "It is closed", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that name; those that are there are told", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn reset(
    _: Caller<50>,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let all = active(&api).await?;
    let ids: Vec<i64> =
        all.iter().filter(|endpoint| breaker_name(endpoint) == name).map(|endpoint| endpoint.id).collect();
    if ids.is_empty() {
        let available: Vec<_> = all.iter().map(breaker_name).collect();
        return Err(Problem::not_found(
            format!("Circuit breaker '{name}' not found"),
            "available",
            json!(available),
        ));
    }
    api.store.reset_breakers(&ids, now_ms()).await?;
    Ok(Json(json!({
        "status": "reset",
        "circuit_breaker": name,
        "new_state": "closed",
        "timestamp": rfc3339(now_ms()),
    })))
}

/// Closes the breakers of all endpoints.
#[utoipa::path(
    post,
    path = "/health/circuit-breakers/reset-all",
    tag = "monitoring",
    responses(
        (status = 200, description = "They are closed", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn reset_all(_: Caller<50>, State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let ids: Vec<i64> = active(&api).await?.iter().map(|endpoint| endpoint.id).collect();
    api.store.reset_breakers(&ids, now_ms()).await?;
    Ok(Json(json!({ "status": "all_reset", "count": ids.len(), "timestamp": rfc3339(now_ms()) })))
}

/// Asks every active endpoint at an https URL, or one, for its certificate, and tells what it says.
#[utoipa::path(
    get,
    path = "/health/ssl",
    tag = "monitoring",
    params(
        ("endpoint_id" = Option<i64>, Query, description = "The one to ask; all without it"),
        ("warning_days" = Option<i64>, Query, description = "Days before its end from which a certificate expires soon, 1 to 365; 30 without it"),
    ),
    responses(
        (status = 200, description = "The certificates, and how many are in which state", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number, or it is not active", body = Object),
        (status = 422, description = "A parameter is at fault; it is named", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn certificates(
    _: Caller<30>,
    State(api): State<Api>,
    mut params: Params,
) -> Result<Json<Value>, Problem> {
    let warning_days = params.integer("warning_days", 30, 1..=365);
    let one = params.text("endpoint_id").is_some();
    let id = params.integer("endpoint_id", 0, i64::MIN..=i64::MAX);
    params.done()?;
    let endpoints = match one {
        false => active(&api).await?,
        true => {
            let endpoint = find(&api, id).await?;
            if endpoint.spec.suspended {
                return Err(Problem::no_endpoint(id));
            }
            vec![endpoint]
        }
    };
    let total = endpoints.len();
    let mut secure: Vec<Endpoint> = endpoints.into_iter().filter(asks_https).collect();
    let skipped = total - secure.len();
    secure.truncate(CERTIFICATES);
    let errands: Vec<_> =
        secure.iter().map(|endpoint| Errand::Certificate { endpoint: endpoint.id }).collect();
    let answers = api.store.run_errands(&errands, REPORT).await?;
    let now = now_ms();
    let mut count = Count::default();
    let certificates: Vec<_> = secure
        .iter()
        .zip(answers)
        .map(|(endpoint, answer)| {
            let answer = answer.and_then(|text| serde_json::from_str(&text).ok());
            let answer = answer.unwrap_or_else(|| CertificateAnswer::failed("no checker asked in time"));
            certificate(endpoint, &answer, warning_days, now, &mut count)
        })
        .collect();
    Ok(Json(json!({
        "summary": {
            "total_endpoints": total,
            "https_checked": secure.len(),
            "skipped_non_https": skipped,
            "valid": count.valid,
            "expiring_soon": count.soon,
            "expired": count.expired,
            "errors": count.errors,
            "warning_threshold_days": warning_days,
            "checked_at": rfc3339(now),
        },
        "certificates": certificates,
    })))
}

fn asks_https(endpoint: &Endpoint) -> bool {
    let is_secure = |url: &str| url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    matches!(&endpoint.spec.probe, Probe::Http(http) if is_secure(&http.url))
}

#[derive(Default)]
struct Count {
    valid: usize,
    soon: usize,
    expired: usize,
    errors: usize,
}

fn certificate(
    endpoint: &Endpoint,
    answer: &CertificateAnswer,
    warning_days: i64,
    now: i64,
    count: &mut Count,
) -> Value {
    let url = url::Url::parse(endpoint.spec.probe.target()).ok();
    let days = answer.not_after.map(|end| (end - now).div_euclid(DAY_MS));
    let expired = answer.not_after.is_some_and(|end| end <= now);
    let soon = !expired && days.is_some_and(|days| days <= warning_days);
    let counter = match (&answer.error, expired, soon) {
        (Some(_), ..) => &mut count.errors,
        (None, true, _) => &mut count.expired,
        (None, false, true) => &mut count.soon,
        (None, false, false) => &mut count.valid,
    };
    *counter += 1;
    json!({
        "hostname": url.as_ref().and_then(url::Url::host_str),
        "port": url.as_ref().and_then(url::Url::port_or_known_default),
        "subject": answer.subject,
        "issuer": answer.issuer,
        "serial_number": answer.serial_number,
        "version": answer.version,
        "not_before": answer.not_before.map(rfc3339),
        "not_after": answer.not_after.map(rfc3339),
        "days_until_expiry": days,
        "is_expired": expired,
        "is_expiring_soon": soon,
        "san_list": answer.names,
        "fingerprint_sha256": answer.fingerprint_sha256,
        "error": answer.error,
        "checked_at": rfc3339(answer.at.unwrap_or(now)),
        "endpoint_id": endpoint.id,
        "endpoint_name": endpoint.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_store::{EndpointSpec, EndpointStatus, HttpProbe, LastCheck, Origin, ProjectId};

    #[test]
    fn only_breakers_that_may_be_open_are_looked_at() {
        let probe = Probe::Http(HttpProbe::new("https://a.example/"));
        let last_check = Some(LastCheck { at: 900_000, ok: true, ..LastCheck::default() });
        let mut endpoint = Endpoint {
            id: 1,
            uid: "u".into(),
            origin: Origin::Api,
            project: ProjectId::INSTALLATION,
            namespace: String::new(),
            name: "web".into(),
            generation: 1,
            spec: EndpointSpec::new("web", probe),
            revision: 1,
            transition: 1,
            status: EndpointStatus { state: EndpointState::Up, since: 500_000, last_check },
            created_at: 0,
            updated_at: 0,
            breaker_reset_at: 7,
        };
        // Its interval is a minute.
        assert_eq!(failures_from(&endpoint, 680_000), Some(7), "it has only just come up");
        assert_eq!(failures_from(&endpoint, 680_001), None);
        endpoint.spec.alerts.failure_threshold = 5;
        assert_eq!(failures_from(&endpoint, 900_000), Some(500_000), "four failures leave it up");
        endpoint.status.state = EndpointState::Down;
        assert_eq!(failures_from(&endpoint, 900_000), Some(7));
    }
}
