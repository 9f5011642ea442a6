//! What may stand on a status page, from a form or from JSON. Refusals name the field.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use watchkeeper_store::{
    DAY_MS, Impact, IncidentFacts, IncidentKind, IncidentStatus, StatusGroup, StatusPageSpec, StatusUpdate,
};

use crate::routes::dashboard::monitors::board::Board;

/// Bytes of a title, a heading, a link, and a longer text.
const TITLE: usize = 200;
const LINK: usize = 1_024;
const TEXT: usize = 10_000;

/// Groups of a page, and endpoints that it names, at most.
const GROUPS: usize = 100;
const ENDPOINTS: usize = 2_000;

/// A field at fault, as a path, and what is wrong with it.
pub(super) type Fault = (String, String);

fn fault<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, Fault> {
    Err((field.into(), message.into()))
}

/// A status page as it is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = StatusPageSpec)]
pub(in crate::routes::dashboard) struct PageWish {
    /// What the page is called, 1 to 200 bytes.
    #[schema(example = "Shop status")]
    pub title: String,
    /// What stands below the title.
    #[serde(default)]
    pub description: String,
    /// Where readers find help or the product itself: an http or https URL.
    #[serde(default)]
    pub link: Option<String>,
    /// Host name at whose `/` the page answers too.
    #[serde(default)]
    #[schema(example = "status.shop.example")]
    pub host: Option<String>,
    /// Whether the response times of endpoints are shown.
    #[serde(default)]
    pub latency: bool,
    /// What it shows, in this order; at most 100.
    #[serde(default)]
    pub groups: Vec<GroupWish>,
}

/// Endpoints under one heading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = StatusGroup)]
pub(in crate::routes::dashboard) struct GroupWish {
    /// The heading, 1 to 200 bytes.
    #[schema(example = "API")]
    pub name: String,
    /// Endpoints by uid, by `namespace/name`, or by a name that only one has.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// All endpoints of this group of theirs are shown too, also those that come later.
    #[serde(default)]
    pub all_of: Option<String>,
}

impl From<&StatusPageSpec> for PageWish {
    fn from(spec: &StatusPageSpec) -> Self {
        let groups = spec.groups.iter().map(|group| GroupWish {
            name: group.name.clone(),
            endpoints: group.endpoints.clone(),
            all_of: group.all_of.clone(),
        });
        Self {
            title: spec.title.clone(),
            description: spec.description.clone(),
            link: spec.link.clone(),
            host: spec.host.clone(),
            latency: spec.latency,
            groups: groups.collect(),
        }
    }
}

impl PageWish {
    /// Judges it. Endpoints of `before`, the page as it is, may be gone meanwhile.
    pub fn judged(self, board: &Board, before: &[StatusGroup]) -> Result<StatusPageSpec, Fault> {
        let title = line("title", &self.title, 1, TITLE)?;
        let description = text("description", &self.description, 0, TEXT)?;
        let link = optional(self.link).map(|url| link("link", &url)).transpose()?;
        let host = optional(self.host).map(|name| host("host", &name)).transpose()?;
        if self.groups.len() > GROUPS {
            return fault("groups", format!("A page has at most {GROUPS} groups."));
        }
        let mut groups = Vec::new();
        for (index, group) in self.groups.into_iter().enumerate() {
            groups.push(group.judged(&format!("groups[{index}]"), board, before)?);
        }
        if groups.iter().map(|group: &StatusGroup| group.endpoints.len()).sum::<usize>() > ENDPOINTS {
            return fault(
                "groups",
                format!("A page names at most {ENDPOINTS} endpoints; use `allOf` for more."),
            );
        }
        Ok(StatusPageSpec { title, description, link, host, latency: self.latency, groups })
    }
}

