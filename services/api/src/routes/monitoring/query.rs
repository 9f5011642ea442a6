//! Parameters of a query and numbers of a path, as FastAPI reads them.

use std::{collections::HashMap, ops::RangeInclusive};

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde_json::{Value, json};

use super::{
    fields::{integer, word},
    problem::{FieldProblem, Problem},
};

/// Every parameter of a query; the last of a name counts.
pub(super) struct Params {
    values: HashMap<String, String>,
    problems: Vec<FieldProblem>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts).await
    }
}

impl Params {
    /// Reads the query.
    ///
    /// # Errors
    /// When it is none.
    pub async fn of(parts: &mut Parts) -> Result<Self, Problem> {
        let Query(values) = Query::from_request_parts(parts, &())
            .await
            .map_err(|refused| Problem::refused(refused.body_text()))?;
        Ok(Self { values, problems: Vec::new() })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn integer(&mut self, name: &str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(text) = self.values.get(name) else { return default };
        match integer(&Value::from(text.as_str()), &["query", name], range) {
            Ok(number) => number,
            Err(problem) => {
                self.problems.push(*problem);
                default
            }
        }
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let Some(text) = self.values.get(name) else { return false };
        word(text).unwrap_or_else(|| {
            let message = "Input should be a valid boolean, unable to interpret input";
            let input = text.as_str().into();
            self.problems.push(FieldProblem::new("bool_parsing", &["query", name], message, input));
            false
        })
    }

    /// A span by its name: `24h`, `7d` or `30d`.
    pub fn period(&mut self, default: Period) -> Period {
        let Some(text) = self.values.get("period") else { return default };
        Period::ALL.into_iter().find(|period| period.name() == text).unwrap_or_else(|| {
            let pattern = "^(24h|7d|30d)$";
            let message = format!("String should match pattern '{pattern}'");
            let problem = FieldProblem::new(
                "string_pattern_mismatch",
                &["query", "period"],
                message,
                text.as_str().into(),
            );
            self.problems.push(problem.context(json!({ "pattern": pattern })));
            default
        })
    }

    /// Notes what another part of the request has.
    pub fn add(&mut self, problem: FieldProblem) {
        self.problems.push(problem);
    }

    /// # Errors
    /// 422 when anything was wrong.
    pub fn done(&self) -> Result<(), Problem> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problem::fields(&self.problems)) }
    }
}

/// A span of time that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week,
    Month,
}

impl Period {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// Milliseconds.
    pub const fn length(self) -> i64 {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
        };
        days * watchkeeper_store::DAY_MS
    }
}

/// The number in a path; what is wrong with it is told together with the rest of the request.
pub(super) struct EndpointId(pub Result<i64, Box<FieldProblem>>);

impl EndpointId {
    /// Reads the number of an endpoint.
    pub fn read(text: &str) -> Self {
        Self(integer(&text.into(), &["path", "endpoint_id"], i64::MIN..=i64::MAX))
    }

    /// The number; a problem is noted among those of the parameters, which then give the answer.
    pub fn noted(self, params: &mut Params) -> i64 {
        self.0.unwrap_or_else(|problem| {
            params.add(*problem);
            0
        })
    }

    /// # Errors
    /// 422 when it is no number.
    pub fn get(self) -> Result<i64, Problem> {
        self.0.map_err(|problem| Problem::fields(&[*problem]))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for EndpointId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|refused| Problem::refused(refused.body_text()))?;
        Ok(Self::read(&text))
    }
}
