//! What a check says of itself, made fit to be stored: a target may have put anything into it.

use std::borrow::Cow;

use crate::LastCheck;

/// Longest message that is kept, bytes.
const LONGEST: usize = 4_096;

impl LastCheck {
    /// With a message that every database takes: of bounded length, and with spaces for
    /// control characters, but for the ends of lines. Postgres takes no NUL in a text.
    #[must_use]
    pub fn with_plain_message(mut self) -> Self {
        self.message = self.message.map(|message| match plain(&message) {
            Cow::Borrowed(_) => message,
            Cow::Owned(plain) => plain,
        });
        self
    }
}

fn plain(message: &str) -> Cow<'_, str> {
    let foreign = |c: char| c.is_control() && c != '\n';
    if message.len() <= LONGEST && !message.contains(foreign) {
        return Cow::Borrowed(message);
    }
    let mut plain = message[..message.floor_char_boundary(LONGEST)].replace(foreign, " ");
    if message.len() > LONGEST {
        plain.push('…');
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(message: &str) -> Option<String> {
        LastCheck { message: Some(message.into()), ..LastCheck::default() }.with_plain_message().message
    }

    #[test]
    fn control_characters_become_spaces_and_lines_stay() {
        assert_eq!(kept("a\0b\u{1b}[31m\r\nc\u{85}d").as_deref(), Some("a b [31m \nc d"));
        assert_eq!(kept("plain, é").as_deref(), Some("plain, é"));
    }

    #[test]
    fn a_message_ends() {
        let long = kept(&"é".repeat(LONGEST)).expect("a message");
        assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with("é…"), "{}", long.len());
    }
}
