//! Patterns with wildcards: `*` and `?` of globs, `%` and `_` of SQL's `LIKE`. They are walked along
//! and not compiled, so that they take no more memory than their text.

use std::str::Chars;

/// A pattern that a whole text has to fit.
#[derive(Debug)]
pub(crate) struct Wildcards {
    parts: Vec<Part>,
    ignore_case: bool,
}

#[derive(Debug)]
enum Part {
    /// Any characters, or none.
    Many,
    /// Any character.
    One,
    /// This character.
    Exactly(char),
}

impl Wildcards {
    /// A glob. Only `*` and `?` are special: brackets and braces are ordinary in paths.
    pub fn glob(pattern: &str, ignore_case: bool) -> Self {
        let parts = pattern.chars().map(|character| match character {
            '*' => Part::Many,
            '?' => Part::One,
            other => Part::Exactly(other),
        });
        Self { parts: parts.collect(), ignore_case }
    }

    /// A pattern of SQL's `LIKE`, with `\` before what is no wildcard.
    pub fn like(pattern: &str, ignore_case: bool) -> Self {
        let mut characters = pattern.chars();
        let next = || {
            Some(match characters.next()? {
                '%' => Part::Many,
                '_' => Part::One,
                '\\' => Part::Exactly(characters.next().unwrap_or('\\')),
                other => Part::Exactly(other),
            })
        };
        Self { parts: std::iter::from_fn(next).collect(), ignore_case }
    }

    /// Whether a whole text fits.
    pub fn fit(&self, text: &str) -> bool {
        let (mut rest, mut parts) = (text.chars(), self.parts.as_slice());
        // Where to go on, one character later each time, when what follows the last `Many` does not
        // fit. One before it needs no other try: the first place that fits leaves most to the rest.
        let mut again: Option<(Chars<'_>, &[Part])> = None;
        loop {
            match parts {
                [Part::Many] => return true,
                [Part::Many, after @ ..] => {
                    again = Some((rest.clone(), after));
                    parts = after;
                    continue;
                }
                [part, after @ ..] => {
                    let mut ahead = rest.clone();
                    if ahead.next().is_some_and(|character| self.fits(part, character)) {
                        (rest, parts) = (ahead, after);
                        continue;
                    }
                }
                [] if rest.as_str().is_empty() => return true,
                [] => {}
            }
            let Some((from, after)) = &mut again else { return false };
            if from.next().is_none() {
                return false;
            }
            (rest, parts) = (from.clone(), *after);
        }
    }

    fn fits(&self, part: &Part, character: char) -> bool {
        match part {
            Part::Many | Part::One => true,
            Part::Exactly(wanted) => {
                *wanted == character || self.ignore_case && wanted.to_lowercase().eq(character.to_lowercase())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_text_fits_a_pattern() {
        let glob = |pattern, text| Wildcards::glob(pattern, false).fit(text);
        assert!(glob("/a/*/c", "/a/b/d/c") && glob("*", "") && glob("", "") && glob("*.com", "a.com.com"));
        assert!(!glob("/a/*/c", "/a/c") && !glob("?", "") && !glob("a", "ab") && !glob("[ab]", "a"));
        assert!(glob("a?c", "aéc") && glob("a*c", "a\nc") && glob("[id]", "[id]"));
        let like = |pattern, text| Wildcards::like(pattern, false).fit(text);
        assert!(like("/a%", "/ab") && like("a_c", "abc") && like(r"100\%", "100%") && like("\\", "\\"));
        assert!(!like(r"100\%", "1000") && !like("_", ""));
        assert!(Wildcards::glob("É*", true).fit("éa") && !Wildcards::glob("É*", false).fit("éa"));
    }

    /// What a pattern means, tried in every way.
    fn means(parts: &[Part], text: &[char]) -> bool {
        match parts {
            [] => text.is_empty(),
            [Part::Many, rest @ ..] => (0..=text.len()).any(|from| means(rest, &text[from..])),
            [part, rest @ ..] => text.split_first().is_some_and(|(first, text)| {
                (matches!(part, Part::One) || matches!(part, Part::Exactly(it) if it == first))
                    && means(rest, text)
            }),
        }
    }

    proptest! {
        #[test]
        fn walking_along_finds_what_trying_every_way_does(pattern in "[ab*?]{0,9}", text in "[ab]{0,12}") {
            let wildcards = Wildcards::glob(&pattern, false);
            let characters: Vec<char> = text.chars().collect();
            prop_assert_eq!(wildcards.fit(&text), means(&wildcards.parts, &characters));
        }
    }
}
