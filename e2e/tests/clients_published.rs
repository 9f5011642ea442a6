//! The published client libraries of api-analytics log to Watchkeeper, unmodified on both sides, and
//! every hit reads back as they sent it: with their defaults on the embedded store, and with a privacy
//! level and the application's names of its users on Postgres.
//!
//! They post at most once a minute. No library is patched and no clock is bent: all applications
//! start together, receive the same requests, and are poked until their minute is over. So the
//! whole file takes a little more than a minute, whatever the number of clients.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::{Client, Method};
use tokio::task::{JoinSet, block_in_place};
use watchkeeper_e2e::clients::{App, Installed, Privacy, Runtime, Target};
use watchkeeper_e2e::fixed_host::FixedHost;
use watchkeeper_e2e::upstream::{Row, Upstream, http_client};
use watchkeeper_testkit::mmdb::{self, map, text};
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

/// A minute until the first post, and time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);
/// Short enough to notice the post soon, and long enough that no poke meets a post in flight:
/// `node-api-analytics` 1.3.0 would then send the same hits a second time.
const BETWEEN_POKES: Duration = Duration::from_secs(2);

/// The header by which applications know their users, where clients are told so.
const USER_ID_HEADER: &str = "X-User";
/// The country of the lower half of all addresses, where somebody looks; the loopback has none.
const COUNTRY: &str = "DE";

/// How the applications are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Setup {
    /// With their clients' defaults, on the embedded store.
    Default,
    /// With a privacy level and the names of users, on Postgres.
    Private,
}

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
    /// Whether an application can say who its users are.
    names_users: bool,
    /// Whether it posts to its authors' host whatever server it is told.
    fixed_host: bool,
}

impl Library {
    /// The privacy level of the private setup: by turns, so that every language meets both.
    fn level(&self) -> u8 {
        let place = LIBRARIES.iter().position(|other| other.name == self.name).unwrap();
        if place % 2 == 0 { 1 } else { 2 }
    }
}

const USUAL: Library = Library {
    name: "",
    runtime: Runtime::Go(""),
    port_in_hostname: true,
    query_in_path: false,
    decodes_path: true,
    not_found: 404,
    awaits_handler: true,
    forwarded_ip: "81.2.69.160",
    names_users: true,
    fixed_host: false,
};

const NODE: Library = Library { query_in_path: true, decodes_path: false, ..USUAL };

const RUST: Library = Library { decodes_path: false, ..USUAL };

const FASTAPI: Library = Library {
    port_in_hostname: false,
    // Uvicorn trusts the loopback, and so takes the proxy that is next to it.
    forwarded_ip: "72.14.192.2",
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
    Library {
        name: "Axum",
        runtime: Runtime::Rust("axum"),
        forwarded_ip: "72.14.192.2",
        names_users: false,
        ..RUST
    },
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
    user: Option<&'static str>,
    status: u16,
}

