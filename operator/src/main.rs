//! The operator's command line.

use std::process::ExitCode;

use clap::Parser;
use watchkeeper_operator::cli;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watchkeeper-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
