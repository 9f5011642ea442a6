//! What makes an address a robot's, beside its rate. The words are those of site-analytics.

/// Words of user agents, lower case.
const AGENT_WORDS: [&str; 3] = ["bot", "scan", "request"];

/// Words of host names, lower case.
const HOST_WORDS: [&str; 13] = [
    "bot",
    "scan",
    "surf",
    "spider",
    "crawl",
    "pool",
    "ip189",
    "amazon",
    "google",
    "bezeqint",
    "greenhousedata",
    "comcastbusiness",
    "dataprovider",
];

/// Requests a second from which a visit is a robot's.
pub(super) const ROBOT_RATE: f64 = 1.0;

/// Whether a user agent, possibly empty, gives a robot away.
pub fn agent_is_bot(agent: &str) -> bool {
    agent.is_empty() || has_word(agent, &AGENT_WORDS)
}

/// Whether the host name of an address gives a robot away.
pub fn host_is_bot(host: &str) -> bool {
    has_word(host, &HOST_WORDS)
}

fn has_word(text: &str, words: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_agent_and_one_with_a_word_of_robots_are_robots() {
        for agent in ["", "Googlebot/2.1", "masSCAN/1.3", "python-requests/2.32"] {
            assert!(agent_is_bot(agent), "{agent}");
        }
        for agent in ["Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0", "UA", "curl/8.5"] {
            assert!(!agent_is_bot(agent), "{agent}");
        }
    }

    #[test]
    fn a_host_name_with_a_word_of_robots_is_a_robots() {
        for host in ["crawl-1.example.com", "ec2-1.compute.AMAZONaws.com", "msnbot.search.example"] {
            assert!(host_is_bot(host), "{host}");
        }
        for host in ["dsl-1.provider.example", "example.com"] {
            assert!(!host_is_bot(host), "{host}");
        }
    }
}