impl GroupWish {
    fn judged(self, path: &str, board: &Board, before: &[StatusGroup]) -> Result<StatusGroup, Fault> {
        let name = line(&format!("{path}.name"), &self.name, 1, TITLE)?;
        let was_there = |uid: &String| before.iter().any(|group| group.endpoints.contains(uid));
        let mut endpoints: Vec<String> = Vec::new();
        for (index, named) in self.endpoints.into_iter().enumerate() {
            let uid = match board.named(&named) {
                Some(endpoint) => endpoint.uid.clone(),
                None if was_there(&named) => named,
                None => {
                    return fault(
                        format!("{path}.endpoints[{index}]"),
                        format!(
                            "No endpoint, or more than one, is called `{named}`; name it by its uid or `namespace/name`."
                        ),
                    );
                }
            };
            if !endpoints.contains(&uid) {
                endpoints.push(uid);
            }
        }
        let all_of = optional(self.all_of);
        let all_of = all_of.map(|group| line(&format!("{path}.allOf"), &group, 1, TITLE)).transpose()?;
        Ok(StatusGroup { name, endpoints, all_of })
    }
}

/// A page's name in addresses: lower-case letters, digits and hyphens.
pub(super) fn slug(text: &str) -> Result<String, Fault> {
    let letters = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if text.is_empty() || text.len() > 60 || !letters || text.starts_with('-') || text.ends_with('-') {
        return fault(
            "slug",
            "A slug has 1 to 60 lower-case letters, digits and hyphens, with a hyphen neither first nor last.",
        );
    }
    Ok(text.to_owned())
}

/// Something to post.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = NewStatusIncident)]
pub(in crate::routes::dashboard) struct PostWish {
    /// `incident` or `maintenance`; an incident without it.
    #[serde(default)]
    #[schema(example = "incident")]
    pub kind: Option<String>,
    /// What happened, or what will be done, 1 to 200 bytes.
    #[schema(example = "Orders fail")]
    pub title: String,
    /// What to tell the readers, 1 to 10,000 bytes.
    pub text: String,
    /// How far readers are touched: `none`, `degraded`, `partial` or `major`; `none` for a
    /// maintenance and `partial` for an incident without it.
    #[serde(default)]
    #[schema(example = "partial")]
    pub impact: Option<String>,
    /// `open`, `investigating`, `identified`, `monitoring` or `resolved`; of a maintenance
    /// `scheduled`, `in_progress` or `completed`. The first of each without it.
    #[serde(default)]
    #[schema(example = "investigating")]
    pub status: Option<String>,
    /// The endpoints it is about, named as in a group; the whole page without any.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// When it began or will begin, RFC 3339; now without it.
    #[serde(default)]
    pub starts_at: Option<String>,
    /// When a maintenance is to end, or an incident ended, RFC 3339.
    #[serde(default)]
    pub ends_at: Option<String>,
}

/// How something goes on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = NewStatusUpdate)]
pub(in crate::routes::dashboard) struct UpdateWish {
    /// As of a post; as it stands without it. `in_progress` begins a maintenance before its time, and lets it
    /// go on after it.
    #[serde(default)]
    #[schema(example = "identified")]
    pub status: Option<String>,
    /// What to tell the readers, 1 to 10,000 bytes.
    pub text: String,
}

impl PostWish {
    /// Judges it; `moment` reads its times.
    pub fn judged(
        self,
        board: &Board,
        now: i64,
        moment: impl Fn(&str) -> Option<i64>,
    ) -> Result<(IncidentFacts, StatusUpdate), Fault> {
        let kind = chosen("kind", self.kind, IncidentKind::parse, "incident or maintenance")?;
        let kind = kind.unwrap_or(IncidentKind::Incident);
        let planned = kind == IncidentKind::Maintenance;
        let status = status(self.status, kind)?;
        let status = status.unwrap_or(if planned { IncidentStatus::Scheduled } else { IncidentStatus::Open });
        let impact = chosen("impact", self.impact, Impact::parse, "none, degraded, partial or major")?;
        let impact = impact.unwrap_or(if planned { Impact::None } else { Impact::Partial });
        let title = line("title", &self.title, 1, TITLE)?;
        let text = text("text", &self.text, 1, TEXT)?;
        let time = |field: &str, text: Option<String>| {
            let Some(text) = optional(text) else { return Ok(None) };
            let Some(moment) = moment(&text) else {
                return fault(field, format!("`{text}` is no time such as 2026-01-31T12:00:00Z."));
            };
            if (moment - now).abs() > 3_660 * DAY_MS {
                return fault(field, "A time is within ten years.");
            }
            Ok(Some(moment))
        };
        let starts_at = time("startsAt", self.starts_at)?.unwrap_or(now);
        let mut ends_at = time("endsAt", self.ends_at)?;
        if ends_at.is_some_and(|end| end < starts_at || (planned && end == starts_at)) {
            return fault("endsAt", "The end comes after the start.");
        }
        if planned && ends_at.is_none() {
            return fault("endsAt", "Say when the maintenance is to end.");
        }
        if !planned && starts_at > now {
            return fault("startsAt", "An incident has begun already; plan work as a maintenance.");
        }
        match (planned, status.is_over()) {
            (false, true) => ends_at = Some(ends_at.unwrap_or(now).max(starts_at)),
            (false, false) if ends_at.is_some() => {
                return fault("endsAt", "Only what is resolved has ended.");
            }
            _ => {}
        }
        let endpoints = endpoints(self.endpoints, board, &[])?;
        let facts = IncidentFacts { kind, title, impact, endpoints, starts_at, ends_at };
        Ok((facts, StatusUpdate { at: now, status, text }))
    }
}

