//! Structured logs: one line an event, as JSON for machines or text for people.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Plain text.
    Text,
}

/// Flags that every command has.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Shape of log lines
    #[arg(long, global = true, value_enum, env = "WATCHKEEPER_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What to log: a level (error, warn, info, debug, trace) or directives such as `info,sqlx=warn`
    #[arg(long, global = true, env = "WATCHKEEPER_LOG", default_value = "info")]
    pub log: String,
}

/// Starts logging to standard error for the whole process.
///
/// # Errors
/// When the filter has a directive that cannot be understood.
pub fn init(args: &LogArgs) -> Result<(), String> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|e| format!("--log `{}` is not a log filter: {e}", args.log))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match args.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
            builder.with_target(false).with_ansi(ansi).try_init()
        }
    };
    started.map_err(|e| e.to_string())
}
