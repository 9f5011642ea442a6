//! When the registration of a domain ends: told by its registry over RDAP (RFC 9082, RFC 9083), which
//! IANA's list names (RFC 9224). Probes wait for an answer once; later ones find it here, and whatever
//! a registry does makes no endpoint bad.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;
use url::{Host, Url};
use watchkeeper_store::now_ms;

use super::documents::Documents;
use super::resolver::literal;

/// How long an answer is good, and how long a failure keeps from asking again.
const FRESH: Duration = Duration::from_secs(12 * 3_600);
const AGAIN: Duration = Duration::from_secs(600);

/// How long IANA's list is good.
const LIST_FRESH: Duration = Duration::from_secs(24 * 3_600);

/// Largest answers, bytes.
const ANSWER: usize = 1 << 20;
const LIST: usize = 4 << 20;

/// Domains that are remembered.
const KEPT: usize = 4_096;

/// Labels of a name up to which it may be a domain that somebody registered.
const LABELS: usize = 5;

/// What is known of registrations; clones share it.
#[derive(Clone)]
pub(crate) struct Registrations(Arc<Shared>);

struct Shared {
    documents: Documents,
    /// IANA's list of registries; nobody is asked without.
    list: Option<Url>,
    listed: tokio::sync::Mutex<Listed>,
    domains: Mutex<HashMap<String, Arc<Domain>>>,
}

/// The list as last read, and why it could not be read since.
#[derive(Default)]
struct Listed {
    known: Option<Arc<Registries>>,
    error: Option<String>,
    asked: Option<Instant>,
}

#[derive(Default)]
struct Domain {
    known: Mutex<Known>,
    /// Held by whoever asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    /// When the registration ends, UTC milliseconds, as last heard.
    ends: Option<i64>,
    /// Why it was not heard the last time.
    error: Option<String>,
    asked: Option<Instant>,
}

impl Known {
    fn is_fresh(&self) -> bool {
        let good = if self.error.is_some() { AGAIN } else { FRESH };
        self.asked.is_some_and(|asked| asked.elapsed() < good)
    }

    fn told(&self) -> Option<Result<i64, String>> {
        match (self.ends, &self.error) {
            (Some(ends), _) => Some(Ok(ends)),
            (None, Some(error)) => Some(Err(error.clone())),
            (None, None) => None,
        }
    }
}

impl Registrations {
    /// Registrations of registries that the list at `list` names.
    pub fn new(list: Option<Url>, documents: Documents) -> Self {
        Self(Arc::new(Shared { documents, list, listed: Default::default(), domains: Default::default() }))
    }

    /// Time until the registration of a host's domain ends, milliseconds; negative when it has. `None`
    /// when it is not known within `patience`, and asked for meanwhile.
    ///
    /// # Errors
    /// A sentence that says why nobody knows.
    pub async fn left(&self, host: &str, patience: Duration) -> Option<Result<i64, String>> {
        // Registries and their list go by names as DNS has them.
        let host = match Host::parse(host) {
            Ok(Host::Domain(name)) => name,
            _ => host.to_owned(),
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let domain = self.domain(&host);
        let known = domain.known();
        if !known.is_fresh() {
            let (shared, own) = (Arc::clone(&self.0), Arc::clone(&domain));
            let asking = tokio::spawn(async move { shared.renew(&host, &own).await });
            if known.told().is_none() {
                let _ = tokio::time::timeout(patience, asking).await;
            }
        }
        Some(domain.known().told()?.map(|ends| ends - now_ms()))
    }

    fn domain(&self, host: &str) -> Arc<Domain> {
        let mut domains = self.0.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if domains.len() >= KEPT && !domains.contains_key(host) {
            domains.retain(|_, domain| domain.known().is_fresh());
            if domains.len() >= KEPT {
                domains.clear();
            }
        }
        Arc::clone(domains.entry(host.to_owned()).or_default())
    }
}

impl Domain {
    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    async fn renew(&self, host: &str, domain: &Domain) {
        let _asking = domain.asking.lock().await;
        if domain.known().is_fresh() {
            return;
        }
        let found = self.ask(host).await;
        let mut known = domain.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.asked = Some(Instant::now());
        match found {
            Ok(ends) => (known.ends, known.error) = (Some(ends), None),
            Err(error) => {
                tracing::warn!(%host, %error, "the end of a domain's registration is not known");
                known.error = Some(error);
            }
        }
    }

    /// Asks a registry for the shortest of a host's names that it knows.
    async fn ask(&self, host: &str) -> Result<i64, String> {
        let labels: Vec<&str> = host.split('.').collect();
        if labels.len() < 2 || literal(host).is_some() {
            return Err(format!("{host} is no domain that is registered"));
        }
        let registries = self.registries().await?;
        let server = registries
            .server(&labels)
            .ok_or_else(|| format!("the registry of .{} answers no RDAP", labels[labels.len() - 1]))?;
        let mut error = format!("its registry does not know {host}");
        for count in 2..=labels.len().min(LABELS) {
            let name = labels[labels.len() - count..].join(".");
            let url = Url::parse(&format!("{}/domain/{name}", server.trim_end_matches('/')))
                .map_err(|error| format!("the registry's address is invalid: {error}"))?;
            match self.documents.get::<RdapDomain>(&url, ANSWER).await? {
                None => {}
                Some(domain) => match domain.ends() {
                    Some(ends) => return Ok(ends),
                    None => {
                        error = format!("its registry does not tell when the registration of {name} ends")
                    }
                },
            }
        }
        Err(error)
    }

    async fn registries(&self) -> Result<Arc<Registries>, String> {
        let Some(list) = &self.list else { return Err("no registries are asked here".into()) };
        let mut listed = self.listed.lock().await;
        let good = if listed.error.is_some() { AGAIN } else { LIST_FRESH };
        if listed.asked.is_none_or(|asked| asked.elapsed() >= good) {
            match self.documents.get::<Registries>(list, LIST).await {
                Ok(Some(found)) => (listed.known, listed.error) = (Some(Arc::new(found)), None),
                Ok(None) => listed.error = Some("the list of registries is not there".into()),
                Err(error) => listed.error = Some(error),
            }
            listed.asked = Some(Instant::now());
        }
        // Registries hardly ever move: an old list will do. Without any, all domains learn of it at once,
        // for a list that nobody gives would take each of them its time.
        listed.known.clone().ok_or_else(|| listed.error.clone().unwrap_or_default())
    }
}

/// IANA's list: for each registry, its top-level domains and its servers.
#[derive(Debug, Deserialize)]
struct Registries {
    services: Vec<(Vec<String>, Vec<String>)>,
}

impl Registries {
    /// The server of the longest known ending of a name, by https where there is one.
    fn server(&self, labels: &[&str]) -> Option<&str> {
        let endings = (1..labels.len()).map(|first| labels[first..].join("."));
        endings.into_iter().find_map(|ending| {
            let (_, servers) = self
                .services
                .iter()
                .find(|(known, _)| known.iter().any(|known| known.eq_ignore_ascii_case(&ending)))?;
            let safe = servers.iter().find(|server| server.starts_with("https:"));
            safe.or(servers.first()).map(String::as_str)
        })
    }
}

/// A domain as a registry tells it (RFC 9083, section 5.3), as far as it matters here.
#[derive(Debug, Deserialize)]
struct RdapDomain {
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default)]
    event_action: String,
    #[serde(default)]
    event_date: String,
}

impl RdapDomain {
    fn ends(&self) -> Option<i64> {
        let event = self.events.iter().find(|event| event.event_action == "expiration")?;
        event.event_date.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
