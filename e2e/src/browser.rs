//! A real browser on a server with realistic data: `e2e/browser` drives Debian's chromium.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use watchkeeper_testkit::sink::{Answer, HttpSink};
use watchkeeper_testkit::watchkeeper::Watchkeeper;
use watchkeeper_testkit::{paths, wait};

use crate::upstream::http_client;

/// Name of the project with the data.
pub const PROJECT: &str = "shop";

/// A server with hits of a month, and what drives a browser on it.
#[derive(Debug)]
pub struct Site {
    server: Watchkeeper,
    installed: BTreeMap<String, String>,
    key: String,
    user: String,
    token: String,
    /// Where the channel `ops` sends to.
    sink: HttpSink,
}

impl Site {
    /// Starts a server and logs so many hits of the last days to it.
    ///
    /// # Errors
    /// When something cannot be installed or started, or refuses the hits.
    pub async fn start(hits: u32, days: u32) -> Result<Self> {
        let installed = tokio::task::spawn_blocking(install).await??;
        let mut local = Watchkeeper::local().arg("--posts-per-minute").arg("100000");
        if let Ok(output) =
            Command::new(paths::workspace().join("e2e/geoip.sh")).stderr(Stdio::null()).output()
        {
            let file = String::from_utf8(output.stdout)?;
            if !file.trim().is_empty() {
                local = local.arg("--geoip").arg(file.trim());
            }
        }
        let server = local.start()?;
        let token = std::fs::read_to_string(server.data().join("admin-token"))?.trim().to_owned();
        let (base, http) = (server.base_url(), http_client()?);
        let key: String = http.get(format!("{base}/api/generate")).send().await?.json().await?;
        let named = http.put(format!("{base}/api/v1/projects/{PROJECT}")).bearer_auth(&token);
        let named = named.json(&json!({ "key": key })).send().await?;
        if !named.status().is_success() {
            bail!("the project has no name: {}", named.status());
        }
        let user: String = http.get(format!("{base}/api/user-id/{key}")).send().await?.json().await?;
        let site = Self { server, installed, key, user, token, sink: HttpSink::start()? };
        let end = jiff::Timestamp::now().as_millisecond().to_string();
        site.node("seed.mjs", &[&base, &site.key, &end, &hits.to_string(), &days.to_string()], None).await?;
        Ok(site)
    }

    /// Adds endpoints with a past, a status page of them, what was posted on it, and dead letters.
    ///
    /// # Errors
    /// When the server refuses something.
    pub async fn watch(&self) -> Result<()> {
        crate::watched::seed(self.server.data(), &self.server.base_url()).await?;
        self.leave_dead_letters().await?;
        let send = async |method: Method, path: &str, body: Value| {
            self.call(method, &format!("status-pages/shop{path}"), body).await
        };
        let group = |name: &str| json!({ "name": name, "allOf": name });
        let page = json!({
            "title": "Shop status",
            "description": "How the shop and what it stands on are doing.",
            "link": "https://shop.example/",
            "latency": true,
            "groups": [group("Shop"), group("Platform"), { "name": "Edge", "allOf": "Edge", "endpoints": ["Mail relay"] }],
        });
        send(Method::PUT, "", page).await?;
        let incident = json!({
            "title": "Search answers slowly or not at all",
            "text": "Searches fail for about a third of customers. We look into it.",
            "status": "investigating", "impact": "partial", "endpoints": ["Search"],
        });
        let incident = send(Method::POST, "/incidents", incident).await?;
        let update = json!({ "status": "identified", "text": "An index was damaged. It is being rebuilt." });
        send(Method::POST, &format!("/incidents/{}/updates", incident["id"]), update).await?;
        let day = |days: i64| {
            let moment = jiff::Timestamp::now().as_millisecond() / 3_600_000 * 3_600_000 + days * 86_400_000;
            jiff::Timestamp::from_millisecond(moment).map(|moment| moment.to_string())
        };
        let maintenance = json!({
            "kind": "maintenance", "title": "Database upgrade", "text": "Orders are paused for some minutes.",
            "startsAt": day(3)?, "endsAt": day(4)?, "endpoints": ["Database"],
        });
        send(Method::POST, "/incidents", maintenance).await?;
        Ok(())
    }

