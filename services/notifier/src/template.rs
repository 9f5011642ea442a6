//! Templates of messages: known placeholders in braces are replaced, and nothing
//! else means anything, so that JSON stands in a template as it is.

use crate::message::Message;

/// Placeholders and what they stand for.
pub type Values = Vec<(&'static str, String)>;

/// What placeholders stand for in a message: of its first endpoint, where a
/// message has several.
pub fn values(message: &Message) -> Values {
    let item = message.items.first();
    let text = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
    let names: Vec<&str> = message.items.iter().map(|item| item.name.as_str()).collect();
    vec![
        ("endpoint_name", names.join(", ")),
        ("url", text(item.map(|item| item.target.clone()), "")),
        ("error", text(item.and_then(|item| item.message.clone()), "Unknown error")),
        ("status_code", text(item.and_then(|item| item.status).map(|status| status.to_string()), "N/A")),
        ("response_time", text(item.and_then(|item| item.duration_us).map(seconds), "N/A")),
        ("timestamp", text(item.map(crate::message::Item::time), "")),
        ("kind", message.kind.as_str().to_owned()),
        ("state", text(item.map(|item| item.to.as_str().to_owned()), "")),
        ("previous_state", text(item.map(|item| item.from.as_str().to_owned()), "")),
        ("reference", text(item.map(|item| item.reference.clone()), "")),
        ("group", text(item.and_then(|item| item.group.clone()), "")),
        ("count", message.items.len().to_string()),
        ("title", message.title()),
        ("text", message.text()),
        ("delivery", message.delivery.clone()),
    ]
}

/// Seconds to the millisecond.
fn seconds(us: i64) -> String {
    format!("{}.{:03}", us / 1_000_000, us / 1_000 % 1_000)
}

/// Fills a template in. As JSON, values are escaped, and doubled braces mean
/// single ones only where the result is no JSON otherwise; `None` when it is none
/// then either.
pub fn fill(template: &str, values: &Values, json: bool) -> Option<String> {
    if !json {
        return Some(replace(template, values, |value| value.to_owned()));
    }
    let escape = |value: &str| {
        let quoted = serde_json::Value::from(value).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let is_json = |text: &String| serde_json::from_str::<serde_json::Value>(text).is_ok();
    let plain = replace(template, values, escape);
    if is_json(&plain) {
        return Some(plain);
    }
    // Before the values come in: braces of theirs are not the template's.
    let single = template.replace("{{", "{").replace("}}", "}");
    Some(replace(&single, values, escape)).filter(is_json)
}

/// A template of text filled in, if there is one, with values as `write` writes them.
pub fn text(template: Option<&str>, message: &Message, write: impl Fn(&str) -> String) -> Option<String> {
    template.map(|template| replace(template, &values(message), write))
}

/// One pass from left to right, so that a value that looks like a placeholder stays what it is.
fn replace(template: &str, values: &Values, write: impl Fn(&str) -> String) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let known = values.iter().find_map(|(name, value)| {
            let after = from.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?;
            Some((value, after))
        });
        match known {
            Some((value, after)) => {
                filled.push_str(&write(value));
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(error: &str) -> Values {
        vec![("endpoint_name", "shop".into()), ("error", error.into())]
    }

    #[test]
    fn json_stands_in_a_template_as_it_is_and_values_are_escaped() {
        let template = r#"{"blocks": [{"text": {"type": "mrkdwn", "text": "{endpoint_name}: {error}"}}]}"#;
        let filled = fill(template, &sample("said \"no\"\n{endpoint_name}"), true).expect("JSON");
        let parsed: serde_json::Value = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(parsed["blocks"][0]["text"]["text"], "shop: said \"no\"\n{endpoint_name}");
    }

    #[test]
    fn doubled_braces_are_single_ones_where_json_needs_it() {
        let filled = fill(r#"{{"text": "{endpoint_name}"}}"#, &sample("x"), true).expect("JSON");
        assert_eq!(filled, r#"{"text": "shop"}"#);
    }

    #[test]
    fn what_becomes_no_json_is_told_and_what_need_not_is_taken() {
        assert_eq!(fill("{endpoint_name} is down", &sample("x"), true), None);
        assert_eq!(fill("{endpoint_name} is {down}", &sample("x"), false).as_deref(), Some("shop is {down}"));
    }
}
