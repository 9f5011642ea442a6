//! Which user agents are programs that nobody sits in front of.
//!
//! uap-core's device family `Spider` is the base. It misses agents that are
//! newer than its list, so a few generic words add to it; and it counts some
//! plain HTTP libraries as spiders, which are clients to us: a request made
//! with one is somebody's integration, not a crawl of the site.

/// Words that make an agent a bot wherever they stand in it.
const ANYWHERE: [&str; 13] = [
    "crawl",
    "spider",
    "slurp",
    "headless",
    "monitor",
    "phantomjs",
    "lighthouse",
    "healthcheck",
    "health-check",
    "health check",
    "kube-probe",
    "googlehc/",
    "uptime",
];

/// HTTP libraries that uap-core calls spiders, as agents begin with them.
const LIBRARIES: [&str; 6] =
    ["java/", "python-urllib", "google-http-java-client", "http%20client", "winhttp", "apache-httpclient"];

/// Decides from uap-core's verdict and the agent's own words.
pub(super) fn is_bot(spider: bool, ua: &str) -> bool {
    let ua = ua.to_ascii_lowercase();
    if ANYWHERE.iter().any(|word| ua.contains(word)) || names_a_bot(&ua) {
        return true;
    }
    spider && !LIBRARIES.iter().any(|library| is_library(&ua, library))
}

/// Whether a word ends in "bot", as in `Googlebot/2.1` and `some-bot`. A word
/// that goes on ("bottle", "botocore") is no bot, and neither are the phones
/// called Cubot.
fn names_a_bot(ua: &str) -> bool {
    ua.match_indices("bot").any(|(at, _)| {
        let ends = !ua[at + 3..].starts_with(|c: char| c.is_ascii_alphabetic());
        ends && !ua[..at].ends_with("cu")
    })
}

/// Programs put their own name before the library's
/// (`Google-HTTP-Java-Client` after `AppName/1`), so both places count.
fn is_library(ua: &str, library: &str) -> bool {
    ua.starts_with(library)
        || ua.split(' ').any(|product| product.starts_with(library) && product.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::is_bot;

    #[test]
    fn words_of_bots_are_found_at_the_end_of_a_word_only() {
        assert!(is_bot(false, "Mozilla/5.0 (compatible; NewBot/1.0)"));
        assert!(is_bot(false, "acme-bot"));
        assert!(is_bot(false, "BOT"));
        assert!(!is_bot(false, "Boto3/1.34 botocore/1.34"));
        assert!(!is_bot(false, "bottle/0.12"));
        assert!(!is_bot(false, "Mozilla/5.0 (Linux; Android 9; CUBOT X19)"));
    }

    #[test]
    fn http_libraries_are_not_bots_even_if_uap_core_says_so() {
        assert!(!is_bot(true, "Java/17.0.1"));
        assert!(!is_bot(true, "Python-urllib/3.11"));
        assert!(!is_bot(true, "Acme/2 Google-HTTP-Java-Client/1.43 (gzip)"));
        assert!(is_bot(true, "Java/17 examplecrawler/1"));
    }

    #[test]
    fn uap_cores_spiders_are_bots() {
        assert!(is_bot(true, "facebookexternalhit/1.1"));
    }
}
