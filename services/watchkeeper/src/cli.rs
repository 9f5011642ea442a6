//! The command line. Secrets are never arguments: they come from the
//! environment or from files.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{
    ArgMatches, Args, Parser, Subcommand, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
    parser::ValueSource,
};
use ipnet::IpNet;
use url::{Host, Url};
use watchkeeper_analytics::DEFAULT_CACHE_BYTES;
use watchkeeper_api::ApiOptions;
use watchkeeper_checker::{GuardRules, HostLimit, ProberError, Probers};
use watchkeeper_crds::durations;
use watchkeeper_logger::{Bounds, Signup};
use watchkeeper_runtime::telemetry::LogArgs;
use watchkeeper_store::{Retention, SpoolOptions, exchange::Format};

use crate::site::{AddressArgs, SiteArgs, SiteCommand, TrafficLogArgs};

/// API analytics and uptime, self-hosted.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None, after_help = "\
The database's URL holds a password and is therefore read from the environment alone:
  WATCHKEEPER_DATABASE_URL=postgres://user:password@host:5432/database")]
pub struct Cli {
    #[command(flatten)]
    pub log: LogArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take hits from clients and write them into Postgres
    Logger(LoggerArgs),
    /// Answer dashboards, programs and the operator from Postgres
    Api(ApiArgs),
    /// Probe endpoints and write the results into Postgres
    Checker(CheckerArgs),
    /// Run everything in one process, on an embedded store unless WATCHKEEPER_DATABASE_URL is set
    Local(Box<LocalArgs>),
    /// Write a project's hits into a file: CSV, newline-delimited JSON or Parquet
    Export(ExportArgs),
    /// Store the hits of a file, or write another monitor's endpoints as manifests
    Import(ImportArgs),
    /// Print everything that a project holds of one person, as JSON
    ///
    /// Of more than 100,000 hits or 64 MiB it prints nothing and says so. `watchkeeper export` gives all of
    /// them, with --filters '[["is", "user", ["ann"]]]' or the same of "ip".
    Person(PersonArgs),
    /// Erase one person from a project, and print how many hits went
    Erase(PersonArgs),
    /// Try out a channel of notices
    Notify(NotifyArgs),
    /// Jobs of a website that reports its views as site-analytics' do, on the store itself
    Site(SiteCommand),
}

/// Whether an option of every command was set, by its flag or its variable, and has not its default.
pub fn is_given(matches: &ArgMatches, option: &str) -> bool {
    matches.value_source(option).is_some_and(|source| source != ValueSource::DefaultValue)
}

/// Which store is worked on.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Directory of the embedded store, unless WATCHKEEPER_DATABASE_URL is set
    #[arg(long, env = "WATCHKEEPER_DATA", value_name = "DIR", default_value = "watchkeeper-data")]
    pub data: PathBuf,
    /// PEM file of the authority that signed the database's certificate
    #[arg(long, env = "WATCHKEEPER_DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct NotifyArgs {
    #[command(subcommand)]
    pub what: NotifyKind,
}

#[derive(Debug, Subcommand)]
pub enum NotifyKind {
    /// Send a test through a channel and wait until it is taken or refused
    Test(NotifyTestArgs),
}

#[derive(Debug, Args)]
pub struct NotifyTestArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Name of the channel, as the instance's manifest has it
    #[arg(long)]
    pub channel: String,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Name, id or user id of the project
    #[arg(long)]
    pub project: String,
    /// csv, ndjson or parquet
    #[arg(long, default_value = "csv")]
    pub format: Format,
    /// Range by its name: day, 24h, 7d, 28d, 30d, 91d, month, 6mo, 12mo, year [default: everything]
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub period: Option<String>,
    /// First day (2026-01-31) or moment (2026-01-31T12:00:00Z)
    #[arg(long)]
    pub from: Option<String>,
    /// Last day, which counts whole, or the moment after the last
    #[arg(long)]
    pub to: Option<String>,
    /// IANA name of the zone of days and filters
    #[arg(long, default_value = "UTC")]
    pub timezone: String,
    /// Filters as the query API has them, such as '[["is", "status", [500]]]'
    #[arg(long, value_name = "JSON")]
    pub filters: Option<String>,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    pub what: ImportKind,
}

