//! `watchkeeper export`, `import`, `person` and `erase`: hits in and out of the store by hand. They
//! ask the API's own routes, in this process, so that both understand and answer the same.

use std::{
    fs::File,
    io::{IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Method, Request, header::AUTHORIZATION},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use watchkeeper_analytics::Analytics;
use watchkeeper_api::{Api, ApiOptions, AuthConfig, protect, router};
use watchkeeper_runtime::secret::Secret;
use watchkeeper_store::{
    Options, Project, ProjectId, Store,
    exchange::{Format, Imported, Source},
};

use crate::{
    cli::{ExportArgs, ImportHitsArgs, PersonArgs, StoreArgs},
    local::DataDirectory,
    process::postgres_from_env,
};

/// Time between two tellings of how far an import is.
const TELL: Duration = Duration::from_secs(1);

/// The routes of the API over a store, for this process alone.
struct Here {
    store: Store,
    routes: Router,
    token: String,
    _lock: Option<DataDirectory>,
}

impl Here {
    /// Opens the store. Who writes has an embedded one for itself: a running `watchkeeper local`
    /// is asked over HTTP instead.
    async fn open(args: &StoreArgs, writes: bool) -> anyhow::Result<Self> {
        let (options, lock) = match postgres_from_env(args.database_ca.as_deref())? {
            Some(postgres) => (postgres, None),
            None => embedded(&args.data, writes)?,
        };
        let store = Store::open(&options).await.context("cannot open the store")?;
        let token = uuid::Uuid::new_v4().to_string();
        let auth = AuthConfig { admin_token: Secret::new(&token), open_overview: false };
        let api = Api::new(Analytics::new(store.clone()), ApiOptions::new(auth, false), || {});
        Ok(Self { store, routes: router(api), token, _lock: lock })
    }

    /// Posts JSON to a route; an answer that is an error becomes one.
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Body> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Body::from(body.to_string()))?;
        let response = self.routes.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let body = axum::body::to_bytes(body, 1 << 20).await?;
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = error["message"].as_str().unwrap_or("the API refused it");
        match error["field"].as_str() {
            Some(field) => anyhow::bail!("{field}: {message}"),
            None => anyhow::bail!("{message}"),
        }
    }

    /// The project of a name, number or user id.
    async fn project(&self, named: &str) -> anyhow::Result<Project> {
        let mut found = self.store.project_by_name(named).await?;
        if let (None, Ok(id)) = (&found, named.parse()) {
            found = self.store.project_by_id(ProjectId(id)).await?;
        }
        if let (None, Ok(user)) = (&found, named.parse()) {
            found = self.store.project_by_user(user).await?;
        }
        found.with_context(|| format!("there is no project `{named}`"))
    }
}

fn embedded(data: &Path, writes: bool) -> anyhow::Result<(Options, Option<DataDirectory>)> {
    let file = data.join("watchkeeper.db");
    anyhow::ensure!(
        file.exists(),
        "there is no store at {}; name its directory with --data, or set WATCHKEEPER_DATABASE_URL",
        file.display()
    );
    let lock = writes.then(|| DataDirectory::open(data)).transpose()?;
    Ok((Options::sqlite(file), lock))
}

/// Writes hits into a file, or to standard output.
pub async fn export(args: ExportArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let here = Here::open(&args.store, false).await?;
    let mut asked =
        json!({ "project": args.project, "format": args.format.to_string(), "timezone": args.timezone });
    match (args.period, args.from, args.to) {
        (Some(period), ..) => asked["date_range"] = period.into(),
        (None, from, to) => {
            asked["from"] = from.into();
            asked["to"] = to.into();
        }
    }
    if let Some(filters) = args.filters {
        asked["filters"] = serde_json::from_str(&filters).context("--filters must be JSON")?;
    }
    let mut body = here.post("/api/v1/export", &asked).await?;
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => {
            Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => Box::new(std::io::stdout().lock()),
    };
    loop {
        let frame = tokio::select! {
            () = shutdown.cancelled() => anyhow::bail!("stopped: the file is not whole"),
            frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)) => frame,
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| anyhow::anyhow!("{error}: the file is not whole"))?;
        if let Ok(bytes) = frame.into_data() {
            out.write_all(&bytes).context("cannot write the file")?;
        }
    }
    out.flush().context("cannot write the file")?;
    drop(out);
    here.store.close().await;
    Ok(())
}

