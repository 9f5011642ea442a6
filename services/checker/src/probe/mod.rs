//! Probes, one file a type. A new type is a variant of the store's
//! [`Probe`], a file here, and an arm in [`Probers::probe`].

mod describe;
mod http;
mod resolver;

use std::time::Duration;

use ipnet::IpNet;
use watchkeeper_store::{Origin, Probe};

use crate::guard::{Guard, Trust};
use crate::result::Outcome;
use http::HttpProber;

/// Why the probers could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The HTTP client cannot start, as when the system's certificates cannot
    /// be read.
    #[error("the HTTP client of the probes cannot start: {0}")]
    Http(#[from] reqwest::Error),
}

/// All probers, in one set for each kind of author.
#[derive(Clone)]
pub struct Probers {
    operator: HttpProber,
    stranger: HttpProber,
}

impl Probers {
    /// `allow` lists non-public networks that strangers may probe.
    ///
    /// # Errors
    /// When a prober's client cannot start.
    pub fn new(allow: &[IpNet]) -> Result<Self, ProberError> {
        Ok(Self {
            operator: HttpProber::new(Guard::new(Trust::Operator, &[]))?,
            stranger: HttpProber::new(Guard::new(Trust::Stranger, allow))?,
        })
    }

    /// Probes once, for at most `timeout`. Whatever goes wrong is an outcome.
    pub async fn probe(&self, origin: Origin, probe: &Probe, timeout: Duration) -> Outcome {
        let http = match Trust::from(origin) {
            Trust::Operator => &self.operator,
            Trust::Stranger => &self.stranger,
        };
        match probe {
            Probe::Http(probe) => http.probe(probe, timeout).await,
        }
    }
}