#[derive(Debug, Subcommand)]
pub enum ImportKind {
    /// Hits, in the columns of an export; the same file twice is stored twice
    Hits(ImportHitsArgs),
    /// Another monitor's endpoints: write them as MonitoredEndpoint manifests
    Monitors(ImportMonitorsArgs),
}

/// Whose configuration endpoints come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MonitorsFrom {
    /// api-monitoring-system's config.yaml
    ApiMonitoringSystem,
    /// Gatus' config.yaml
    Gatus,
    /// Uptime Kuma's backup, JSON
    UptimeKuma,
}

#[derive(Debug, Args)]
pub struct ImportMonitorsArgs {
    /// Whose configuration it is [default: by what it has]
    #[arg(long, value_enum)]
    pub from: Option<MonitorsFrom>,
    /// Name of the AnalyticsInstance that is to watch them
    #[arg(long, default_value = "main")]
    pub instance: String,
    /// Namespace of the manifests [default: that of whoever applies them]
    #[arg(long)]
    pub namespace: Option<String>,
    /// Fail when anything has no translation; each is told on standard error either way
    #[arg(long)]
    pub strict: bool,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// File to read
    pub file: PathBuf,
}

/// A `watchkeeper local` in the place of api-monitoring-system.
#[derive(Debug, Args)]
pub struct MonitoringArgs {
    /// Configuration file of api-monitoring-system to go by; without FILE the one of CONFIG_PATH, or else
    /// config/config.yaml. DATABASE_URL, LOG_LEVEL, API_KEY and its other variables count then, too
    #[arg(
        long,
        env = "WATCHKEEPER_MONITORING_CONFIG",
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = "",
        // A path's own parser takes no empty one.
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub monitoring_config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ImportHitsArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Name, id or user id of the project
    #[arg(long)]
    pub project: String,
    /// csv, ndjson or parquet [default: by the file's name]
    #[arg(long)]
    pub format: Option<Format>,
    #[command(flatten)]
    pub privacy: PrivacyArgs,
    /// File to read
    pub file: PathBuf,
}

#[derive(Debug, Args)]
#[group(id = "whom", required = true, multiple = false, args = ["user", "ip"])]
pub struct PersonArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Name, id or user id of the project
    #[arg(long)]
    pub project: String,
    /// User, as the application names them
    #[arg(long)]
    pub user: Option<String>,
    /// IPv4 or IPv6 address, or the text that a website posted for one
    #[arg(long)]
    pub ip: Option<String>,
}

#[derive(Debug, Args)]
pub struct LoggerArgs {
    /// Address to take hits on
    #[arg(long, env = "WATCHKEEPER_LISTEN", default_value = "0.0.0.0:8000")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub process: ProcessArgs,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub ingest: IngestArgs,
    #[command(flatten)]
    pub site: SiteArgs,
    #[command(flatten)]
    pub traffic_log: TrafficLogArgs,
    #[command(flatten)]
    pub addresses: AddressArgs,
}

#[derive(Debug, Args)]
pub struct ApiArgs {
    /// Address to answer on
    #[arg(long, env = "WATCHKEEPER_LISTEN", default_value = "0.0.0.0:3000")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub process: ProcessArgs,
    #[command(flatten)]
    pub access: AccessArgs,
    /// File that holds the administrator's token
    #[arg(long, env = "WATCHKEEPER_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: PathBuf,
    #[command(flatten)]
    pub analytics: AnalyticsArgs,
    #[command(flatten)]
    pub pages: PagesArgs,
    #[command(flatten)]
    pub docs: DocsArgs,
    #[command(flatten)]
    pub privacy: PrivacyArgs,
    #[command(flatten)]
    pub site: SiteArgs,
}

#[derive(Debug, Args)]
pub struct CheckerArgs {
    #[command(flatten)]
    pub process: ProcessArgs,
    #[command(flatten)]
    pub probes: ProbeArgs,
}

