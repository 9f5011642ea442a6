//! A hit as api-analytics' columns.

use std::collections::HashMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use watchkeeper_store::Hit;

use crate::times::rfc3339;

/// Methods by upstream's number; any other has the number after the last.
const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "HEAD", "TRACE"];

/// One hit in upstream's units: numbers for methods, whole milliseconds, empty
/// texts for what is unknown.
pub(super) struct Columns<'a> {
    pub ip: Option<&'a str>,
    pub path: String,
    pub hostname: &'a str,
    pub user_agent: Option<&'a str>,
    pub method: usize,
    pub response_time: i64,
    pub status: i32,
    pub location: &'a str,
    pub user_id: &'a str,
    pub created_at: String,
}

impl Columns<'_> {
    /// The values in the order of upstream's tables, which the dashboard's rows and the compact data
    /// share. They differ in how they write an unknown address, and in how they write an agent.
    pub fn values(&self, ip: impl Serialize, agent: impl Serialize) -> impl Serialize {
        (
            ip,
            &self.path,
            self.hostname,
            agent,
            self.method,
            self.response_time,
            self.status,
            self.location,
            self.user_id,
            &self.created_at,
        )
    }
}

impl<'a> From<&'a Hit> for Columns<'a> {
    fn from(hit: &'a Hit) -> Self {
        let mut path = hit.path.clone().unwrap_or_default();
        if let Some(query) = &hit.query {
            path.push('?');
            path.push_str(query);
        }
        let method = hit.method.as_deref().unwrap_or("GET");
        Self {
            ip: hit.ip.as_deref(),
            path,
            hostname: hit.host.as_deref().unwrap_or_default(),
            user_agent: hit.user_agent.as_deref(),
            method: METHODS.iter().position(|name| *name == method).unwrap_or(METHODS.len()),
            response_time: hit.duration_us.map_or(0, |us| (us + 500).div_euclid(1_000)),
            status: hit.status.unwrap_or_default(),
            location: hit.country.as_deref().unwrap_or_default(),
            user_id: hit.user.as_deref().unwrap_or_default(),
            created_at: rfc3339(hit.ts),
        }
    }
}

/// Numbers for user agents. They follow from the text, so that every page and
/// every replica gives the same agent the same number; they are below 2^52, so
/// that JavaScript holds them exactly.
#[derive(Debug, Default)]
pub(super) struct UserAgentIds(HashMap<String, u64>);

impl UserAgentIds {
    pub fn id(&mut self, agent: &str) -> u64 {
        if let Some(id) = self.0.get(agent) {
            return *id;
        }
        let digest = Sha256::digest(agent);
        let id = digest.iter().take(7).fold(0, |id, byte| (id << 8) | u64::from(*byte)) >> 4;
        self.0.insert(agent.to_owned(), id);
        id
    }

    /// Number to text, as the dashboard wants it.
    pub fn into_texts(self) -> HashMap<u64, String> {
        self.0.into_iter().map(|(text, id)| (id, text)).collect()
    }
}

/// Writes JSON into memory, which cannot fail for the types of this module.
pub(super) fn write_json(buffer: &mut Vec<u8>, value: &impl Serialize) {
    if let Err(error) = serde_json::to_writer(&mut *buffer, value) {
        tracing::error!(%error, "a row cannot be written as JSON");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_reads_back_in_upstreams_units() {
        let hit = Hit {
            ts: 1_700_000_000_000,
            method: Some("HEAD".into()),
            path: Some("/a".into()),
            query: Some("b=c".into()),
            duration_us: Some(40_000_000),
            ..Hit::default()
        };
        let columns = Columns::from(&hit);
        assert_eq!((columns.method, columns.path.as_str(), columns.response_time), (7, "/a?b=c", 40_000));
        assert_eq!((columns.ip, columns.user_id, columns.location), (None, "", ""));
        assert_eq!(Columns::from(&Hit { method: Some("PROPFIND".into()), ..Hit::default() }).method, 9);
    }

    #[test]
    fn an_agent_has_the_same_number_on_every_page() {
        let id = UserAgentIds::default().id("curl/8");
        let mut other = UserAgentIds::default();
        assert_ne!(other.id("curl/7"), id);
        assert_eq!(other.id("curl/8"), id);
        assert!(id < 1 << 52);
    }
}
