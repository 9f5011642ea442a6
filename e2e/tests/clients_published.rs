//! The published client libraries of api-analytics log to Watchkeeper, unmodified on both sides, and
//! every hit reads back as they sent it.
//!
//! They post at most once a minute. No library is patched and no clock is bent: all applications
//! start together, receive the same requests, and are poked until their minute is over. So the
//! whole file takes a little more than a minute, whatever the number of clients.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::{Client, Method};
use tokio::task::JoinSet;
use watchkeeper_e2e::clients::{App, Installed, Runtime, Target};
use watchkeeper_e2e::fixed_host::FixedHost;
use watchkeeper_e2e::upstream::{Row, Upstream, http_client};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

/// A minute until the first post, and time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);
/// Short enough to notice the post soon, and long enough that no poke meets a post in flight:
/// `node-api-analytics` 1.3.0 would then send the same hits a second time.
const BETWEEN_POKES: Duration = Duration::from_secs(2);

/// A client library, and what it is known to make of a request.
#[derive(Debug, Clone, Copy)]
struct Library {
    name: &'static str,
    runtime: Runtime,
    port_in_hostname: bool,
    query_in_path: bool,
    decodes_path: bool,
    /// The status that it gives to a page that is not there.
    not_found: i64,
    /// Whether its response times include handlers that answer later.
    awaits_handler: bool,
    /// What it takes for the visitor's address behind two proxies.
    forwarded_ip: &'static str,
    /// Whether it posts to its authors' host whatever server it is told.
    fixed_host: bool,
}

const USUAL: Library = Library {
    name: "",
    runtime: Runtime::Go(""),
    port_in_hostname: true,
    query_in_path: false,
    decodes_path: true,
    not_found: 404,
    awaits_handler: true,
    forwarded_ip: "203.0.113.7",
    fixed_host: false,
};

const NODE: Library = Library { query_in_path: true, decodes_path: false, ..USUAL };

const RUST: Library = Library { decodes_path: false, ..USUAL };

const FASTAPI: Library = Library {
    port_in_hostname: false,
    // Uvicorn trusts the loopback, and so takes the proxy that is next to it.
    forwarded_ip: "198.51.100.2",
    ..USUAL
};

const TORNADO: Library = Library { decodes_path: false, forwarded_ip: "127.0.0.1", ..USUAL };

const LIBRARIES: [Library; 17] = [
    Library { name: "FastAPI", runtime: Runtime::Python("fastapi_app.py"), ..FASTAPI },
    Library {
        name: "FastAPI alone",
        runtime: Runtime::PythonWith("fastapi-analytics", "fastapi_app.py"),
        ..FASTAPI
    },
    Library { name: "Flask", runtime: Runtime::Python("flask_app.py"), forwarded_ip: "127.0.0.1", ..USUAL },
    Library { name: "Django", runtime: Runtime::Python("django_app.py"), forwarded_ip: "127.0.0.1", ..USUAL },
    Library { name: "Tornado", runtime: Runtime::Python("tornado_app.py"), ..TORNADO },
    Library {
        name: "Tornado alone",
        runtime: Runtime::PythonWith("tornado-analytics", "tornado_app.py"),
        ..TORNADO
    },
    Library {
        name: "Express",
        runtime: Runtime::Node("express_app.mjs"),
        // It looks at the response when the handlers have returned, not when they are done.
        not_found: 200,
        awaits_handler: false,
        ..NODE
    },
    Library { name: "Fastify", runtime: Runtime::Node("fastify_app.mjs"), ..NODE },
    Library { name: "Koa", runtime: Runtime::Node("koa_app.mjs"), ..NODE },
    Library { name: "Actix", runtime: Runtime::Rust("actix"), ..RUST },
    // It takes the proxy that is next to it.
    Library { name: "Axum", runtime: Runtime::Rust("axum"), forwarded_ip: "198.51.100.2", ..RUST },
    Library {
        name: "Axum 1.3",
        runtime: Runtime::Rust("watchkeeper-e2e-axum-1-3"),
        fixed_host: true,
        ..RUST
    },
    Library { name: "Rocket", runtime: Runtime::Rust("rocket"), ..RUST },
    Library { name: "Gin", runtime: Runtime::Go("gin"), ..USUAL },
    // They look at the response before the framework has made one of an error.
    Library { name: "Echo", runtime: Runtime::Go("echo"), not_found: 200, ..USUAL },
    Library {
        name: "Fiber",
        runtime: Runtime::Go("fiber"),
        not_found: 200,
        decodes_path: false,
        forwarded_ip: "127.0.0.1",
        ..USUAL
    },
    Library { name: "Chi", runtime: Runtime::Go("chi"), ..USUAL },
];

/// Where they post to who cannot be told otherwise.
const THEIR_HOST: &str = "www.apianalytics-server.com";

