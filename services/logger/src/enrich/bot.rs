//! Which user agents are programs that nobody sits in front of.
//!
//! uap-core's device family `Spider` is the base, and it knows old ones only.
//! So an agent is a bot too if a word or a name of `bots.txt` says it, or if it
//! says whom to write to about it, which programs do that visit strangers.
//! HTTP libraries are clients to us, whatever uap-core says: a request made
//! with one is somebody's integration, not a crawl of the site.

use regex::Regex;

/// What makes an agent a bot wherever it stands. A word that goes on after
/// "bot" ("bottle", "botocore") is no bot, and neither are the phones called
/// Cubot.
const WORDS: [&str; 30] = [
    r"(?:^|[^u]|^u|[^c]u)bot(?:$|[^a-z])",
    "crawl",
    "spider",
    "slurp",
    "scrap(?:e|y|ing)",
    "headless",
    "phantomjs",
    "playwright",
    "puppeteer",
    "selenium",
    "monitor",
    "synthetic",
    "uptime",
    "health[ _-]?check",
    "check_http",
    "kube-probe",
    "googlehc/",
    "lighthouse",
    "fetcher",
    "prefetch",
    "validator",
    "checker|urlcheck|link-?check|checklink",
    "scanner|scan/",
    "inspection",
    "screenshot",
    "(?:ur[il]|link|page|web)[ -]?preview",
    "image ?proxy",
    "webhook",
    "-callout",
    "masscan|nessus|nikto|nmap|openvas|sqlmap|zgrab",
];

/// Names that none of the words is in.
const NAMES: &str = include_str!("bots.txt");

/// An address of a website in a comment.
const CONTACT: &str =
    r"[+(;,:] ?(?:https?://|www\.|mailto:)|(?:^|[ (;])\+ ?[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}";

/// An address of a person, and a browser's beginning with nothing of a browser
/// after it. Both mean something only if no system is named: some phones' and
/// TVs' apps send them too.
const BARE: &str = r"[a-z0-9._-]+@[a-z0-9-]+\.[a-z]|^mozilla/5\.0 [^)]*(?-u:\b)compatible[;)]";

/// HTTP libraries, as agents begin with them.
const LIBRARIES: [&str; 37] = [
    "ahc/",
    "aiohttp/",
    "anyevent",
    "apache-httpclient",
    "axios/",
    "colly",
    "curl",
    "dart/",
    "faraday",
    "go-http-client",
    "go-resty",
    "google-http-java-client",
    "got (",
    "got/",
    "guzzlehttp",
    "http%20client",
    "httpie",
    "httpx",
    "java/",
    "jersey/",
    "jetty/",
    "libwww-perl",
    "lwp",
    "mechanize/",
    "node-fetch",
    "okhttp",
    "pcore-http",
    "php-curl-class",
    "python-httpx",
    "python-requests",
    "python-urllib",
    "python/",
    "reqwest/",
    "restsharp/",
    "undici",
    "wget",
    "winhttp",
];

/// The rules, compiled.
pub(super) struct Bots {
    words: Regex,
    contact: Regex,
    bare: Regex,
}

impl Bots {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let names = NAMES.lines().filter(|line| !line.starts_with('#')).map(regex::escape);
        let names = names.collect::<Vec<_>>().join("|");
        Ok(Self {
            words: Regex::new(&format!(r"{}|(?-u:\b)(?:{names})", WORDS.join("|")))?,
            contact: Regex::new(CONTACT)?,
            bare: Regex::new(BARE)?,
        })
    }

    /// Decides from the agent's own words and from what uap-core knows:
    /// whether it is a `spider`, and whether a `system` or a device is named.
    pub(super) fn is_bot(&self, ua: &str, spider: bool, system: bool) -> bool {
        let ua = ua.to_ascii_lowercase();
        if self.words.is_match(&ua) {
            return true;
        }
        if is_library(&ua) {
            return false;
        }
        spider || self.contact.is_match(&ua) || (!system && self.bare.is_match(&ua))
    }
}

/// Whether an agent in lower case is an HTTP library's. Programs put their own
/// name before it (`google-http-java-client` after `appname/1`), so both
/// places count.
pub(super) fn is_library(ua: &str) -> bool {
    LIBRARIES.iter().any(|library| {
        ua.starts_with(library)
            || ua.split(' ').any(|product| product.starts_with(library) && product.contains('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bot(spider: bool, ua: &str) -> bool {
        Bots::new().expect("the rules compile").is_bot(ua, spider, false)
    }

    #[test]
    fn words_of_bots_are_found_at_the_end_of_a_word_only() {
        assert!(is_bot(false, "Mozilla/5.0 (compatible; NewBot/1.0)"));
        assert!(is_bot(false, "acme-bot"));
        assert!(is_bot(false, "BOT"));
        assert!(is_bot(false, "menubot/1"));
        assert!(!is_bot(false, "Boto3/1.34 botocore/1.34"));
        assert!(!is_bot(false, "bottle/0.12"));
        assert!(!is_bot(false, "Mozilla/5.0 (Linux; Android 9; CUBOT X19)"));
    }

    #[test]
    fn names_are_found_at_the_beginning_of_a_word_only() {
        assert!(is_bot(false, "GoogleOther"));
        assert!(is_bot(false, "Mozilla/5.0 (X11; Linux x86_64) GTmetrix"));
        assert!(!is_bot(false, "superzapier/1.0"));
    }

    #[test]
    fn every_name_is_in_lower_case_and_said_once() {
        let names: Vec<&str> = NAMES.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.iter().all(|name| !name.trim().is_empty() && *name == name.to_ascii_lowercase()));
        assert!(names.is_sorted_by(|a, b| a < b), "sorted, each once");
    }

    #[test]
    fn who_says_whom_to_write_to_is_a_bot() {
        assert!(is_bot(false, "Acme/1.0 (+https://acme.example/agent)"));
        assert!(is_bot(false, "Acme/1.0 (www.acme.example)"));
        assert!(is_bot(false, "Acme +acme.example"));
        assert!(is_bot(false, "Acme (someone@acme.example)"));
        assert!(!is_bot(false, "acme/1.0.0+build.5 (linux)"));
        assert!(!is_bot(false, "S3 Browser 8.6.7 https://acme.example"));
    }

    #[test]
    fn a_compatible_browser_without_a_system_is_a_bot() {
        let ua = "Mozilla/5.0 (compatible; Acme)";
        assert!(is_bot(false, ua));
        let bots = Bots::new().expect("the rules compile");
        assert!(!bots.is_bot(ua, false, true));
        assert!(!is_bot(false, "Mozilla/5.0"));
    }

    #[test]
    fn http_libraries_are_not_bots_even_if_uap_core_says_so() {
        assert!(!is_bot(true, "Java/17.0.1"));
        assert!(!is_bot(true, "Python-urllib/3.11"));
        assert!(!is_bot(true, "Acme/2 Google-HTTP-Java-Client/1.43 (gzip)"));
        assert!(!is_bot(false, "node-fetch/1.0 (+https://acme.example)"));
        assert!(is_bot(true, "Java/17 examplecrawler/1"));
    }

    #[test]
    fn uap_cores_spiders_are_bots() {
        assert!(is_bot(true, "facebookexternalhit/1.1"));
    }
}
