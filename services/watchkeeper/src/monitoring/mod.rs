//! `--monitoring-config`: a `watchkeeper local` that goes by api-monitoring-system's file.

mod channels;
pub mod config;
mod env;

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use http::HeaderName;
use uuid::Uuid;
use watchkeeper_api::{Cors, MonitoringAccess, MonitoringEndpoint, MonitoringOptions};
use watchkeeper_runtime::telemetry::{LogArgs, LogFormat};
use watchkeeper_store::{
    AddOutcome, AlertSpec, Change, NewEndpoint, Options, Origin, ProjectId, Store, alerts::Channel,
};

use config::{Config, Read};

/// Where upstream looks for its file when nothing says where it is.
const DEFAULT_FILE: &str = "config/config.yaml";

/// What the file and the environment want.
#[derive(Debug)]
pub struct Monitoring {
    config: Config,
    endpoints: Vec<MonitoringEndpoint>,
}

impl Monitoring {
    /// Reads the file; an empty path means the one that upstream would read.
    ///
    /// # Errors
    /// When it cannot be read, with every mistake in it.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let path = match path.as_os_str().is_empty() {
            true => variable("CONFIG_PATH").map_or_else(|| DEFAULT_FILE.into(), PathBuf::from),
            false => path.to_owned(),
        };
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read the monitoring configuration {}", path.display()))?;
        let Read { config, endpoints } =
            Config::read(&text, |config| env::adapt(config, variable)).map_err(|mistakes| {
                anyhow::anyhow!(
                    "the monitoring configuration {} has mistakes:\n  {}",
                    path.display(),
                    mistakes.join("\n  ")
                )
            })?;
        Ok(Self { config, endpoints })
    }

    /// Logs as the file wants, but for the options that are `given` by a flag or a variable.
    pub fn adapt_logs(&self, args: &mut LogArgs, given: impl Fn(&str) -> bool) {
        if !given("log")
            && let Some(level) = self.config.level()
        {
            level.clone_into(&mut args.log);
        }
        if !given("log_format") && self.config.logging.format == "json" {
            args.log_format = LogFormat::Json;
        }
    }

    /// The Postgres database that it names, if it names one.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn database(&self, ca: Option<&Path>) -> anyhow::Result<Option<Options>> {
        let database = &self.config.database;
        if database.kind.eq_ignore_ascii_case("sqlite") {
            return Ok(None);
        }
        let url = database.url.expose();
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgresql", url));
        // Such as `postgresql+asyncpg`, as SQLAlchemy names a driver.
        let scheme = scheme.split('+').next().unwrap_or(scheme);
        Ok(Some(Options::postgres(&format!("{scheme}://{rest}"), ca).context("database.url")?))
    }

    /// Where to answer. A file that opens the interface to everybody has to say itself that strangers
    /// may reach it: without `api.host` it is this machine's alone.
    pub fn listen(&self) -> SocketAddr {
        let api = &self.config.api;
        let open = if api.auth.enabled { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let host = match api.host.as_deref() {
            None => IpAddr::V4(open),
            Some(host) => host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
        SocketAddr::new(host, u16::try_from(api.port).unwrap_or(8_000))
    }

    /// Where to tell metrics, if the file says.
    pub fn metrics_listen(&self) -> Option<SocketAddr> {
        let prometheus = &self.config.prometheus;
        let port = u16::try_from(prometheus.port).ok()?;
        prometheus.enabled.then(|| SocketAddr::new(self.listen().ip(), port))
    }

    /// How long checks are kept.
    pub fn retention(&self) -> Duration {
        let days = u64::try_from(self.config.monitoring.check_history_days).unwrap_or(90);
        Duration::from_secs(days * 86_400)
    }

    /// Checks under way at once.
    pub fn concurrency(&self) -> usize {
        usize::try_from(self.config.monitoring.max_concurrent_checks).unwrap_or(20)
    }

    /// Who is told.
    ///
    /// # Errors
    /// When a channel cannot be used.
    pub fn channels(&self) -> anyhow::Result<Vec<Channel>> {
        channels::of(&self.config.notifications)
    }

    /// How the interface behaves.
    pub fn options(&self) -> MonitoringOptions {
        let (auth, cors) = (&self.config.api.auth, &self.config.api.cors);
        // Upstream lets every page in by default. Where nobody is asked for a key, any page that somebody
        // opens could then use an interface that is their machine's alone.
        let usual = auth.enabled.then(config::Cors::default);
        let access = match auth.enabled {
            false => MonitoringAccess::Everybody,
            true => MonitoringAccess::Key {
                // Judged when the file was read.
                header: auth.header_name.parse().unwrap_or(HeaderName::from_static("x-api-key")),
                key: auth.api_key.clone(),
            },
        };
        let cors = cors.as_ref().or(usual.as_ref()).filter(|cors| cors.enabled).map(|cors| Cors {
            origins: cors.allow_origins.clone(),
            credentials: cors.allow_credentials,
            methods: cors.allow_methods.clone(),
            headers: cors.allow_headers.clone(),
        });
        MonitoringOptions { access, alerts: AlertSpec::default(), cors }
    }

    /// Makes the endpoints of the file, by name: one that is there becomes as the file has it, and those
    /// that the file no longer names stay.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn apply(&self, store: &Store) -> anyhow::Result<()> {
        let alerts = AlertSpec::default();
        let known = store.endpoints().await?.into_iter().filter(|it| it.origin == Origin::Api);
        let known: HashMap<String, i64> = known.map(|it| (it.name, it.id)).collect();
        for endpoint in &self.endpoints {
            if let Some(id) = known.get(&endpoint.name) {
                let change = |it: &mut NewEndpoint| it.spec = endpoint.spec(Some(&it.spec), &alerts);
                if let Change::Made(_) = store.change_endpoint(*id, Origin::Api, change).await? {
                    continue;
                }
            }
            let new = NewEndpoint {
                uid: format!("api/{}", Uuid::new_v4()),
                origin: Origin::Api,
                project: ProjectId::INSTALLATION,
                namespace: String::new(),
                name: endpoint.name.clone(),
                generation: 1,
                spec: endpoint.spec(None, &alerts),
            };
            // Another process that reads the same file may have been first.
            let (AddOutcome::Added | AddOutcome::Exists | AddOutcome::Full) =
                store.add_endpoint(&new, usize::MAX).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::cli::{Cli, is_given};

    fn monitoring(text: &str) -> Monitoring {
        let Read { config, endpoints } = Config::read(text, |_| Ok(())).expect("a file");
        Monitoring { config, endpoints }
    }

    #[test]
    fn pages_of_other_sites_are_let_in_where_a_key_is_asked_for_or_the_file_says_so() {
        let origins = |text: &str| monitoring(text).options().cors.map(|cors| cors.origins);
        let key = "auth: {enabled: true, api_key: s3cret}";
        let every = Some(vec!["*".to_owned()]);
        for open in ["", "api: {port: 8000}", "api: {cors: null}", "api: {cors: {enabled: false}}"] {
            assert_eq!(origins(open), None, "{open}");
        }
        assert_eq!(origins(&format!("api: {{{key}}}")), every);
        assert_eq!(origins("api: {cors: {enabled: true}}"), every);
        assert_eq!(origins(&format!("api: {{cors: {{enabled: false}}, {key}}}")), None);
        let named = origins("api: {cors: {allow_origins: ['https://status.example']}}");
        assert_eq!(named, Some(vec!["https://status.example".to_owned()]));
    }

    #[test]
    fn flags_of_logs_win_over_the_file_also_where_they_say_what_is_usual() {
        let file = monitoring("logging: {level: ERROR, format: json}");
        let logs = |flags: &[&str]| {
            let line = ["watchkeeper", "local"].into_iter().chain(flags.iter().copied());
            let matches = Cli::command().try_get_matches_from(line).expect("a command line");
            let mut logs = Cli::from_arg_matches(&matches).expect("arguments").log;
            file.adapt_logs(&mut logs, |option| is_given(&matches, option));
            (logs.log, logs.log_format)
        };
        assert_eq!(logs(&[]), ("error".to_owned(), LogFormat::Json));
        assert_eq!(logs(&["--log", "info"]), ("info".to_owned(), LogFormat::Json));
        assert_eq!(logs(&["--log-format", "text"]), ("error".to_owned(), LogFormat::Text));
    }
}