fn visits() -> Vec<Visit> {
    let visit = |method, target, agent, status| Visit {
        method,
        target,
        agent: Some(agent),
        forwarded: false,
        user: None,
        status,
    };
    vec![
        Visit { user: Some("ann"), ..visit(Method::GET, "/ok", "plain/1.0", 200) },
        visit(Method::POST, "/items", "O'Reilly's reader/2.0", 201),
        visit(Method::PUT, "/users/update", "select-insert/1.0 -- DROP TABLE", 200),
        visit(Method::DELETE, "/items/7", "deleting/1.0", 204),
        visit(Method::GET, "/missing", "lost/1.0", 404),
        visit(Method::GET, "/search?q=a%20b&page=2", "searching/1.0", 200),
        visit(Method::GET, "/slow", "waiting/1.0", 200),
        visit(Method::GET, "/caf%C3%A9", "drinking/1.0", 404),
        Visit { forwarded: true, user: Some("bob"), ..visit(Method::GET, "/ok", "proxied/1.0", 200) },
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

macro_rules! libraries {
    ($($library:ident: $name:literal,)*) => {
        mod hits_read_back_as_sent {
            $(#[test] fn $library() { super::assert_read_back($name, super::Setup::Default); })*
        }
        mod privacy_and_users_are_as_the_application_says {
            $(#[test] fn $library() { super::assert_read_back($name, super::Setup::Private); })*
        }
    };
}

libraries! {
    fastapi: "FastAPI",
    fastapi_alone: "FastAPI alone",
    flask: "Flask",
    django: "Django",
    tornado: "Tornado",
    tornado_alone: "Tornado alone",
    express: "Express",
    fastify: "Fastify",
    koa: "Koa",
    actix: "Actix",
    axum: "Axum",
    axum_1_3: "Axum 1.3",
    rocket: "Rocket",
    gin: "Gin",
    echo: "Echo",
    fiber: "Fiber",
    chi: "Chi",
}

fn assert_read_back(name: &'static str, setup: Setup) {
    let library = LIBRARIES.iter().find(|library| library.name == name).unwrap();
    let outcomes = outcomes().as_ref().unwrap_or_else(|error| panic!("{error}"));
    let outcome = outcomes[&(name, setup)].as_ref().unwrap_or_else(|error| panic!("{name}: {error}"));

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
        assert_visit(library, setup, outcome, &visit);
    }

    let (mut dashboard, mut data) = (outcome.dashboard.clone(), outcome.data.clone());
    dashboard.sort();
    data.sort();
    assert_eq!(data, dashboard, "{name}: the raw data and the dashboard show the same");
}

fn assert_visit(library: &Library, setup: Setup, outcome: &Outcome, visit: &Visit) {
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
    let (kept_ip, country, user) = match setup {
        Setup::Default => (Some(ip), None, None),
        Setup::Private => {
            let located = library.level() == 1 && ip != "127.0.0.1";
            (None, located.then_some(COUNTRY), visit.user.filter(|_| library.names_users))
        }
    };
    assert_eq!(row.ip.as_deref(), kept_ip, "{what}");
    assert_eq!(row.location.as_deref(), country, "{what}");
    assert_eq!(row.user_id.as_deref(), user, "{what}");

    let least = if visit.target == "/slow" && library.awaits_handler { 120 } else { 0 };
    assert!((least..5_000).contains(&row.response_time), "{what}: {row:?}");
    // Gin writes whole seconds.
    let second = SignedDuration::from_secs(1);
    let at: Timestamp = row.created_at.parse().unwrap();
    assert!((outcome.began - second..=outcome.ended).contains(&at), "{what}: {row:?} in {outcome:?}");
}

type Outcomes = BTreeMap<(&'static str, Setup), Result<Outcome, String>>;

/// Runs all libraries at once, in both setups, for the first test that asks.
fn outcomes() -> &'static Result<Outcomes, String> {
    static OUTCOMES: OnceLock<Result<Outcomes, String>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run_both()).map_err(|error| format!("{error:#}"))
    })
}

async fn run_both() -> Result<Outcomes> {
    let installed = Arc::new(Installed::new()?);
    let [default, private] =
        [Setup::Default, Setup::Private].map(|setup| tokio::spawn(run_all(Arc::clone(&installed), setup)));
    let mut outcomes = default.await??;
    outcomes.extend(private.await??);
    Ok(outcomes)
}

async fn run_all(installed: Arc<Installed>, setup: Setup) -> Result<Outcomes> {
    let files = RunDir::new("clients")?;
    let server = block_in_place(|| start(setup, files.path()))?;
    let base = server.base_url();
    let fixed = FixedHost::new(THEIR_HOST, base.trim_start_matches("http://"), files.path())?;
    let mut running = JoinSet::new();
    for library in LIBRARIES {
        let target = if library.fixed_host { Target::Fixed(&fixed) } else { Target::Told(&base) };
        let run = run_one(&installed, library, setup, &base, target, files.path()).await?;
        running.spawn(async move {
            let outcome = run.await.map_err(|error| format!("{error:#}"));
            ((library.name, setup), outcome)
        });
    }
    Ok(running.join_all().await.into_iter().collect())
}

fn start(setup: Setup, files: &Path) -> Result<Watchkeeper> {
    let local = Watchkeeper::local();
    match setup {
        Setup::Default => local.start(),
        Setup::Private => {
            let countries = files.join("country.mmdb");
            mmdb::write(&countries, &map(&[("country", map(&[("iso_code", text(COUNTRY))]))]))?;
            local.arg("--geoip").arg(countries).database(&Postgres::shared()?.database()?).start()
        }
    }
}

/// Starts an application; the future that comes back is its minute.
async fn run_one(
    installed: &Installed,
    library: Library,
    setup: Setup,
    server: &str,
    target: Target<'_>,
    logs: &Path,
) -> Result<impl Future<Output = Result<Outcome>> + use<>> {
    let upstream = Upstream::new(server)?;
    let key = upstream.generate().await?;
    let privacy =
        (setup == Setup::Private).then(|| Privacy { level: library.level(), user_id_header: USER_ID_HEADER });
    let began = Timestamp::now();
    // Others are in their minute meanwhile.
    let app = block_in_place(|| installed.start(library.name, library.runtime, target, &key, privacy, logs))?;
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
        request = request.header("X-Forwarded-For", "81.2.69.160, 72.14.192.2");
    }
    if let Some(user) = visit.user {
        request = request.header(USER_ID_HEADER, user);
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
