//! Why a channel did not take a message.

use std::time::Duration;

use crate::message::cut;

/// Longest text that is kept, characters.
const LONGEST: usize = 300;

/// Why a channel did not take a message. The text holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// What it said.
    pub error: String,
    /// Whether asking again is likely to bring the same answer.
    pub permanent: bool,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// A part of a message that a channel did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    /// Places of its items in the message.
    pub places: Vec<usize>,
    /// Why it was not taken.
    pub failure: Failure,
}

impl Failure {
    /// It may work next time.
    pub fn passing(error: impl Into<String>) -> Self {
        Self { error: error.into(), permanent: false, retry_after: None }
    }

    /// It will not work before somebody changes something.
    pub fn permanent(error: impl Into<String>) -> Self {
        Self { error: error.into(), permanent: true, retry_after: None }
    }

    /// Takes secrets out of the text, should a server have repeated them: as a whole, or of an address what
    /// a server sees of it. What is left is cut to what is worth keeping, so that no part of one stays at its end.
    pub fn without<'a>(mut self, secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut hidden: Vec<&str> = secrets.flat_map(parts).filter(|part| part.len() >= 4).collect();
        // The longest first, so that nothing of it is left by one that it contains.
        hidden.sort_by_key(|part| std::cmp::Reverse(part.len()));
        for part in hidden {
            self.error = self.error.replace(part, "…");
        }
        self.error = cut(&self.error, LONGEST);
        self
    }
}

/// A secret; if it is an address also its path and query, together and apart, and the last part of its path
/// if that is long enough for a secret.
fn parts(secret: &str) -> Vec<&str> {
    let mut parts = vec![secret];
    if let Some((_, rest)) = secret.split_once("://")
        && let Some(at) = rest.find(['/', '?'])
    {
        let asked = &rest[at..];
        let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
        parts.extend([asked, path, query]);
        parts.extend(path.trim_end_matches('/').rsplit('/').next().filter(|last| last.len() >= 8));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(error: &str, secret: &str) -> String {
        Failure::passing(error).without([secret].into_iter()).error
    }

    #[test]
    fn what_a_server_repeats_of_a_secret_address_is_hidden() {
        let secret = "https://hooks.example/services/T000/B000/s3cr3ts3cr3t?key=h1dden";
        for repeated in [
            secret,
            "/services/T000/B000/s3cr3ts3cr3t?key=h1dden",
            "/services/T000/B000/s3cr3ts3cr3t",
            "the hook s3cr3ts3cr3t",
            "a query of key=h1dden",
        ] {
            let kept = kept(&format!("Cannot POST {repeated}"), secret);
            assert!(kept.starts_with("Cannot POST "), "{kept}");
            assert!(!kept.contains("s3cr3t") && !kept.contains("h1dden"), "{kept}");
        }
    }

    #[test]
    fn no_part_of_a_secret_stays_where_a_long_text_is_cut() {
        let text = format!("{}s3cr3ts3cr3t and more", "x".repeat(LONGEST - 5));
        assert!(!kept(&text, "s3cr3ts3cr3t").contains("s3c"));
    }
}
