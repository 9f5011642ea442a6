//! Websites, as site-analytics serves them: their settings, their part of the services, and
//! `watchkeeper site`, the jobs that were its command line.

mod args;
mod jobs;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchkeeper_logger::{
    Site,
    enrich::Enricher,
    site::{Processor, ProcessorOptions, SiteMetrics},
};

use crate::process::{Process, holder, vital};
pub use args::{AddressArgs, SiteArgs, TrafficLogArgs};
pub use jobs::{SiteCommand, run};

/// A website's part of a process that takes hits.
pub struct Sites {
    /// What its route needs.
    pub site: Site,
    /// The processing of addresses, which ends with the process.
    pub processing: JoinHandle<()>,
}

impl Sites {
    /// Opens the traffic log and starts to process addresses.
    pub fn start(
        process: &Process,
        (site, log, addresses): (&SiteArgs, &TrafficLogArgs, &AddressArgs),
        enricher: Enricher,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let metrics = SiteMetrics::new(&process.registry)?;
        let options =
            ProcessorOptions { names: addresses.names()?, visit_idle: site.visit_idle(), holder: holder() };
        let processor = Processor::new(process.store.clone(), enricher, options, metrics.clone());
        let processing = vital(shutdown, processor.run(shutdown.clone()));
        let site = Site::new(process.store.clone(), site.access()?, log.open()?, metrics);
        Ok(Self { site, processing })
    }
}
