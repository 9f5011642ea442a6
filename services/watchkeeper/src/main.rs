//! `watchkeeper`: the services, each on its own or all in one process.

mod api;
mod checker;
mod cli;
mod hits;
mod local;
mod logger;
mod monitoring;
mod monitors;
mod notify;
mod process;
mod site;
mod yaml;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use cli::{Cli, Command, ImportKind, is_given};
use monitoring::Monitoring;
use watchkeeper_runtime::{shutdown, telemetry};

/// A third of what taking hits cost was glibc's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(cli, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut cli: Cli, matches: &ArgMatches) -> anyhow::Result<()> {
    let monitoring = match &cli.command {
        Command::Local(args) => {
            args.monitoring.monitoring_config.as_deref().map(Monitoring::load).transpose()?
        }
        _ => None,
    };
    if let Some(monitoring) = &monitoring {
        monitoring.adapt_logs(&mut cli.log, |option| is_given(matches, option));
    }
    telemetry::init(&cli.log).map_err(anyhow::Error::msg)?;
    // Two providers are linked in; without a default, rustls would panic at the first handshake.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let shutdown = shutdown::on_signal()?;
        match cli.command {
            Command::Logger(args) => logger::run(args, shutdown).await,
            Command::Api(args) => api::run(args, shutdown).await,
            Command::Checker(args) => checker::run(args, shutdown).await,
            Command::Local(args) => local::run(*args, monitoring, shutdown).await,
            Command::Export(args) => hits::export(args, shutdown).await,
            Command::Import(args) => match args.what {
                ImportKind::Hits(args) => hits::import(args, shutdown).await,
                ImportKind::Monitors(args) => monitors::run(&args),
            },
            Command::Person(args) => hits::person(args).await,
            Command::Erase(args) => hits::erase(args).await,
            Command::Notify(args) => notify::run(args).await,
            Command::Site(args) => site::run(args, shutdown).await,
        }
    })
}
