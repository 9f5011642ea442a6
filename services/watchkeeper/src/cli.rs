//! The command line. Secrets are never arguments: they come from the
//! environment or from files.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use watchkeeper_crds::durations;
use watchkeeper_logger::{Bounds, Signup};
use watchkeeper_runtime::telemetry::LogArgs;
use watchkeeper_store::Retention;

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
    Local(LocalArgs),
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
    /// Address to serve everything on
    #[arg(long, env = "WATCHKEEPER_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of /metrics, /livez and /readyz
    #[arg(long, env = "WATCHKEEPER_METRICS_LISTEN", default_value = "127.0.0.1:9090")]
    pub metrics_listen: SocketAddr,
    /// PEM file of the authority that signed the database's certificate
    #[arg(long, env = "WATCHKEEPER_DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
    /// File that holds the administrator's token [default: admin-token in the data directory, made at the first start]
    #[arg(long, env = "WATCHKEEPER_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub ingest: IngestArgs,
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
    /// Who may write: everybody with any UUID as key, or only keys that are known
    #[arg(long, env = "WATCHKEEPER_SIGNUP", value_enum, default_value = "Open")]
    pub signup: SignupArg,
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

#[derive(Debug, Args)]
pub struct IngestArgs {
    /// Least privacy for every hit: 0 keeps address and country, 1 the country alone, 2 neither
    #[arg(long, env = "WATCHKEEPER_PRIVACY_LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub privacy_level: u8,
    /// Country database in MaxMind's format (*.mmdb)
    #[arg(long, env = "WATCHKEEPER_GEOIP", value_name = "FILE")]
    pub geoip: Option<PathBuf>,
    /// How long hits are kept, such as 90d [default: for ever]
    #[arg(long, env = "WATCHKEEPER_RETENTION_HITS", value_parser = durations::parse)]
    pub retention_hits: Option<Duration>,
    /// How long results of checks are kept, such as 90d [default: for ever]
    #[arg(long, env = "WATCHKEEPER_RETENTION_CHECKS", value_parser = durations::parse)]
    pub retention_checks: Option<Duration>,
    /// Posts a minute that one API key may make
    #[arg(long, env = "WATCHKEEPER_POSTS_PER_MINUTE", default_value_t = Bounds::default().posts_per_minute)]
    pub posts_per_minute: NonZeroU32,
    /// Largest body of a post, bytes
    #[arg(long, env = "WATCHKEEPER_MAX_BODY_BYTES", default_value_t = Bounds::default().body)]
    pub max_body_bytes: usize,
    /// Most hits in one post
    #[arg(long, env = "WATCHKEEPER_MAX_BATCH_HITS", default_value_t = Bounds::default().rows)]
    pub max_batch_hits: usize,
}

impl IngestArgs {
    pub fn bounds(&self) -> Bounds {
        Bounds {
            body: self.max_body_bytes,
            rows: self.max_batch_hits,
            posts_per_minute: self.posts_per_minute,
        }
    }

    pub fn retention(&self) -> Retention {
        Retention { hits: self.retention_hits, checks: self.retention_checks }
    }
}

#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Network that is not public and that monitors added through the API may still probe; may be repeated
    #[arg(long, env = "WATCHKEEPER_PROBE_ALLOW", value_name = "CIDR", value_delimiter = ',')]
    pub probe_allow: Vec<IpNet>,
    /// Probes under way at once
    #[arg(long, env = "WATCHKEEPER_PROBE_CONCURRENCY", default_value_t = 256, value_name = "N")]
    pub probe_concurrency: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