/// Stores the hits of a file.
pub async fn import(args: ImportHitsArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let format = match args.format {
        Some(format) => format,
        None => of_name(&args.file)?,
    };
    let file = File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let here = Here::open(&args.store, true).await?;
    let project = here.project(&args.project).await?;
    let (level, settings) = (args.privacy.privacy_level, project.settings);
    let mut teller = Teller::new();
    let work = here.store.import(
        project.id,
        format,
        Source::File(file),
        None,
        move |hit| protect(hit, level, settings),
        |done| teller.tell(done),
    );
    let result = tokio::select! {
        () = shutdown.cancelled() => anyhow::bail!("stopped: what was told to be stored is"),
        result = work => result,
    };
    let (done, failed) = match result {
        Ok(done) => (done, None),
        Err(error) => (error.done, Some(error.cause)),
    };
    teller.end(&done);
    here.store.close().await;
    match failed {
        None => Ok(()),
        Some(cause) => Err(anyhow::Error::new(cause).context("the import ended early; what is stored stays")),
    }
}

/// Prints everything that a project holds of one person.
pub async fn person(args: PersonArgs) -> anyhow::Result<()> {
    let here = Here::open(&args.store, false).await?;
    print(&here, &args, "person").await
}

/// Erases one person, and prints how many hits went.
pub async fn erase(args: PersonArgs) -> anyhow::Result<()> {
    let here = Here::open(&args.store, true).await?;
    print(&here, &args, "erase").await
}

async fn print(here: &Here, args: &PersonArgs, action: &str) -> anyhow::Result<()> {
    let project = here.project(&args.project).await?;
    let whom = match (&args.user, &args.ip) {
        (Some(user), _) => json!({ "user": user }),
        (None, ip) => json!({ "ip": ip }),
    };
    let body = here.post(&format!("/api/v1/projects/{}/{action}", project.id.0), &whom).await?;
    let body = axum::body::to_bytes(body, usize::MAX).await?;
    let mut out = std::io::stdout().lock();
    out.write_all(&body).and_then(|()| out.write_all(b"\n")).context("cannot write the answer")?;
    here.store.close().await;
    Ok(())
}

/// The format that a file's name says.
fn of_name(file: &Path) -> anyhow::Result<Format> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    extension
        .parse()
        .map_err(|_| anyhow::anyhow!("{} does not say its format; give --format", file.display()))
}

/// Tells on standard error how far an import is: on one line for a person, on new ones for a log.
struct Teller {
    person: bool,
    last: Instant,
}

impl Teller {
    fn new() -> Self {
        Self { person: std::io::stderr().is_terminal(), last: Instant::now() }
    }

    fn tell(&mut self, done: &Imported) {
        if self.last.elapsed() < TELL {
            return;
        }
        self.last = Instant::now();
        let (start, end) = if self.person { ("\r", "") } else { ("", "\n") };
        eprint!("{start}{} rows read, {} hits stored{end}", done.rows, done.imported);
    }

    fn end(&self, done: &Imported) {
        let start = if self.person { "\r" } else { "" };
        eprintln!(
            "{start}{} rows read, {} hits stored, {} rows not taken",
            done.rows, done.imported, done.rejected
        );
        for error in &done.errors {
            let joint = if error.field.is_empty() { "" } else { " " };
            eprintln!("  row {}: {}{joint}{}", error.row, error.field, error.message);
        }
        if !done.ignored.is_empty() {
            eprintln!("  columns that mean nothing here: {}", done.ignored.join(", "));
        }
    }
}