    /// Adds 500 endpoints with a past, and a status page of them called `many`.
    ///
    /// # Errors
    /// When the server refuses something.
    pub async fn watch_many(&self) -> Result<()> {
        crate::watched::seed_many(self.server.data(), 500).await?;
        let groups: Vec<_> = (0..20).map(crate::watched::many_group).collect();
        let groups: Vec<_> = groups.iter().map(|name| json!({ "name": name, "allOf": name })).collect();
        let page = json!({ "title": "Everything", "latency": true, "groups": groups });
        self.call(Method::PUT, "status-pages/many", page).await?;
        Ok(())
    }

    /// Puts the channel `ops` and lets it refuse three notices; all that comes later it takes.
    async fn leave_dead_letters(&self) -> Result<()> {
        let hook = json!({ "url": { "value": self.sink.url() } });
        let channels = json!({ "channels": [{ "name": "ops", "default": false, "webhook": hook }] });
        self.call(Method::PUT, "notifications", channels).await?;
        self.sink.answer(Answer::status(404));
        for _ in 0..3 {
            self.call(Method::POST, "channels/ops/test", Value::Null).await?;
        }
        let dead = async || -> Result<Option<()>> {
            let found = self.call(Method::GET, "notices?state=dead", Value::Null).await?;
            Ok(found["notices"].as_array().is_some_and(|letters| letters.len() == 3).then_some(()))
        };
        wait::until_async("three dead letters", Duration::from_secs(60), dead).await?;
        self.sink.answer(Answer::status(200));
        Ok(())
    }

    /// Asks the API something as its administrator.
    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let request = http_client()?.request(method, format!("{}/api/v1/{path}", self.server.base_url()));
        let answer = request.bearer_auth(&self.token).json(&body).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// What the public gets at a path.
    ///
    /// # Errors
    /// When the server does not answer with success.
    pub async fn public(&self, path: &str) -> Result<String> {
        let answer = http_client()?.get(format!("{}{path}", self.server.base_url())).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Runs one scenario of `check.mjs`; `shots` takes its screenshots.
    ///
    /// # Errors
    /// When something on the page is not as the scenario wants it; the message says what.
    pub async fn check(&self, scenario: &str, shots: Option<&Path>) -> Result<()> {
        // The capability of upstream's links, which a browser needs nothing else for.
        let path = format!("/p/{}", self.user);
        self.node("check.mjs", &[scenario, &self.server.base_url(), &path], shots).await
    }

    async fn node(&self, script: &str, arguments: &[&str], shots: Option<&Path>) -> Result<()> {
        let place =
            |name: &str| self.installed.get(name).with_context(|| format!("setup.sh names no {name}"));
        let mut command = tokio::process::Command::new(place("node")?);
        command
            .arg(Path::new(place("scripts")?).join(script))
            .args(arguments)
            .env("WATCHKEEPER_CHROMIUM", place("chromium")?)
            .env("WATCHKEEPER_TOKEN", &self.token)
            .env("WATCHKEEPER_KEY", &self.key)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(shots) = shots {
            std::fs::create_dir_all(shots)?;
            command.env("WATCHKEEPER_SHOTS", shots);
        }
        let output = command.output().await?;
        if !output.status.success() {
            bail!("{script}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

/// The folder of the installed npm packages.
///
/// # Errors
/// When they cannot be installed.
pub fn packages() -> Result<PathBuf> {
    let installed = install()?;
    Ok(Path::new(installed.get("scripts").context("setup.sh names no scripts")?).join("node_modules"))
}

fn install() -> Result<BTreeMap<String, String>> {
    let script = paths::workspace().join("e2e/browser/setup.sh");
    let output = Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| script.display().to_string())?;
    if !output.status.success() {
        bail!("{}: {}", script.display(), output.status);
    }
    let lines = String::from_utf8(output.stdout)?;
    let places = lines.lines().filter_map(|line| line.split_once('='));
    Ok(places.map(|(name, path)| (name.to_owned(), path.to_owned())).collect())
}
