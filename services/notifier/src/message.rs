//! What a message says, whatever carries it. Pure.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use watchkeeper_crds::durations;
use watchkeeper_store::{
    State,
    alerts::{Claim, Kind, Notice},
};

/// Endpoints that a text lists by name; the rest is a number.
const LISTED: usize = 20;

/// One message: a notice, or several of one kind that go out as one.
#[derive(Debug, Clone)]
pub struct Message {
    /// Identity, the same at every attempt.
    pub delivery: String,
    /// What it is about.
    pub kind: Kind,
    /// Whether an earlier attempt may have arrived.
    pub uncertain: bool,
    /// Earlier attempts at what was tried least of it.
    pub attempts: i64,
    /// What it tells of, at least one.
    pub items: Vec<Item>,
}

/// What a message tells of one endpoint.
#[derive(Debug, Clone)]
pub struct Item {
    /// The same for every notice of one trouble, and of no other.
    pub key: String,
    /// Name to show.
    pub name: String,
    /// Namespace and name of its manifest, as far as there are any.
    pub reference: String,
    /// Group it is shown in.
    pub group: Option<String>,
    /// What is probed.
    pub target: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// When it changed, UTC milliseconds.
    pub at: i64,
    /// How long the state before had lasted then, or for notices of lasting trouble the trouble.
    pub lasted: Duration,
    /// What the check that decided said.
    pub message: Option<String>,
    /// HTTP status of that check.
    pub status: Option<i32>,
    /// Duration of that check, microseconds.
    pub duration_us: Option<i64>,
}

/// How bad it is; what channels colour and rank by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Down.
    Critical,
    /// Degraded, or flapping.
    Warning,
    /// Well again.
    Resolved,
    /// Nothing happened.
    Info,
}

impl Message {
    /// The message of a claim, at `now` (UTC milliseconds).
    pub fn new(claim: &Claim, now: i64) -> Self {
        let kind = claim.notices.first().map_or(Kind::Test, |notice| notice.kind);
        Self {
            delivery: claim.delivery.clone(),
            kind,
            uncertain: claim.uncertain,
            attempts: claim.notices.iter().map(|notice| notice.attempts).min().unwrap_or_default(),
            items: claim.notices.iter().map(|notice| Item::new(notice, now)).collect(),
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self.kind {
            Kind::Test => Severity::Info,
            Kind::Recovery => Severity::Resolved,
            Kind::Degraded | Kind::Flapping => Severity::Warning,
            Kind::Down | Kind::Escalation => Severity::Critical,
            Kind::Reminder if self.items.iter().any(|item| item.to == State::Down) => Severity::Critical,
            Kind::Reminder => Severity::Warning,
        }
    }

    /// Whether it says that trouble is over.
    pub fn resolves(&self) -> bool {
        self.kind == Kind::Recovery
    }

    /// One line that says it all.
    pub fn title(&self) -> String {
        let word = match (self.kind, self.severity()) {
            (Kind::Test, _) => "Test",
            (Kind::Down, _) => "Down",
            (Kind::Degraded, _) => "Degraded",
            (Kind::Flapping, _) => "Flapping",
            (Kind::Recovery, _) if self.items.iter().all(|item| item.to == State::Suspended) => {
                "No longer watched"
            }
            (Kind::Recovery, _) => "Recovered",
            (_, Severity::Critical) => "Still down",
            _ => "Still degraded",
        };
        match self.items.as_slice() {
            [item] => format!("{word}: {}", item.name),
            items => {
                let host = items.first().map(|item| host(&item.target)).unwrap_or_default();
                format!("{word}: {} endpoints on {host}", items.len())
            }
        }
    }

    /// A line for each endpoint, and one for what must be known besides.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.items.iter().take(LISTED).map(|item| item.line(self.kind)).collect();
        let more = self.items.len().saturating_sub(LISTED);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        if self.uncertain {
            lines.push(
                "This may be a repetition: whoever sent it first died before knowing whether it arrived."
                    .into(),
            );
        }
        lines
    }

    /// Title and lines.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.title(), self.lines().join("\n"))
    }
}

impl Item {
    fn new(notice: &Notice, now: i64) -> Self {
        let details = &notice.details;
        let since = match notice.kind {
            Kind::Reminder | Kind::Escalation => now.saturating_sub(notice.at),
            _ => notice.at.saturating_sub(details.from_since),
        };
        // Whole seconds: nobody wants to know more.
        let lasted = Duration::from_secs(u64::try_from(since / 1_000).unwrap_or_default());
        Self {
            key: format!("watchkeeper/{}/{}", details.uid, notice.episode),
            name: details.display_name.clone(),
            reference: [details.namespace.as_str(), details.name.as_str()]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("/"),
            group: details.group.clone(),
            target: details.target.clone(),
            labels: details.labels.clone(),
            from: details.from,
            to: if notice.condition == State::Up && details.to == State::Degraded {
                State::Up
            } else {
                details.to
            },
            at: notice.at,
            lasted,
            message: details.message.clone(),
            status: details.status,
            duration_us: details.duration_us,
        }
    }

    /// When it changed, RFC 3339.
    pub fn time(&self) -> String {
        Timestamp::from_millisecond(self.at).map(|at| at.to_string()).unwrap_or_default()
    }

    fn line(&self, kind: Kind) -> String {
        let mut line = self.name.clone();
        if !self.target.is_empty() && self.target != self.name {
            line.push_str(&format!(" ({})", self.target));
        }
        if let Some(group) = &self.group {
            line.push_str(&format!(" in {group}"));
        }
        let lasted = durations::format(self.lasted);
        match (kind, self.from) {
            (Kind::Test, _) => {}
            (Kind::Recovery, State::Down | State::Degraded) => {
                line.push_str(&format!(" was {} for {lasted}", self.from.as_str().to_lowercase()));
            }
            (Kind::Reminder | Kind::Escalation, _) => line.push_str(&format!(" for {lasted}")),
            (Kind::Flapping, _) => line.push_str(
                " changes too often to tell each change; the next notice comes once it has settled",
            ),
            _ => {}
        }
        if let Some(message) = &self.message {
            line.push_str(&format!(": {message}"));
        }
        line.push_str(&format!(" [{}]", self.time()));
        line
    }
}

/// The host of a target.
fn host(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// A text of which Markdown makes no link that shows another name than its address: what a target said
/// may be meant to mislead.
pub fn without_links(text: &str) -> String {
    text.replace("](", "]\u{200b}(")
}

/// Cuts a text to at most `most` bytes, saying so.
pub fn cut_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

/// Cuts a text to at most `most` characters, saying so.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut_bytes("ééé", 6), "ééé");
        assert_eq!(cut_bytes("éééé", 7), "éé…");
        assert_eq!(cut_bytes("éééé", 6), "é…");
    }

    #[test]
    fn what_a_target_says_becomes_no_link_of_another_name() {
        let said = without_links("[your bank](https://evil.example)");
        assert!(!said.contains("](") && said.contains("https://evil.example"), "{said}");
    }
}