#[derive(Debug, Args)]
pub struct LocalArgs {
    /// Manifest, or directory of manifests (*.yaml, *.yml, *.json), read again when it changes; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "DIR|FILE")]
    pub manifests: Vec<PathBuf>,
    /// Directory that holds the embedded store and generated secrets
    #[arg(long, env = "WATCHKEEPER_DATA", value_name = "DIR", default_value = "watchkeeper-data")]
    pub data: PathBuf,
    /// Address to serve everything on [default: 127.0.0.1:8080, or what --monitoring-config says]
    #[arg(long, env = "WATCHKEEPER_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Host, besides localhost, at which a loopback address needs no token either, as where a proxy on this
    /// machine passes on the name that it was asked for; may be repeated
    #[arg(
        long,
        env = "WATCHKEEPER_ALLOWED_HOSTS",
        value_name = "HOST",
        value_delimiter = ',',
        value_parser = host
    )]
    pub allowed_hosts: Vec<String>,
    /// Address of /metrics, /livez and /readyz [default: 127.0.0.1:9090, or what --monitoring-config says]
    #[arg(long, env = "WATCHKEEPER_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// PEM file of the authority that signed the database's certificate
    #[arg(long, env = "WATCHKEEPER_DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
    #[command(flatten)]
    pub monitoring: MonitoringArgs,
    /// File that holds the administrator's token [default: admin-token in the data directory, made at the first start]
    #[arg(long, env = "WATCHKEEPER_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub ingest: IngestArgs,
    #[command(flatten)]
    pub analytics: AnalyticsArgs,
    #[command(flatten)]
    pub pages: PagesArgs,
    #[command(flatten)]
    pub docs: DocsArgs,
    #[command(flatten)]
    pub site: SiteArgs,
    #[command(flatten)]
    pub traffic_log: TrafficLogArgs,
    #[command(flatten)]
    pub addresses: AddressArgs,
    #[command(flatten)]
    pub probes: ProbeArgs,
}

/// What every service has.
#[derive(Debug, Args)]
pub struct ProcessArgs {
    /// Address of /metrics, /livez and /readyz
    #[arg(long, env = "WATCHKEEPER_METRICS_LISTEN", default_value = "0.0.0.0:9090")]
    pub metrics_listen: SocketAddr,
    /// PEM file of the authority that signed the database's certificate
    #[arg(long, env = "WATCHKEEPER_DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct AccessArgs {
    /// Who may write: everybody with any UUID as key, or only keys that are known [default: Open, or what
    /// the AnalyticsInstance of `local` says]
    #[arg(long, env = "WATCHKEEPER_SIGNUP", value_enum)]
    pub signup: Option<SignupArg>,
}

impl AccessArgs {
    /// What holds where no manifest says anything else.
    pub fn signup(&self) -> SignupArg {
        self.signup.unwrap_or(SignupArg::Open)
    }
}