/// A request to an application. Its user agent is its name among the hits that come back.
struct Visit {
    method: Method,
    target: &'static str,
    agent: Option<&'static str>,
    forwarded: bool,
    status: u16,
}

fn visits() -> Vec<Visit> {
    let visit = |method, target, agent, status| Visit {
        method,
        target,
        agent: Some(agent),
        forwarded: false,
        status,
    };
    vec![
        visit(Method::GET, "/ok", "plain/1.0", 200),
        visit(Method::POST, "/items", "O'Reilly's reader/2.0", 201),
        visit(Method::PUT, "/users/update", "select-insert/1.0 -- DROP TABLE", 200),
        visit(Method::DELETE, "/items/7", "deleting/1.0", 204),
        visit(Method::GET, "/missing", "lost/1.0", 404),
        visit(Method::GET, "/search?q=a%20b&page=2", "searching/1.0", 200),
        visit(Method::GET, "/slow", "waiting/1.0", 200),
        visit(Method::GET, "/caf%C3%A9", "drinking/1.0", 404),
        Visit { forwarded: true, ..visit(Method::GET, "/ok", "proxied/1.0", 200) },
        Visit { agent: None, ..visit(Method::GET, "/ok", "", 200) },
    ]
}

const POKE: &str = "poke/1.0";

/// What came of one library's minute.
#[derive(Debug, Clone)]
struct Outcome {
    host: String,
    began: Timestamp,
    ended: Timestamp,
    pokes: usize,
    dashboard: Vec<Row>,
    data: Vec<Row>,
}

#[test]
fn fastapi_hits_read_back_as_sent() {
    assert_read_back("FastAPI");
}

#[test]
fn flask_hits_read_back_as_sent() {
    assert_read_back("Flask");
}

#[test]
fn django_hits_read_back_as_sent() {
    assert_read_back("Django");
}

#[test]
fn express_hits_read_back_as_sent() {
    assert_read_back("Express");
}

#[test]
fn fastify_hits_read_back_as_sent() {
    assert_read_back("Fastify");
}

#[test]
fn koa_hits_read_back_as_sent() {
    assert_read_back("Koa");
}

#[test]
fn actix_hits_read_back_as_sent() {
    assert_read_back("Actix");
}

#[test]
fn gin_hits_read_back_as_sent() {
    assert_read_back("Gin");
}

#[test]
fn fastapi_alone_hits_read_back_as_sent() {
    assert_read_back("FastAPI alone");
}

#[test]
fn tornado_hits_read_back_as_sent() {
    assert_read_back("Tornado");
}

#[test]
fn tornado_alone_hits_read_back_as_sent() {
    assert_read_back("Tornado alone");
}

#[test]
fn axum_hits_read_back_as_sent() {
    assert_read_back("Axum");
}

#[test]
fn axum_1_3_hits_read_back_as_sent() {
    assert_read_back("Axum 1.3");
}

#[test]
fn rocket_hits_read_back_as_sent() {
    assert_read_back("Rocket");
}

#[test]
fn echo_hits_read_back_as_sent() {
    assert_read_back("Echo");
}

#[test]
fn fiber_hits_read_back_as_sent() {
    assert_read_back("Fiber");
}

#[test]
fn chi_hits_read_back_as_sent() {
    assert_read_back("Chi");
}

fn assert_read_back(name: &str) {
    let library = LIBRARIES.iter().find(|library| library.name == name).unwrap();
    let outcome = outcomes()[name].as_ref().unwrap_or_else(|error| panic!("{name}: {error}"));

    // Nothing but what was sent: the script, and the pokes until one of them carried the post.
    let poked: Vec<&str> = outcome
        .dashboard
        .iter()
        .filter(|row| row.user_agent.as_deref() == Some(POKE))
        .map(|row| row.path.as_str())
        .collect();
    let expected: Vec<String> = (1..=poked.len()).map(|number| format!("/poke/{number}")).collect();
    assert_eq!(poked, expected, "{name}: pokes are there once and in order");
    assert!(poked.len() <= outcome.pokes);
    assert_eq!(outcome.dashboard.len(), visits().len() + poked.len(), "{name}: {:#?}", outcome.dashboard);

    for visit in visits() {
        assert_visit(library, outcome, &visit);
    }

    let (mut dashboard, mut data) = (outcome.dashboard.clone(), outcome.data.clone());
    dashboard.sort();
    data.sort();
    assert_eq!(data, dashboard, "{name}: the raw data and the dashboard show the same");
}

