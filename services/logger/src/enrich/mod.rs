//! What a hit gains on its way in: client, operating system, device class and
//! bot flag from the user agent, country from the address, a visitor id, and
//! the privacy level applied to all of it.
//!
//! Everything here is a pure function of its input, of what was loaded at
//! start-up and of the salts at hand; nothing here knows the network.

mod bot;
mod country;
mod privacy;
mod user_agent;
mod visitor;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use country::{CountryCode, Place};
pub use privacy::{Location, PrivacyLevel};
pub use user_agent::UserAgentFacts;

use country::Countries;
use user_agent::UserAgents;
pub(crate) use visitor::keyed;

use crate::Salts;

/// What an [`Enricher`] is made from.
#[derive(Clone)]
pub struct EnricherConfig {
    /// Path of a MaxMind DB file with countries; without one no hit has a
    /// country.
    pub geoip: Option<PathBuf>,
    /// The installation's privacy level, 0 to 2; larger values mean 2.
    pub privacy_level: u8,
    /// The installation's salts of visitor ids.
    pub salts: Salts,
    /// Whether hits that ask not to be tracked lose who made them, in every project.
    pub honor_gpc: bool,
}

/// Why an [`Enricher`] could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// The country file could not be read or is no MaxMind DB.
    #[error("the country database {path} cannot be used: {source}")]
    Country {
        /// The configured path.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: maxminddb::MaxMindDbError,
    },
    /// The user agent expressions compiled into this binary are unusable.
    #[error("the user agent expressions cannot be compiled: {0}")]
    UserAgent(String),
}

/// Turns raw request facts into stored ones. Clones share everything.
#[derive(Clone)]
pub struct Enricher {
    inner: Arc<Inner>,
}

struct Inner {
    agents: UserAgents,
    countries: Option<Countries>,
    level: PrivacyLevel,
    salts: Salts,
    honor_gpc: bool,
}

impl Enricher {
    /// Compiles the user agent expressions (once per process) and reads the
    /// country file into memory.
    ///
    /// The first call of a process is about 250 ms of CPU work (more in a build
    /// without optimisation), and every call blocks on a file: call it before
    /// the runtime serves, or inside `spawn_blocking`.
    ///
    /// # Errors
    /// When the country file is missing or malformed, or when the embedded
    /// expressions do not compile.
    pub fn new(config: EnricherConfig) -> Result<Self, EnrichError> {
        Ok(Self {
            inner: Arc::new(Inner {
                agents: UserAgents::new()?,
                countries: config.geoip.map(Countries::open).transpose()?,
                level: PrivacyLevel::from_int(config.privacy_level.into()),
                salts: config.salts,
                honor_gpc: config.honor_gpc,
            }),
        })
    }

    /// What a `User-Agent` header says. Answers are cached; a miss costs
    /// some ten microseconds, a few hundred for the longest agents, so this
    /// may be called from async code.
    pub fn user_agent(&self, ua: &str) -> UserAgentFacts {
        self.inner.agents.facts(ua)
    }

    /// The country an address belongs to; `None` without a country file, for
    /// private addresses and for any that the file does not know.
    pub fn country(&self, ip: IpAddr) -> Option<CountryCode> {
        self.inner.countries.as_ref()?.lookup(ip)
    }

    /// Where in its country an address is; unknown unless the file has cities.
    pub fn place(&self, ip: IpAddr) -> Place {
        self.inner.countries.as_ref().map(|file| file.place(ip)).unwrap_or_default()
    }

    /// The level that applies to a hit: the stricter of what its client asked
    /// for (any integer, clamped to 0..=2) and what the installation demands.
    pub fn privacy_level(&self, client_level: i64) -> PrivacyLevel {
        PrivacyLevel::from_int(client_level).max(self.inner.level)
    }

    /// What may be stored of where a hit came from.
    pub fn locate(&self, client_level: i64, ip: Option<IpAddr>) -> Location {
        self.privacy_level(client_level).apply(ip, |ip| self.country(ip))
    }

    /// The id of the visitor behind a hit, stable within one UTC day and one
    /// project; `None` when nothing tells visitors apart.
    ///
    /// `day` counts UTC days since 1970-01-01; its salt must have been prepared (see
    /// [`Enricher::salts`]), or else there is no id. `ip` is the address before the
    /// privacy level took it away: only the keyed hash leaves this function.
    pub fn visitor(
        &self,
        day: i64,
        project: i64,
        ip: Option<IpAddr>,
        ua: Option<&str>,
        user: Option<&str>,
    ) -> Option<u64> {
        visitor::id(self.inner.salts.of(day)?, project, ip, ua, user)
    }

    /// The salts, to be prepared for the days of a batch before its hits are enriched.
    pub fn salts(&self) -> &Salts {
        &self.inner.salts
    }

    /// Whether the installation honours requests not to be tracked in every project.
    pub fn honors_gpc(&self) -> bool {
        self.inner.honor_gpc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enricher(privacy_level: u8) -> Enricher {
        Enricher::new(EnricherConfig {
            geoip: None,
            privacy_level,
            salts: Salts::default(),
            honor_gpc: false,
        })
        .expect("an enricher without a country file")
    }

    #[test]
    fn the_stricter_of_client_and_installation_wins() {
        assert_eq!(enricher(0).privacy_level(1), PrivacyLevel::Country);
        assert_eq!(enricher(2).privacy_level(0), PrivacyLevel::Nothing);
        assert_eq!(enricher(1).privacy_level(-7), PrivacyLevel::Country);
        assert_eq!(enricher(0).privacy_level(99), PrivacyLevel::Nothing);
        assert_eq!(enricher(200).privacy_level(0), PrivacyLevel::Nothing);
    }

    #[test]
    fn without_a_country_file_no_address_has_a_country() {
        let ip = IpAddr::from([8, 8, 8, 8]);
        assert_eq!(enricher(0).country(ip), None);
        assert_eq!(enricher(0).locate(0, Some(ip)).ip, Some(ip));
    }

    #[test]
    fn a_missing_country_file_is_an_error_that_names_it() {
        let Err(error) = Enricher::new(EnricherConfig {
            geoip: Some("/does/not/exist.mmdb".into()),
            privacy_level: 0,
            salts: Salts::default(),
            honor_gpc: false,
        }) else {
            panic!("a missing file was accepted");
        };
        assert!(error.to_string().contains("/does/not/exist.mmdb"));
    }
}