#[derive(Debug, Args)]
pub struct DocsArgs {
    /// Ask for the administrator's token (Basic, any user name) before /docs and /openapi.json
    #[arg(long, env = "WATCHKEEPER_PROTECT_DOCS", value_parser = clap::builder::BoolishValueParser::new())]
    pub protect_docs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum SignupArg {
    /// A key that is new makes a project
    Open,
    /// Only keys that are known
    Closed,
}

impl From<SignupArg> for Signup {
    fn from(arg: SignupArg) -> Self {
        match arg {
            SignupArg::Open => Self::Open,
            SignupArg::Closed => Self::Closed,
        }
    }
}

/// What the installation demands of every hit, however it comes.
#[derive(Debug, Args)]
pub struct PrivacyArgs {
    /// Least privacy for every hit: 0 keeps address and country, 1 the country alone, 2 neither
    #[arg(long, env = "WATCHKEEPER_PRIVACY_LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub privacy_level: u8,
}

#[derive(Debug, Args)]
pub struct IngestArgs {
    #[command(flatten)]
    pub privacy: PrivacyArgs,
    /// Keep neither address nor user nor visitor of hits that say `Sec-GPC: 1` or `DNT: 1`
    #[arg(long, env = "WATCHKEEPER_HONOR_GPC", value_parser = clap::builder::BoolishValueParser::new())]
    pub honor_gpc: bool,
    /// Country database in MaxMind's format (*.mmdb)
    #[arg(long, env = "WATCHKEEPER_GEOIP", value_name = "FILE")]
    pub geoip: Option<PathBuf>,
    /// How long hits are kept, such as 90d [default: for ever]
    #[arg(long, env = "WATCHKEEPER_RETENTION_HITS", value_parser = retention)]
    pub retention_hits: Option<Duration>,
    /// How long results of checks are kept, such as 90d [default: for ever, or what --monitoring-config says]
    #[arg(long, env = "WATCHKEEPER_RETENTION_CHECKS", value_parser = retention)]
    pub retention_checks: Option<Duration>,
    /// Posts that are taken a minute and key, in each logger
    #[arg(long, env = "WATCHKEEPER_POSTS_PER_MINUTE", default_value_t = Bounds::default().posts_per_minute)]
    pub posts_per_minute: NonZeroU32,
    /// Largest body of a post, bytes
    #[arg(long, env = "WATCHKEEPER_MAX_BODY_BYTES", default_value_t = Bounds::default().body)]
    pub max_body_bytes: usize,
    /// Most hits in one post
    #[arg(long, env = "WATCHKEEPER_MAX_BATCH_HITS", default_value_t = Bounds::default().rows)]
    pub max_batch_hits: usize,
    /// Directory in which hits wait on disk while Postgres is away, on a volume that outlives this process
    /// [default: spool in the data directory of `local` with Postgres; none for `logger`, which then answers 503]
    #[arg(long, env = "WATCHKEEPER_SPOOL", value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Bytes that the spool may take
    #[arg(long, env = "WATCHKEEPER_SPOOL_BYTES", default_value_t = 1 << 30)]
    pub spool_bytes: u64,
}

impl IngestArgs {
    pub fn bounds(&self) -> Bounds {
        Bounds {
            body: self.max_body_bytes,
            rows: self.max_batch_hits,
            posts_per_minute: self.posts_per_minute,
        }
    }

    pub fn spool(&self, default: Option<PathBuf>) -> Option<SpoolOptions> {
        let directory = self.spool.clone().or(default)?;
        Some(SpoolOptions { directory, bytes: self.spool_bytes })
    }

