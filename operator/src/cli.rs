//! Command line: `run`, `crds` and `rbac`. Every flag of `run` has an environment twin.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::context::Settings;
use crate::health::{self, Health};
use crate::lease::LeaseOptions;
use crate::metrics::Metrics;
use crate::run::{Options, Scope};
use crate::telemetry::{self, LogFormat};
use crate::{rbac, run as operator};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs Watchkeeper installations on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "watchkeeper-operator", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator until it is told to stop.
    Run(Box<RunArgs>),
    /// Print the CRDs, or write them to files.
    Crds(OutputArgs),
    /// Print the permissions that the operator needs, or write them to files.
    Rbac(RbacArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Namespaces to serve: `all`, or a list separated by commas.
    #[arg(long, env = "WATCHKEEPER_NAMESPACES", default_value = "all")]
    namespaces: Scope,
    /// Let one replica at a time do the work, agreed on by a Lease.
    #[arg(long, env = "WATCHKEEPER_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    leader_elect: bool,
    /// Name of the Lease.
    #[arg(long, env = "WATCHKEEPER_LEASE_NAME", default_value = "watchkeeper-operator")]
    lease_name: String,
    /// Namespace of the Lease; the operator's own when left out.
    #[arg(long, env = "WATCHKEEPER_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Where /metrics, /livez and /readyz answer.
    #[arg(long, env = "WATCHKEEPER_METRICS_LISTEN", default_value = "0.0.0.0:9090")]
    metrics_listen: SocketAddr,
    /// Image of the services where an instance names none; the operator's own.
    #[arg(long, env = "WATCHKEEPER_IMAGE", default_value = concat!("watchkeeper:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// Image of a managed database where an instance names none.
    #[arg(long, env = "WATCHKEEPER_POSTGRES_IMAGE", default_value = "postgres:17")]
    postgres_image: String,
    /// Where an instance's API answers, with {name} and {namespace} to fill in; for an
    /// operator outside the cluster, which cannot resolve Services.
    #[arg(long, env = "WATCHKEEPER_API_URL_OVERRIDE")]
    api_url_override: Option<String>,
    /// How log lines look.
    #[arg(long, env = "WATCHKEEPER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// Which log lines are written, as `info` or `watchkeeper_operator=debug,kube=warn`.
    #[arg(long, env = "WATCHKEEPER_LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Folder to write to instead of printing.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RbacArgs {
    /// Whether the operator serves the whole cluster or single namespaces.
    #[arg(long, value_enum, default_value_t = RbacMode::Cluster)]
    mode: RbacMode,
    /// What discovery of annotated objects needs besides.
    #[arg(long)]
    discovery: bool,
    /// Folder to write all files to instead of printing one.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RbacMode {
    /// A ClusterRole.
    Cluster,
    /// A Role, to be bound in every namespace that is served.
    Namespaced,
}

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever kept the command from its end, in words for a person.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Run(args) => operate(*args).await,
        Command::Crds(args) => print_or_write(&watchkeeper_crds::schema::files()?, args.output.as_deref()),
        Command::Rbac(args) => {
            let files = rbac::files()?;
            let wanted = match args.mode {
                RbacMode::Cluster => 0,
                RbacMode::Namespaced => 1,
            } + if args.discovery { 2 } else { 0 };
            let files = if args.output.is_some() { &files[..] } else { &files[wanted..=wanted] };
            print_or_write(files, args.output.as_deref())
        }
    }
}

fn print_or_write(files: &[(String, String)], folder: Option<&Path>) -> Result<(), Failure> {
    match folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            for (name, text) in files {
                std::fs::write(folder.join(name), text)?;
            }
        }
        None => {
            let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
            print!("{}", texts.join("---\n"));
        }
    }
    Ok(())
}

async fn operate(args: RunArgs) -> Result<(), Failure> {
    telemetry::init(args.log_format, &args.log)?;
    telemetry::install_crypto();
    let config = kube::Config::infer().await?;
    let namespace = args.lease_namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = kube::Client::try_from(config)?;
    let metrics = Arc::new(Metrics::new()?);
    let health = Health::default();
    let options = Options {
        scope: args.namespaces,
        lease: args.leader_elect.then(|| LeaseOptions::new(&namespace, &args.lease_name)),
        settings: Settings {
            image: args.image,
            postgres_image: args.postgres_image,
            api_url: args.api_url_override,
            ..Settings::default()
        },
    };
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind(args.metrics_listen).await?;
    tracing::info!(address = %args.metrics_listen, "serving metrics and health");
    let server = tokio::spawn(health::serve(listener, metrics.clone(), health.clone(), stop.clone()));
    let signal_stop = stop.clone();
    tokio::spawn(async move {
        telemetry::termination().await;
        tracing::info!("stopping");
        signal_stop.cancel();
    });
    let result = operator::run(client, options, metrics, health, stop.clone()).await;
    stop.cancel();
    // Scrapes still under way get a moment; nothing depends on them.
    let _ = tokio::time::timeout(Duration::from_secs(5), server).await;
    result.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> RunArgs {
        let args = ["watchkeeper-operator", "run"].iter().chain(args);
        match Cli::try_parse_from(args).unwrap().command {
            Command::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_safe_for_a_cluster() {
        let args = parse(&[]);
        assert_eq!(args.namespaces, Scope::All);
        assert!(args.leader_elect);
        assert_eq!(args.metrics_listen.port(), 9090);
    }

    #[test]
    fn namespaces_are_a_list_and_the_election_can_be_turned_off() {
        let args = parse(&["--namespaces", "a, b", "--leader-elect", "false"]);
        assert_eq!(args.namespaces, Scope::List(vec!["a".into(), "b".into()]));
        assert!(!args.leader_elect);
    }
}
