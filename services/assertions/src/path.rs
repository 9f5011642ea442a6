//! Paths into JSON: `.user.name`, `[0].id`, `.rows[2][0]`.

use serde_json::Value;

/// A path that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// # Errors
    /// What is wrong, and at which byte of `text`.
    pub fn new(text: &str) -> Result<Self, (usize, String)> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            if let Some(after) = rest.strip_prefix('[') {
                let (index, after) =
                    after.split_once(']').ok_or((at, "a [ of a path must be closed by ]".to_owned()))?;
                let index = index
                    .parse()
                    .map_err(|_| (at + 1, format!("`{index}` is not an index: write a number such as 0")))?;
                steps.push(Step::Index(index));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err((at, "a . of a path must be followed by a key".to_owned()));
                }
                steps.push(Step::Key(after[..end].to_owned()));
                rest = &after[end..];
            } else {
                return Err((at, "a path goes on with .key or [index]".to_owned()));
            }
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The value at this path, if there is one; as Gatus has it, `null` is none.
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let found = self.steps.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        });
        found.filter(|value| self.is_empty() || !value.is_null())
    }
}