    pub fn retention(&self) -> Retention {
        Retention { hits: self.retention_hits, checks: self.retention_checks }
    }
}

/// Elsewhere nothing often means no limit; here it would delete all there is.
fn retention(text: &str) -> Result<Duration, String> {
    let time = durations::parse(text).map_err(|error| error.to_string())?;
    let kept = (!time.is_zero()).then_some(time);
    kept.ok_or_else(|| "data must be kept longer than nothing; leave it out to keep all for ever".to_owned())
}

#[derive(Debug, Args)]
pub struct AnalyticsArgs {
    /// Memory at most for decoded columns that questions have asked for, bytes
    #[arg(long, env = "WATCHKEEPER_ANALYTICS_CACHE_BYTES", default_value_t = DEFAULT_CACHE_BYTES, value_name = "BYTES")]
    pub analytics_cache_bytes: usize,
}

/// Bounds of the answers that the api-analytics dashboard reads.
#[derive(Debug, Args)]
pub struct PagesArgs {
    /// Rows of a dashboard page; the dashboard takes a page of fewer than 200,000 for the last
    #[arg(long, env = "WATCHKEEPER_PAGE_SIZE", default_value = "250000", value_name = "ROWS")]
    pub page_size: NonZeroUsize,
    /// Rows of an answer to a program that asks for all pages at once
    #[arg(long, env = "WATCHKEEPER_MAX_LOAD", default_value = "1000000", value_name = "ROWS")]
    pub max_load: NonZeroUsize,
}

impl PagesArgs {
    pub fn apply(&self, options: ApiOptions) -> ApiOptions {
        ApiOptions { page_size: self.page_size.get(), max_load: self.max_load.get(), ..options }
    }
}

#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Network that is not public and that monitors added through the API may still probe; may be repeated
    #[arg(long, env = "WATCHKEEPER_PROBE_ALLOW", value_name = "CIDR", value_delimiter = ',')]
    pub probe_allow: Vec<IpNet>,
    /// Network that nothing may probe, whoever asks; wins over all that is allowed; may be repeated
    #[arg(long, env = "WATCHKEEPER_PROBE_DENY", value_name = "CIDR", value_delimiter = ',')]
    pub probe_deny: Vec<IpNet>,
    /// Metadata or link-local address that manifests may probe, named in full; may be repeated
    #[arg(long, env = "WATCHKEEPER_PROBE_ALLOW_METADATA", value_name = "IP", value_delimiter = ',')]
    pub probe_allow_metadata: Vec<IpAddr>,
    /// Host that endpoints of a namespace may probe, and no other than these; *.example.com stands for
    /// all below; may be repeated
    #[arg(long, env = "WATCHKEEPER_PROBE_HOSTS", value_name = "NAMESPACE=HOST", value_delimiter = ',')]
    pub probe_hosts: Vec<HostLimit>,
    /// List of registries to ask, by RDAP, when the registration of a domain ends, where an assertion is about
    /// [DOMAIN_EXPIRATION]; an empty one asks nobody
    #[arg(
        long,
        env = "WATCHKEEPER_RDAP_REGISTRIES",
        default_value = "https://data.iana.org/rdap/dns.json",
        value_parser = optional_url,
        value_name = "URL"
    )]
    pub rdap_registries: OptionalUrl,
    /// Address to serve /probe?target=&module= on, as blackbox_exporter does; not served without. Private
    /// networks can be probed through it only as far as --probe-allow lets strangers
    #[arg(long, env = "WATCHKEEPER_BLACKBOX_LISTEN", value_name = "ADDR")]
    pub blackbox_listen: Option<SocketAddr>,
    /// File of modules for /probe, as blackbox_exporter has it, beside those that need none
    #[arg(long, env = "WATCHKEEPER_BLACKBOX_MODULES", value_name = "FILE")]
    pub blackbox_modules: Option<PathBuf>,
    /// Probes under way at once [default: 256, or what --monitoring-config says]
    #[arg(long, env = "WATCHKEEPER_PROBE_CONCURRENCY", value_name = "N")]
    pub probe_concurrency: Option<usize>,
    /// Endpoints of one checker with probe_... series on /metrics at most, those with an objective first
    /// [default: 1000]
    #[arg(long, env = "WATCHKEEPER_PROBE_SERIES", value_name = "N")]
    pub probe_series: Option<usize>,
    /// Time between the heartbeats of checkers that share endpoints; one that is gone is replaced within two
    #[arg(long, env = "WATCHKEEPER_CHECKER_HEARTBEAT", default_value = "5s", value_parser = heartbeat, value_name = "TIME")]
    pub checker_heartbeat: Duration,
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let time = durations::parse(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(60);
    bounds.contains(&time).then_some(time).ok_or_else(|| "between 1s and 60s".to_owned())
}

/// The name of a host, or its address, as a browser asks for it.
fn host(text: &str) -> Result<String, String> {
    match Host::parse(text) {
        Ok(Host::Domain(name)) => Ok(name),
        Ok(Host::Ipv4(ip)) => Ok(ip.to_string()),
        Ok(Host::Ipv6(ip)) => Ok(ip.to_string()),
        Err(error) => Err(format!("{error}; write a host alone, without scheme and port")),
    }
}

/// A URL, or none.
#[derive(Debug, Clone)]
pub struct OptionalUrl(pub Option<Url>);

fn optional_url(text: &str) -> Result<OptionalUrl, url::ParseError> {
    Ok(OptionalUrl(if text.is_empty() { None } else { Some(text.parse()?) }))
}

impl ProbeArgs {
    /// What makes checks, within what `rules` let them ask.
    ///
    /// # Errors
    /// When the system's resolver cannot be used.
    pub fn probers(&self, rules: GuardRules) -> Result<Probers, ProberError> {
        Probers::new(rules, self.rdap_registries.0.clone())
    }

    /// What the command line lets probes ask.
    pub fn rules(&self) -> GuardRules {
        GuardRules {
            allow: self.probe_allow.clone(),
            deny: self.probe_deny.clone(),
            metadata: self.probe_allow_metadata.clone(),
            hosts: self.probe_hosts.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
