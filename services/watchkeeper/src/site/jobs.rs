//! `watchkeeper site`: what was site-analytics' command line.

use std::{
    fs::File,
    io::{BufReader, Write, stderr, stdout},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use watchkeeper_logger::site::{Imported, Processed, Processor, ProcessorOptions, SiteMetrics, import};
use watchkeeper_store::{DAY_MS, Store, day_of, now_ms};

use super::{AddressArgs, SiteArgs};
use crate::{
    cli::PrivacyArgs,
    local::data::shared_store,
    process::{enricher_of, holder, postgres_from_env},
};

/// `watchkeeper site`.
#[derive(Debug, Args)]
pub struct SiteCommand {
    /// Directory that holds the embedded store, which a running process may be using; Postgres is used
    /// instead if WATCHKEEPER_DATABASE_URL is set
    #[arg(
        long,
        env = "WATCHKEEPER_DATA",
        value_name = "DIR",
        default_value = "watchkeeper-data",
        global = true
    )]
    pub data: PathBuf,
    /// PEM file of the authority that signed the database's certificate
    #[arg(long, env = "WATCHKEEPER_DATABASE_CA", value_name = "FILE", global = true)]
    pub database_ca: Option<PathBuf>,
    #[command(flatten)]
    pub site: SiteArgs,
    #[command(subcommand)]
    pub job: Job,
}

#[derive(Debug, Subcommand)]
pub enum Job {
    /// Make the tables and the website's project, if they are not there
    InitDb,
    /// Delete every view of the website and what is known of its visitors; other projects stay
    ResetDb,
    /// Find host name, city and class of every address that was not processed yet, of all websites
    ProcessData {
        /// Database in MaxMind's format (*.mmdb) that has cities
        #[arg(long, env = "WATCHKEEPER_GEOIP", value_name = "FILE")]
        geoip: Option<PathBuf>,
        #[command(flatten)]
        addresses: AddressArgs,
    },
    /// Store the views of a log: any that site-analytics wrote, or a traffic log of ours
    RunImport {
        /// The log
        logfile: PathBuf,
        /// Country database in MaxMind's format (*.mmdb)
        #[arg(long, env = "WATCHKEEPER_GEOIP", value_name = "FILE")]
        geoip: Option<PathBuf>,
        #[command(flatten)]
        privacy: PrivacyArgs,
    },
    /// Delete the days of the website that are older, if all of their views were processed; they leave the reports too
    GarbageCollect {
        /// Age in days from which a day goes
        #[arg(long = "max_age_days", alias = "max-age-days", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        max_age_days: u32,
    },
}

/// Runs a job; `shutdown` ends one that takes long, and any but an import can then be run again.
pub async fn run(args: SiteCommand, shutdown: CancellationToken) -> anyhow::Result<()> {
    let options = match postgres_from_env(args.database_ca.as_deref())? {
        Some(postgres) => postgres,
        None => shared_store(&args.data)?,
    };
    let store = Store::open(&options).await.context("cannot open the store")?;
    // What an import has stored it would store again.
    let stopped = match &args.job {
        Job::RunImport { .. } => "stopped before it was done; the views that were told of so far are stored",
        _ => "stopped before it was done; run it again",
    };
    let done = tokio::select! {
        () = shutdown.cancelled() => Err(anyhow::anyhow!(stopped)),
        done = work(&store, &args) => done,
    };
    store.close().await;
    writeln!(stdout(), "{}", done?)?;
    Ok(())
}

async fn work(store: &Store, args: &SiteCommand) -> anyhow::Result<String> {
    let name = &args.site.site_project;
    match &args.job {
        Job::InitDb => {
            let project = store.project_named(name).await?;
            store.note_site(project.id).await?;
            Ok(format!("The database is ready; the website's project is `{name}`."))
        }
        Job::ResetDb => {
            let Some(project) = store.project_by_name(name).await? else {
                return Ok(format!("There is no project `{name}`, and so nothing to delete."));
            };
            store.clear_site(project.id).await?;
            Ok(format!("Deleted every view of the project `{name}`."))
        }
        Job::ProcessData { geoip, addresses } => {
            let options = ProcessorOptions {
                names: addresses.names()?,
                visit_idle: args.site.visit_idle(),
                holder: holder(),
            };
            let metrics = SiteMetrics::new(&Registry::new())?;
            let enricher = enricher_of(store, geoip.as_deref(), 0, false).await?;
            let processor = Processor::new(store.clone(), enricher, options, metrics);
            let done = processor
                .process_all(|Processed { days, addresses }| {
                    progress(&format!("{days} days, {addresses} addresses"));
                })
                .await?;
            Ok(format!("Processed {} addresses of {} days.", done.addresses, done.days))
        }
        Job::RunImport { logfile, geoip, privacy } => {
            let file = File::open(logfile).with_context(|| format!("cannot open {}", logfile.display()))?;
            let project = store.project_named(name).await?.id;
            store.note_site(project).await?;
            let enricher = enricher_of(store, geoip.as_deref(), privacy.privacy_level, false).await?;
            let done = import(store, &enricher, project, BufReader::new(file), |imported| {
                progress(&format!("{} views", imported.views));
            });
            let Imported { views, skipped, mistakes } = done.await?;
            for mistake in mistakes {
                writeln!(stderr(), "skipped {mistake}")?;
            }
            Ok(format!("Imported {views} views, skipped {skipped} lines."))
        }
        Job::GarbageCollect { max_age_days } => {
            let Some(project) = store.project_by_name(name).await? else {
                return Ok(format!("There is no project `{name}`, and so nothing to delete."));
            };
            let day = day_of(now_ms() - i64::from(*max_age_days) * DAY_MS);
            let dropped = store.drop_processed_days(project.id, day).await?;
            Ok(format!("Deleted {dropped} views."))
        }
    }
}

/// A line on the way; who is not there to read it does not stop the work.
fn progress(text: &str) {
    let _ = writeln!(stderr(), "{text} so far");
}
