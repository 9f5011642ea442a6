//! JSON with the way to where one stands, so that every refusal names its field.

use std::ops::RangeInclusive;

use http::StatusCode;
use serde_json::{Map, Value};
use watchkeeper_runtime::error::ApiError;

/// A value of the request and its path, such as `panels[1].filters[0]`.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    path: String,
    value: &'a Value,
}

/// An object whose members are all known.
pub(crate) struct Object<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

impl<'a> Node<'a> {
    /// The whole request.
    pub fn root(value: &'a Value) -> Self {
        Self::at("", value)
    }

    /// A value that stands at `path`.
    pub fn at(path: impl Into<String>, value: &'a Value) -> Self {
        Self { path: path.into(), value }
    }

    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// 422 that names this field.
    pub fn fail(&self, message: impl Into<String>) -> ApiError {
        refuse(&self.path, message)
    }

    /// An object with no members but these.
    pub fn object(&self, known: &[&str]) -> Result<Object<'a>, ApiError> {
        let Value::Object(members) = self.value else {
            return Err(self.fail(format!("Must be an object with {}.", known.join(", "))));
        };
        if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(refuse(
                &join(&self.path, name),
                format!("There is no such field; those known here are {}.", known.join(", ")),
            ));
        }
        Ok(Object { path: self.path.clone(), members })
    }

    /// The items of a list of at most `most`.
    pub fn items(&self, most: usize) -> Result<Vec<Self>, ApiError> {
        let Value::Array(items) = self.value else { return Err(self.fail("Must be a list.")) };
        if items.len() > most {
            return Err(self.fail(format!("May have {most} items, this has {}.", items.len())));
        }
        let items = items.iter().enumerate();
        Ok(items.map(|(index, value)| Self::at(format!("{}[{index}]", self.path), value)).collect())
    }

    pub fn text(&self) -> Result<&'a str, ApiError> {
        self.value.as_str().ok_or_else(|| self.fail("Must be a text."))
    }

    pub fn flag(&self) -> Result<bool, ApiError> {
        self.value.as_bool().ok_or_else(|| self.fail("Must be true or false."))
    }

    pub fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, ApiError> {
        self.value.as_i64().filter(|number| range.contains(number)).ok_or_else(|| {
            self.fail(format!("Must be a whole number from {} to {}.", range.start(), range.end()))
        })
    }
}

impl<'a> Object<'a> {
    /// A member; `null` is as good as none.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(Node::at(join(&self.path, name), value))
    }

    /// 422 that names a member, also one that is missing.
    pub fn fail(&self, name: &str, message: impl Into<String>) -> ApiError {
        refuse(&join(&self.path, name), message)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn refuse(path: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(path)
}
