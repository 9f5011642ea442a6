//! What is true of a single hit: its value of a dimension, and whether it meets a condition.

use std::collections::HashMap;

use watchkeeper_store::{AddressFacts, Hit};

use crate::{
    AskError, Condition, Dimension, Field, Value,
    calendar::Calendar,
    derive::{domain, referrer_host, version},
    text_test::{compare, text_test},
};

/// What is known of addresses.
pub(crate) type Facts = HashMap<String, AddressFacts>;

/// The value of a dimension of a hit.
pub(crate) fn value(dimension: Dimension, hit: &Hit, facts: &Facts, calendar: &Calendar) -> Value {
    fn text(text: Option<&str>) -> Value {
        text.map_or(Value::Unknown, Value::text)
    }
    let late = || hit.ip.as_ref().and_then(|ip| facts.get(ip));
    match dimension {
        Dimension::Time(bucket) => Value::Number(calendar.bucket(hit.ts, bucket).0),
        Dimension::HourOfDay => Value::Number(calendar.hour_and_weekday(hit.ts).0),
        Dimension::Weekday => Value::Number(calendar.hour_and_weekday(hit.ts).1),
        Dimension::Source => text(hit.source.as_deref()),
        Dimension::Method => text(hit.method.as_deref()),
        Dimension::Host => text(hit.host.as_deref()),
        Dimension::Path => text(hit.path.as_deref()),
        Dimension::Query => text(hit.query.as_deref()),
        Dimension::Route => text(hit.route.as_deref().or(hit.path.as_deref())),
        Dimension::Version => text(hit.path.as_deref().and_then(version)),
        Dimension::Status => hit.status.map_or(Value::Unknown, |status| Value::Number(status.into())),
        Dimension::StatusClass => {
            hit.status.map_or(Value::Unknown, |status| Value::text(format!("{}xx", status.div_euclid(100))))
        }
        Dimension::HttpVersion => text(hit.http_version.as_deref()),
        Dimension::Ip => text(hit.ip.as_deref()),
        Dimension::UserAgent => text(hit.user_agent.as_deref()),
        Dimension::User => text(hit.user.as_deref()),
        Dimension::Consumer => text(hit.user.as_deref().or(hit.ip.as_deref())),
        Dimension::Referrer => text(hit.referrer.as_deref()),
        Dimension::ReferrerHost => text(hit.referrer.as_deref().and_then(referrer_host)),
        Dimension::Country => text(hit.country.as_deref()),
        Dimension::Framework => text(hit.framework.as_deref()),
        Dimension::Client => text(hit.client.as_deref()),
        Dimension::Os => text(hit.os.as_deref()),
        Dimension::Device => text(hit.device.as_deref()),
        Dimension::Bot => hit.bot.map_or(Value::Unknown, |flag| Value::text(flag.to_string())),
        Dimension::Home => hit.home.map_or(Value::Unknown, |flag| Value::text(flag.to_string())),
        Dimension::Log => text(hit.log.as_deref()),
        Dimension::City => text(late().and_then(|facts| facts.city.as_deref())),
        Dimension::Region => text(late().and_then(|facts| facts.region.as_deref())),
        Dimension::AddressHost => text(late().and_then(|facts| facts.host.as_deref())),
        Dimension::AddressDomain => text(late().and_then(|facts| facts.host.as_deref()).map(domain)),
        Dimension::AddressClass => {
            text(late().and_then(|facts| facts.bot).map(|bot| if bot { "bot" } else { "user" }))
        }
    }
}

/// A compiled condition.
pub(crate) type Matcher = Box<dyn Fn(&Hit, &dyn Fn(Dimension) -> Value) -> bool + Send + Sync>;

/// Compiles a condition.
///
/// # Errors
/// When an expression is malformed or too large.
pub(crate) fn matcher(condition: &Condition) -> Result<Matcher, AskError> {
    Ok(match condition {
        Condition::All(all) => {
            let all = all.iter().map(matcher).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |hit, value| all.iter().all(|one| one(hit, value)))
        }
        Condition::Any(any) => {
            let any = any.iter().map(matcher).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |hit, value| any.iter().any(|one| one(hit, value)))
        }
        Condition::Not(condition) => {
            let inner = matcher(condition)?;
            Box::new(move |hit, value| !inner(hit, value))
        }
        Condition::Text { dimension, test, ignore_case } => {
            let (dimension, test) = (*dimension, text_test(test, *ignore_case)?);
            Box::new(move |_, value| match value(dimension) {
                Value::Unknown => test(None),
                known => test(Some(&known.to_string())),
            })
        }
        Condition::Number { field, comparison, value } => {
            let (field, comparison, wanted) = (*field, *comparison, *value);
            Box::new(move |hit, _| {
                number_of(field, hit).is_some_and(|found| compare(found, comparison, wanted))
            })
        }
    })
}

#[allow(clippy::cast_precision_loss)] // sizes and times stay far below 2^53
fn number_of(field: Field, hit: &Hit) -> Option<f64> {
    match field {
        Field::Status => hit.status.map(f64::from),
        Field::Duration => hit.duration_us.map(|us| us as f64 / 1_000.0),
        Field::RequestBytes => hit.request_bytes.map(|bytes| bytes as f64),
        Field::ResponseBytes => hit.response_bytes.map(|bytes| bytes as f64),
    }
}