impl UpdateWish {
    /// Judges it for a post of a kind that has come so far.
    pub fn judged(self, kind: IncidentKind, so_far: IncidentStatus, now: i64) -> Result<StatusUpdate, Fault> {
        let status = status(self.status, kind)?.unwrap_or(so_far);
        Ok(StatusUpdate { at: now, status, text: text("text", &self.text, 1, TEXT)? })
    }
}

/// The end of a post as an update leaves it.
pub(super) fn end_after(facts: &IncidentFacts, update: &StatusUpdate) -> Option<i64> {
    match (facts.kind, update.status.is_over()) {
        (IncidentKind::Incident, false) => None,
        (IncidentKind::Incident, true) => Some(facts.ends_at.unwrap_or(update.at).max(facts.starts_at)),
        (IncidentKind::Maintenance, true) => {
            Some(facts.ends_at.unwrap_or(update.at).min(update.at).max(facts.starts_at))
        }
        // One that is said to go on goes on, also where its time is over: nobody knows until when.
        (IncidentKind::Maintenance, false) => {
            facts.ends_at.filter(|end| update.status != IncidentStatus::InProgress || *end > update.at)
        }
    }
}

/// Endpoints by what names them, as uids. Those of `before` may be gone meanwhile.
pub(super) fn endpoints(names: Vec<String>, board: &Board, before: &[String]) -> Result<Vec<String>, Fault> {
    if names.len() > ENDPOINTS {
        return fault("endpoints", format!("At most {ENDPOINTS} endpoints."));
    }
    let mut uids: Vec<String> = Vec::new();
    for (index, named) in names.into_iter().enumerate() {
        let uid = match board.named(&named) {
            Some(endpoint) => endpoint.uid.clone(),
            None if before.contains(&named) => named,
            None => {
                let message = format!("No endpoint, or more than one, is called `{named}`.");
                return fault(format!("endpoints[{index}]"), message);
            }
        };
        if !uids.contains(&uid) {
            uids.push(uid);
        }
    }
    Ok(uids)
}

