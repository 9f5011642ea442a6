//! Reading `User-Agent` headers with uap-core's expressions.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use ua_parser::{Extractor, Regexes};

use super::{EnrichError, bot::Bots};

/// uap-core's expressions, copied by the build script from the `ua-parser`
/// package of `Cargo.lock`.
const REGEXES: &str = include_str!(concat!(env!("OUT_DIR"), "/regexes.yaml"));

/// Agents are cut here before anything looks at them; no real one is as long.
const MAX_AGENT_BYTES: usize = 2048;

/// The cache's bound: about this many bytes of agents and answers.
const CACHE_BYTES: u64 = 8 << 20;

/// What one cached answer costs beside the agent's own bytes.
const ENTRY_BYTES: u64 = 256;

/// Compiled once per process, for every [`UserAgents`]: it costs about 250 ms
/// and 31 MB (measured on one slow core at opt-level 1).
static RULES: LazyLock<Result<Rules, String>> = LazyLock::new(|| {
    let regexes: Regexes<'static> = serde_yaml::from_str(REGEXES).map_err(|error| error.to_string())?;
    let extractor = Extractor::try_from(regexes).map_err(|error| error.to_string())?;
    let bots = Bots::new().map_err(|error| error.to_string())?;
    Ok(Rules { extractor, bots })
});

struct Rules {
    extractor: Extractor<'static>,
    bots: Bots,
}

/// What a user agent says about the software and device behind a hit.
/// What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgentFacts {
    /// Browser, program or library: `Chrome`, `curl`, `PostmanRuntime`.
    pub client: Option<Arc<str>>,
    /// Operating system: `Windows`, `Mac OS X`, `Android`.
    pub os: Option<Arc<str>>,
    /// Device class: `Desktop`, `Mobile`, `Tablet`, `TV`, `Console`,
    /// `Wearable` or `Bot`.
    pub device: Option<Arc<str>>,
    /// Whether this is a crawler, monitor or other unattended program.
    pub bot: bool,
}

/// The parser behind a bounded cache.
pub(super) struct UserAgents {
    rules: &'static Rules,
    cache: Cache<Box<str>, UserAgentFacts, ByBytes>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, UserAgentFacts> for ByBytes {
    fn weight(&self, agent: &Box<str>, _: &UserAgentFacts) -> u64 {
        agent.len() as u64 + ENTRY_BYTES
    }
}

impl UserAgents {
    pub(super) fn new() -> Result<Self, EnrichError> {
        let rules = RULES.as_ref().map_err(|error| EnrichError::UserAgent(error.clone()))?;
        let entries = (CACHE_BYTES / (ENTRY_BYTES + 128)) as usize;
        Ok(Self { rules, cache: Cache::with_weighter(entries, CACHE_BYTES, ByBytes) })
    }

    pub(super) fn facts(&self, ua: &str) -> UserAgentFacts {
        let ua = &ua[..ua.floor_char_boundary(MAX_AGENT_BYTES)];
        if ua.trim().is_empty() {
            return UserAgentFacts::default();
        }
        if let Some(facts) = self.cache.get(ua) {
            return facts;
        }
        let facts = self.parse(ua);
        self.cache.insert(ua.into(), facts.clone());
        facts
    }

    fn parse(&self, ua: &str) -> UserAgentFacts {
        let (client, os, device) = self.rules.extractor.extract(ua);
        let client =
            client.and_then(|found| known(found.family)).or_else(|| leading_product(ua).map(Cow::Borrowed));
        let os = os.and_then(|found| known(found.os));
        let device =
            device.map(|found| Device { family: found.device, brand: found.brand.unwrap_or_default() });
        let family = device.as_ref().map_or("Other", |found| &found.family);
        let system = os.is_some() || !matches!(family, "Other" | "Spider");
        let bot = self.rules.bots.is_bot(ua, family == "Spider", system);
        let class = if bot { Some("Bot") } else { device_class(ua, os.as_deref(), device.as_ref()) };
        UserAgentFacts {
            client: client.map(Arc::from),
            os: os.map(Arc::from),
            device: class.map(Arc::from),
            bot,
        }
    }
}

/// What uap-core says about the device.
struct Device<'a> {
    family: Cow<'a, str>,
    brand: Cow<'a, str>,
}

