//! `watchkeeper`: the services, each on its own or all in one process.

mod api;
mod checker;
mod cli;
mod local;
mod logger;
mod process;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use watchkeeper_runtime::{shutdown, telemetry};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.log).map_err(anyhow::Error::msg)?;
    // Two providers are linked in; without a default, rustls would panic at the first handshake.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let shutdown = shutdown::on_signal()?;
        match cli.command {
            Command::Logger(args) => logger::run(args, shutdown).await,
            Command::Api(args) => api::run(args, shutdown).await,
            Command::Checker(args) => checker::run(args, shutdown).await,
            Command::Local(args) => local::run(args, shutdown).await,
        }
    })
}