/// An RFC 3339 time as UTC milliseconds.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// The time of a form, whose clock is that of UTC.
pub(super) fn clock(text: &str) -> Option<i64> {
    let clock = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(clock.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

fn status(text: Option<String>, kind: IncidentKind) -> Result<Option<IncidentStatus>, Fault> {
    let known = IncidentStatus::ALL.iter().filter(|status| status.is_of(kind));
    let known: Vec<_> = known.map(|status| status.as_str()).collect();
    let of_kind = |text: &str| IncidentStatus::parse(text).filter(|status| status.is_of(kind));
    chosen("status", text, of_kind, &known.join(", "))
}

fn chosen<T>(
    field: &str,
    text: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    known: &str,
) -> Result<Option<T>, Fault> {
    let Some(text) = optional(text) else { return Ok(None) };
    match parse(&text) {
        Some(value) => Ok(Some(value)),
        None => fault(field, format!("`{text}` is none of {known}.")),
    }
}

/// Nothing where a field is left empty.
fn optional(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn line(field: &str, value: &str, least: usize, most: usize) -> Result<String, Fault> {
    let line = text(field, value, least, most)?;
    if line.contains('\n') { fault(field, "Must be one line.") } else { Ok(line) }
}

/// A text without what a feed cannot hold.
fn text(field: &str, text: &str, least: usize, most: usize) -> Result<String, Fault> {
    let text = text.replace("\r\n", "\n");
    // XML 1.0 has no room for these.
    let strange =
        |it: char| (it.is_control() && !matches!(it, '\n' | '\t')) || matches!(it, '\u{fffe}' | '\u{ffff}');
    if text.contains(strange) {
        return fault(field, "Must have no control characters.");
    }
    let text = text.trim();
    if !(least..=most).contains(&text.len()) {
        return fault(field, format!("Must have {least} to {most} bytes."));
    }
    Ok(text.to_owned())
}

fn link(field: &str, text: &str) -> Result<String, Fault> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match url.filter(|_| text.len() <= LINK) {
        Some(url) => Ok(url.into()),
        None => fault(field, format!("A link is an http or https URL of at most {LINK} bytes.")),
    }
}

fn host(field: &str, text: &str) -> Result<String, Fault> {
    let host = text.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253
        || !host.contains('.')
        || !host.split('.').all(label)
        || host.parse::<std::net::IpAddr>().is_ok()
    {
        return fault(field, "A host is a full domain name such as status.shop.example, without a port.");
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_a_host_and_a_link_are_plain() {
        assert_eq!(slug("shop-eu2"), Ok("shop-eu2".into()));
        for bad in ["", "Shop", "a b", "-a", "a-", "ü", "a/b", &*"a".repeat(61)] {
            assert!(slug(bad).is_err(), "{bad}");
        }
        assert_eq!(host("host", "Status.Shop.example"), Ok("status.shop.example".into()));
        for bad in ["localhost", "a..b", "10.0.0.1", "a.example:80", "-a.example", "a/b.example"] {
            assert!(host("host", bad).is_err(), "{bad}");
        }
        assert!(link("link", "javascript:alert(1)").is_err() && link("link", "https://a.example/").is_ok());
    }

    #[test]
    fn a_text_has_nothing_that_a_feed_cannot_hold() {
        assert_eq!(text("text", " a\r\nb ", 1, 10), Ok("a\nb".into()));
        for bad in ["", "a\u{0}", "a\u{b}", "a\u{ffff}", "eleven bytes"] {
            assert!(text("text", bad, 1, 10).is_err(), "{bad:?}");
        }
        assert!(line("title", "a\nb", 1, 10).is_err());
    }

    #[test]
    fn an_update_that_ends_a_post_sets_its_end() {
        let facts = |kind, ends_at| IncidentFacts {
            kind,
            title: "t".into(),
            impact: Impact::None,
            endpoints: vec![],
            starts_at: 100,
            ends_at,
        };
        let update = |at, status| StatusUpdate { at, status, text: "x".into() };
        let incident = facts(IncidentKind::Incident, None);
        assert_eq!(end_after(&incident, &update(150, IncidentStatus::Resolved)), Some(150));
        let resolved = facts(IncidentKind::Incident, Some(150));
        assert_eq!(
            end_after(&resolved, &update(160, IncidentStatus::Investigating)),
            None,
            "it goes on again"
        );
        let planned = facts(IncidentKind::Maintenance, Some(300));
        assert_eq!(end_after(&planned, &update(150, IncidentStatus::InProgress)), Some(300));
        assert_eq!(end_after(&planned, &update(350, IncidentStatus::InProgress)), None, "it takes longer");
        assert_eq!(end_after(&planned, &update(350, IncidentStatus::Scheduled)), Some(300));
        assert_eq!(end_after(&planned, &update(150, IncidentStatus::Completed)), Some(150), "it ended early");
        assert_eq!(
            end_after(&planned, &update(50, IncidentStatus::Completed)),
            Some(100),
            "it was called off"
        );
    }
}