/// Families that say "unknown" become `None`.
fn known(family: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let name = family.trim();
    if name.is_empty() || name == "Other" {
        return None;
    }
    if name.len() == family.len() {
        return Some(family);
    }
    Some(Cow::Owned(name.to_owned()))
}

/// The name in a leading `name/version`, for programs that uap-core does not
/// know: `inventory-sync/2.4 (linux)` is `inventory-sync`. Browsers' leading
/// `Mozilla/5.0` names nothing.
fn leading_product(ua: &str) -> Option<&str> {
    let (name, rest) = ua.trim_start().split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let fits = (2..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(plain)
        && !name.eq_ignore_ascii_case("mozilla");
    let versioned = rest.trim_start_matches(['v', 'V']).starts_with(|c: char| c.is_ascii_digit());
    (fits && versioned).then_some(name)
}

/// Sorts a device into a class. uap-core names families ("iPhone",
/// "Samsung SM-T870"), so the class comes from the few generic ones, then
/// from the operating system, and for Android from the word "Mobile", which
/// phones send and tablets do not.
fn device_class(ua: &str, os: Option<&str>, device: Option<&Device<'_>>) -> Option<&'static str> {
    let has = |word: &str| ua.contains(word);
    let family = device.map_or("", |device| &device.family);
    let brand = device.map_or("", |device| &device.brand);

    if brand == "Generic_Inettv" || TV_WORDS.iter().any(|word| has(word)) {
        return Some("TV");
    }
    if CONSOLE_WORDS.iter().any(|word| has(word)) {
        return Some("Console");
    }
    if os == Some("WatchOS") || family.contains("Watch") {
        return Some("Wearable");
    }
    if family.starts_with("iPad")
        || family == "Generic Tablet"
        || family.starts_with("Kindle")
        || family.starts_with("PlayBook")
    {
        return Some("Tablet");
    }
    if family.starts_with("iPhone")
        || family.starts_with("iPod")
        || matches!(family, "Generic Smartphone" | "Generic Feature Phone")
    {
        return Some("Mobile");
    }
    match os? {
        // Apps' network stacks (CFNetwork) do not say which of the two.
        "iOS" => Some("Mobile"),
        "Android" if has("Mobile") || has("Dalvik/") => Some("Mobile"),
        "Android" if brand == "Generic_Android_Tablet" || device.is_some() => Some("Tablet"),
        "Windows Phone" | "Windows Mobile" | "BlackBerry OS" | "Symbian OS" | "KaiOS" | "Firefox OS"
        | "Tizen" | "Bada" => Some("Mobile"),
        // A library on a server names its system too; only something with a
        // browser's manners sits on a desk.
        desktop if DESKTOP_SYSTEMS.contains(&desktop) && (has("Mozilla/") || has("Opera/")) => {
            Some("Desktop")
        }
        _ => None,
    }
}

const TV_WORDS: [&str; 12] = [
    "SmartTV",
    "SMART-TV",
    "Smart TV",
    "Apple TV",
    "AppleTV",
    "GoogleTV",
    "Android TV",
    "HbbTV",
    "BRAVIA",
    "AFTT",
    "Web0S",
    "Roku/",
];

const CONSOLE_WORDS: [&str; 4] = ["PlayStation", "Xbox", "Nintendo", "PLAYSTATION"];

const DESKTOP_SYSTEMS: [&str; 16] = [
    "Windows",
    "Mac OS X",
    "Mac OS",
    "Linux",
    "Ubuntu",
    "Debian",
    "Fedora",
    "Red Hat",
    "SUSE",
    "Mint",
    "Arch Linux",
    "Gentoo",
    "Chrome OS",
    "FreeBSD",
    "OpenBSD",
    "NetBSD",
];

#[cfg(test)]
#[path = "user_agent_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "uap_core_tests.rs"]
mod uap_core_tests;