fn assert_visit(library: &Library, outcome: &Outcome, visit: &Visit) {
    let what = format!("{}: {} {}", library.name, visit.method, visit.target);
    let found: Vec<_> =
        outcome.dashboard.iter().filter(|row| row.user_agent.as_deref() == visit.agent).collect();
    assert_eq!(found.len(), 1, "{what}: {:#?}", outcome.dashboard);
    let row = found[0];

    let target = if library.query_in_path { visit.target } else { visit.target.split('?').next().unwrap() };
    let path = if library.decodes_path { target.replace("%C3%A9", "é") } else { target.to_owned() };
    assert_eq!(row.path, path, "{what}");
    let number =
        ["GET", "POST", "PUT", "PATCH", "DELETE"].iter().position(|name| *name == visit.method.as_str());
    assert_eq!(row.method, i64::try_from(number.unwrap()).unwrap(), "{what}");
    let status = if visit.status == 404 { library.not_found } else { visit.status.into() };
    assert_eq!(row.status, status, "{what}");
    let host = if library.port_in_hostname { outcome.host.as_str() } else { "127.0.0.1" };
    assert_eq!(row.hostname.as_deref(), Some(host), "{what}");
    let ip = if visit.forwarded { library.forwarded_ip } else { "127.0.0.1" };
    assert_eq!(row.ip.as_deref(), Some(ip), "{what}");
    assert_eq!(row.user_id, None, "{what}");

    let least = if visit.target == "/slow" && library.awaits_handler { 120 } else { 0 };
    assert!((least..5_000).contains(&row.response_time), "{what}: {row:?}");
    // Gin writes whole seconds.
    let second = SignedDuration::from_secs(1);
    let at: Timestamp = row.created_at.parse().unwrap();
    assert!((outcome.began - second..=outcome.ended).contains(&at), "{what}: {row:?} in {outcome:?}");
}

/// Runs all libraries at once, for the first test that asks.
fn outcomes() -> &'static BTreeMap<&'static str, Result<Outcome, String>> {
    static OUTCOMES: OnceLock<BTreeMap<&'static str, Result<Outcome, String>>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run_all()).unwrap_or_else(|error| {
            let message = format!("{error:#}");
            LIBRARIES.iter().map(|library| (library.name, Err(message.clone()))).collect()
        })
    })
}

async fn run_all() -> Result<BTreeMap<&'static str, Result<Outcome, String>>> {
    let installed = Installed::new()?;
    let server = Watchkeeper::local().start()?;
    let logs = RunDir::new("clients")?;
    let base = server.base_url();
    let fixed = FixedHost::new(THEIR_HOST, base.trim_start_matches("http://"), logs.path())?;
    let mut running = JoinSet::new();
    for library in LIBRARIES {
        let target = if library.fixed_host { Target::Fixed(&fixed) } else { Target::Told(&base) };
        let run = run_one(&installed, library, &base, target, logs.path()).await?;
        running.spawn(async move { (library.name, run.await.map_err(|error| format!("{error:#}"))) });
    }
    Ok(running.join_all().await.into_iter().collect())
}

/// Starts an application; the future that comes back is its minute.
async fn run_one(
    installed: &Installed,
    library: Library,
    server: &str,
    target: Target<'_>,
    logs: &Path,
) -> Result<impl Future<Output = Result<Outcome>> + use<>> {
    let upstream = Upstream::new(server)?;
    let key = upstream.generate().await?;
    let began = Timestamp::now();
    let app = installed.start(library.name, library.runtime, target, &key, logs)?;
    Ok(async move {
        let http = http_client()?;
        for visit in visits() {
            send(&http, &app, &visit).await?;
        }
        let pokes = poke_until_posted(&http, &app, &upstream, &key).await?;
        let dashboard = upstream.dashboard(&key).await?;
        let data = upstream.data(&key).await?;
        let host = app.host();
        Ok(Outcome { host, began, ended: Timestamp::now(), pokes, dashboard, data })
    })
}

async fn send(http: &Client, app: &App, visit: &Visit) -> Result<()> {
    let mut request = http.request(visit.method.clone(), format!("http://{}{}", app.host(), visit.target));
    if let Some(agent) = visit.agent {
        request = request.header(USER_AGENT, agent);
    }
    if visit.forwarded {
        request = request.header("X-Forwarded-For", "203.0.113.7, 198.51.100.2");
    }
    if [Method::POST, Method::PUT].contains(&visit.method) {
        request = request.header(CONTENT_TYPE, "application/json").body("{}");
    }
    let status = request.send().await?.status().as_u16();
    if status != visit.status {
        bail!("{} {} answered {status}\n{}", visit.method, visit.target, app.log_tail());
    }
    Ok(())
}

/// Sends a request every now and then, since most libraries post only on the occasion of one, until
/// the server has something. Gives the number of those requests.
async fn poke_until_posted(http: &Client, app: &App, upstream: &Upstream, key: &str) -> Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    let mut pokes = 0;
    while Instant::now() < deadline {
        tokio::time::sleep(BETWEEN_POKES).await;
        if !upstream.dashboard(key).await?.is_empty() {
            return Ok(pokes);
        }
        pokes += 1;
        let url = format!("http://{}/poke/{pokes}", app.host());
        http.get(url).header(USER_AGENT, POKE).send().await?.error_for_status()?;
    }
    bail!("nothing was posted within {PATIENCE:?}\n{}", app.log_tail())
}
