//! Patterns as `filepath.Match` of Go has them, without separators: `*`, `?`,
//! `[a-z]`, `[^a-z]` and `\` before what is meant itself.

/// A pattern that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    pub text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Any,
    One,
    Char(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// # Errors
    /// What is wrong with the pattern.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' => {
                    if !matches!(parts.last(), Some(Part::Any)) {
                        parts.push(Part::Any);
                    }
                }
                '?' => parts.push(Part::One),
                '\\' => parts.push(Part::Char(chars.next().ok_or("a \\ must be followed by a character")?)),
                // Gatus takes slashes out of both sides, so they never matter.
                '/' => {}
                '[' => {
                    let negated = chars.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    loop {
                        let open = "a [ of a pattern must be closed by ]; write \\[ for the character itself";
                        let first = match chars.next().ok_or(open)? {
                            ']' if ranges.is_empty() => return Err("a [] of a pattern must name characters"),
                            ']' => break,
                            '\\' => chars.next().ok_or(open)?,
                            c => c,
                        };
                        let last = match chars.next_if_eq(&'-') {
                            Some(_) => chars.next().filter(|c| *c != ']').ok_or(open)?,
                            None => first,
                        };
                        if last < first {
                            return Err("a range of characters runs backwards");
                        }
                        ranges.push((first, last));
                    }
                    parts.push(Part::Class { negated, ranges });
                }
                c => parts.push(Part::Char(c)),
            }
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether the whole of `text` matches. Takes time of the order of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().filter(|c| *c != '/').collect();
        let (mut at, mut part) = (0, 0);
        // Where to go on when what follows the last `*` does not match.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    retry = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                Some(single) if text.get(at).is_some_and(|c| single.takes(*c)) => {
                    at += 1;
                    part += 1;
                    continue;
                }
                None if at == text.len() => return true,
                _ => {}
            }
            match retry {
                Some((next, from)) if from < text.len() => {
                    retry = Some((next, from + 1));
                    (part, at) = (next, from + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Char(own) => *own == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
        }
    }
}
