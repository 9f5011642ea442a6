//! Settings of websites. Where site-analytics has an environment variable for one, that is
//! understood as well.

use std::{
    env,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use watchkeeper_crds::durations;
use watchkeeper_logger::site::{ReverseDns, TrafficLog};
use watchkeeper_runtime::secret::Secret;
use watchkeeper_store::{DEFAULT_SITE_PROJECT, SiteAccess};

/// Who speaks for the website, and how its sessions are told apart.
#[derive(Debug, Clone, Args)]
pub struct SiteArgs {
    /// File that holds the website's secret, the bare Authorization header of site-analytics
    /// [default: the environment's SITE_ANALYTICS_SECRET_KEY or SECRET_KEY; without any only API keys count]
    #[arg(long, env = "WATCHKEEPER_SITE_SECRET_FILE", value_name = "FILE")]
    pub site_secret_file: Option<PathBuf>,
    /// Project that the website's secret opens, made when it is first needed
    #[arg(long, env = "WATCHKEEPER_SITE_PROJECT", value_name = "NAME", default_value = DEFAULT_SITE_PROJECT, global = true)]
    pub site_project: String,
    /// Idle time after which a visitor's session ends
    #[arg(long, env = "WATCHKEEPER_SITE_SESSION_TIMEOUT", value_name = "DURATION", default_value = "10m", value_parser = durations::parse, global = true)]
    pub site_session_timeout: Duration,
}

impl SiteArgs {
    /// What opens the website's project.
    pub fn access(&self) -> anyhow::Result<SiteAccess> {
        let secret = match &self.site_secret_file {
            Some(file) => Some(Secret::from_file(file)?),
            None => ["SITE_ANALYTICS_SECRET_KEY", "SECRET_KEY"]
                .into_iter()
                .find_map(|name| env::var(name).ok().filter(|text| !text.is_empty()))
                .map(Secret::new),
        };
        Ok(SiteAccess::new(secret.as_ref().map(Secret::expose), self.site_project.as_str()))
    }

    /// Idle time that ends a session, milliseconds.
    pub fn visit_idle(&self) -> i64 {
        i64::try_from(self.site_session_timeout.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The log of views beside the store.
#[derive(Debug, Clone, Args)]
pub struct TrafficLogArgs {
    /// CSV file that every view of a website is appended to [default: the environment's SITEANALYTICS_LOG_PATH, or none]
    #[arg(long, env = "WATCHKEEPER_TRAFFIC_LOG", value_name = "FILE")]
    pub traffic_log: Option<PathBuf>,
}

impl TrafficLogArgs {
    /// Opens the log, if there is to be one.
    pub fn open(&self) -> anyhow::Result<Option<TrafficLog>> {
        let original = || env::var_os("SITEANALYTICS_LOG_PATH").filter(|path| !path.is_empty());
        let Some(path) = self.traffic_log.clone().or_else(|| original().map(PathBuf::from)) else {
            return Ok(None);
        };
        let log = TrafficLog::open(&path);
        Ok(Some(log.with_context(|| format!("cannot open the traffic log {}", path.display()))?))
    }
}

/// How a website's addresses are learnt about.
#[derive(Debug, Clone, Args)]
pub struct AddressArgs {
    /// Whether DNS is asked for the host names of a website's visitors
    #[arg(long, env = "WATCHKEEPER_REVERSE_DNS", value_enum, default_value = "on")]
    pub reverse_dns: Switch,
    /// DNS server to ask, with a port if it is not 53 [default: those of the system]
    #[arg(long, env = "WATCHKEEPER_DNS_SERVER", value_name = "ADDRESS[:PORT]", value_parser = server)]
    pub dns_server: Option<SocketAddr>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

impl AddressArgs {
    /// Who asks DNS, if anybody may. A machine without resolvers does without names.
    pub fn names(&self) -> anyhow::Result<Option<ReverseDns>> {
        if self.reverse_dns == Switch::Off {
            return Ok(None);
        }
        match ReverseDns::new(self.dns_server) {
            Ok(names) => Ok(Some(names)),
            Err(error) if self.dns_server.is_some() => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the host names of visitors stay unknown");
                Ok(None)
            }
        }
    }
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    alone.or_else(|_| text.parse()).map_err(|_| "write an address, such as 9.9.9.9 or [::1]:5353".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_server_has_port_53_unless_it_says_another() {
        assert_eq!(server("9.9.9.9").map(|server| server.port()), Ok(53));
        assert_eq!(server("::1").map(|server| server.port()), Ok(53));
        assert_eq!(server("[::1]:5353").map(|server| server.port()), Ok(5353));
        assert!(server("dns.example").is_err());
    }
}
