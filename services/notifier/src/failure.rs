//! Why a channel did not take a message.

use std::time::Duration;

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

impl Failure {
    /// It may work next time.
    pub fn passing(error: impl Into<String>) -> Self {
        Self { error: error.into(), permanent: false, retry_after: None }
    }

    /// It will not work before somebody changes something.
    pub fn permanent(error: impl Into<String>) -> Self {
        Self { error: error.into(), permanent: true, retry_after: None }
    }

    /// Takes secrets out of the text, should a server have repeated them.
    pub fn without<'a>(mut self, secrets: impl Iterator<Item = &'a str>) -> Self {
        for secret in secrets.filter(|secret| secret.len() >= 4) {
            self.error = self.error.replace(secret, "…");
        }
        self
    }
}
