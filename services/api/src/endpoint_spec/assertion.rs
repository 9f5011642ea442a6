//! Assertions: the parts of one become its text, and every text is understood
//! before it is kept.

use watchkeeper_assertions::{literal, parse};
use watchkeeper_crds::monitored_endpoint::{AssertionComparison, AssertionSource, AssertionSpec, Severity};
use watchkeeper_store::Assertion;

use super::SpecError;

/// The assertions of a specification.
pub(super) fn assertions(specs: &[AssertionSpec]) -> Result<Vec<Assertion>, SpecError> {
    specs.iter().enumerate().map(|(index, spec)| assertion(index, spec)).collect()
}

fn assertion(index: usize, spec: &AssertionSpec) -> Result<Assertion, SpecError> {
    let fault =
        |part: &str, message: String| SpecError { field: format!("spec.assertions[{index}]{part}"), message };
    let condition = match &spec.condition {
        Some(text) => text.clone(),
        None => {
            text(spec).ok_or_else(|| fault("", "set either condition or source with comparison".into()))?
        }
    };
    let part = if spec.condition.is_some() { ".condition" } else { "" };
    parse(&condition).map_err(|error| fault(part, error.to_string()))?;
    let severity = match spec.severity {
        Severity::Down => watchkeeper_store::Severity::Down,
        Severity::Degraded => watchkeeper_store::Severity::Degraded,
    };
    Ok(Assertion { condition, severity })
}

/// The text of an assertion that is given by its parts.
fn text(spec: &AssertionSpec) -> Option<String> {
    let property = spec.property.as_deref().unwrap_or_default();
    let left = match spec.source? {
        AssertionSource::Status => "[STATUS]".into(),
        AssertionSource::Header => format!("[HEADER].{property}"),
        AssertionSource::Body if property.is_empty() || property.starts_with(['.', '[']) => {
            format!("[BODY]{property}")
        }
        AssertionSource::Body => format!("[BODY].{property}"),
        AssertionSource::BodySize => "[BODY_SIZE]".into(),
        AssertionSource::ResponseTime => "[RESPONSE_TIME]".into(),
        AssertionSource::CertificateExpiration => "[CERTIFICATE_EXPIRATION]".into(),
        AssertionSource::DomainExpiration => "[DOMAIN_EXPIRATION]".into(),
        AssertionSource::Connected => "[CONNECTED]".into(),
        AssertionSource::Ip => "[IP]".into(),
        AssertionSource::DnsRcode => "[DNS_RCODE]".into(),
    };
    let target = spec.target.as_deref().unwrap_or_default();
    Some(match spec.comparison? {
        AssertionComparison::Equals => format!("{left} == {}", literal(target)),
        AssertionComparison::NotEquals => format!("{left} != {}", literal(target)),
        AssertionComparison::LessThan => format!("{left} < {}", literal(target)),
        AssertionComparison::AtMost => format!("{left} <= {}", literal(target)),
        AssertionComparison::GreaterThan => format!("{left} > {}", literal(target)),
        AssertionComparison::AtLeast => format!("{left} >= {}", literal(target)),
        AssertionComparison::Contains => {
            format!("{left} == regex({})", watchkeeper_assertions::escape(target))
        }
        AssertionComparison::NotContains => {
            format!("{left} != regex({})", watchkeeper_assertions::escape(target))
        }
        AssertionComparison::Matches => format!("{left} == regex({target})"),
        AssertionComparison::NotMatches => format!("{left} != regex({target})"),
        AssertionComparison::Exists => format!("has({left}) == true"),
        AssertionComparison::Absent => format!("has({left}) == false"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(spec: Value) -> Result<Assertion, SpecError> {
        assertion(0, &serde_json::from_value(spec).expect("an assertion"))
    }

    #[test]
    fn parts_become_a_text() {
        for (spec, text) in [
            (json!({"source": "Status", "comparison": "Equals", "target": "200"}), "[STATUS] == 200"),
            (
                json!({"source": "ResponseTime", "comparison": "LessThan", "target": "300ms"}),
                "[RESPONSE_TIME] < 300ms",
            ),
            (
                json!({"source": "Header", "property": "Content-Type", "comparison": "Contains", "target": "a+b"}),
                "[HEADER].Content-Type == regex(a\\+b)",
            ),
            (
                json!({"source": "Body", "property": "items[0].id", "comparison": "Exists"}),
                "has([BODY].items[0].id) == true",
            ),
            (
                json!({"source": "DomainExpiration", "comparison": "GreaterThan", "target": "720h"}),
                "[DOMAIN_EXPIRATION] > 720h",
            ),
            (json!({"source": "Body", "comparison": "Equals", "target": "a, b"}), "[BODY] == lit(\"a, b\")"),
        ] {
            assert_eq!(read(spec).expect(text).condition, text);
        }
    }

    #[test]
    fn mistakes_name_the_field_the_place_and_the_fix() {
        let error = read(json!({"condition": "[STATE] == 200"})).expect_err("unknown");
        assert_eq!(error.field, "spec.assertions[0].condition");
        assert!(
            error.message.starts_with("at character 1: [STATE] is not known; there are [STATUS]"),
            "{error}"
        );
        let error =
            read(json!({"source": "Body", "comparison": "Matches", "target": "a["})).expect_err("regex");
        assert!(error.message.contains("regular expression"), "{error}");
    }
}
