//! A mail server and an HTTP server that notices go to, and what each was told.

use std::collections::BTreeSet;

use anyhow::Result;
use watchkeeper_testkit::sink::{HttpSink, SmtpOptions, SmtpSink};

/// Both servers. They end when it is dropped.
pub struct Sinks {
    /// Takes a webhook's requests.
    pub hook: HttpSink,
    /// Takes mails.
    pub mail: SmtpSink,
}

/// One message of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Identity, the same however often it was sent.
    pub identity: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// `down` or `recovery`.
    pub kind: String,
}

impl Sinks {
    /// Starts both on free ports.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        Ok(Self { hook: HttpSink::start()?, mail: SmtpSink::start(SmtpOptions::default())? })
    }

    /// What the hook was told, the first of each message, in order.
    #[must_use]
    pub fn hooked(&self) -> Vec<Told> {
        let taken = self.hook.taken();
        first_of_each(taken.iter().map(|request| {
            let body = request.json();
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            Told {
                identity: request.headers.get("idempotency-key").cloned().unwrap_or_default(),
                endpoint: text(&body["endpoints"][0]["name"]),
                kind: text(&body["kind"]),
            }
        }))
    }

    /// What was mailed, the first of each message, in order.
    #[must_use]
    pub fn mailed(&self) -> Vec<Told> {
        let taken = self.mail.taken();
        first_of_each(taken.iter().map(|mail| {
            let subject = mail.header("Subject").unwrap_or_default();
            let (word, endpoint) = subject.split_once(": ").unwrap_or_default();
            let kind = if word == "Down" { "down" } else { "recovery" };
            Told {
                identity: mail.header("Message-ID").unwrap_or_default(),
                endpoint: endpoint.into(),
                kind: kind.into(),
            }
        }))
    }

    /// The messages that came more than once, by the delivery that their notices name.
    #[must_use]
    pub fn repeated(&self) -> BTreeSet<String> {
        let hooked = self.hook.taken();
        let hooked = hooked.iter().filter_map(|request| request.headers.get("idempotency-key").cloned());
        let mailed = self.mail.taken();
        // A mail is known by `<delivery@domain>`.
        let mailed = mailed.iter().filter_map(|mail| {
            let id = mail.header("Message-ID")?;
            Some(id.trim_start_matches('<').split('@').next()?.to_owned())
        });
        let mut seen = BTreeSet::new();
        hooked.chain(mailed).filter(|delivery| !seen.insert(delivery.clone())).collect()
    }

    /// Requests and mails that repeat an earlier one, whose sender died or was cut off before it knew.
    #[must_use]
    pub fn repetitions(&self) -> [usize; 2] {
        [self.hook.taken().len() - self.hooked().len(), self.mail.taken().len() - self.mailed().len()]
    }
}

fn first_of_each(told: impl Iterator<Item = Told>) -> Vec<Told> {
    let mut seen = BTreeSet::new();
    told.filter(|told| seen.insert(told.identity.clone())).collect()
}
