//! Whether a live object still is what was applied.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A short hash of any text.
#[must_use]
pub fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A short hash of a secret, for places where people can read it who may not read the secret: without
/// the salt, nobody can try passwords on it.
#[must_use]
pub fn salted(salt: &str, secret: &str) -> String {
    hash(&format!("{salt}\n{secret}"))
}

/// Whether everything that is wanted is there. What the API server or others have added
/// does not matter; what they have changed or removed does.
#[must_use]
pub fn holds(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted
            .iter()
            .all(|(key, value)| live.get(key).map_or_else(|| is_empty(value), |live| holds(value, live))),
        (Value::Array(wanted), Value::Array(live)) => all_held(wanted, live),
        (Value::Null, _) => true,
        (wanted, live) => wanted == live || same_quantity(wanted, live),
    }
}

/// The API server leaves out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Named things are found by name, for others may add to such lists; in all other
/// lists the place counts.
fn all_held(wanted: &[Value], live: &[Value]) -> bool {
    let named = !wanted.is_empty() && wanted.iter().all(|item| item["name"].is_string());
    if named {
        return wanted
            .iter()
            .all(|item| live.iter().any(|other| other["name"] == item["name"] && holds(item, other)));
    }
    wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| holds(wanted, live))
}

/// `1000m` and `1`, `1024Mi` and `1Gi`, 2 and "2" are the same.
fn same_quantity(wanted: &Value, live: &Value) -> bool {
    match (thousandths(wanted), thousandths(live)) {
        (Some(wanted), Some(live)) => wanted == live,
        _ => false,
    }
}

/// A quantity in thousandths, where it is one and fits.
fn thousandths(value: &Value) -> Option<i128> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    quantity(&text)
}

/// The thousandths of a Kubernetes quantity such as `10Gi`, `250m` or `1.5`.
#[must_use]
pub fn quantity(text: &str) -> Option<i128> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let scale: i128 = match suffix {
        "" => 1_000,
        "m" => 1,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut total = whole.parse::<i128>().ok()?.checked_mul(scale)?;
    let mut part = scale;
    for digit in fraction.bytes() {
        part /= 10;
        total += part * i128::from(digit - b'0');
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_is_no_difference_and_what_they_change_is() {
        let wanted = json!({"spec": {"replicas": 1, "list": [{"name": "a", "x": 1}], "none": []}});
        assert!(holds(
            &wanted,
            &json!({"spec": {"replicas": 1, "more": 2,
            "list": [{"name": "b"}, {"name": "a", "x": 1, "y": 2}]}, "status": {}})
        ));
        assert!(!holds(&wanted, &json!({"spec": {"replicas": 2, "list": [{"name": "a", "x": 1}]}})));
        assert!(!holds(&wanted, &json!({"spec": {"replicas": 1, "list": []}})));
        assert!(!holds(&wanted, &json!({"spec": {"replicas": 1}})));
    }

    #[test]
    fn in_lists_without_names_place_and_length_count() {
        assert!(holds(&json!([1, 2]), &json!([1, 2])));
        assert!(!holds(&json!([1, 2]), &json!([2, 1])));
        assert!(!holds(&json!([1]), &json!([1, 2])));
        assert!(!holds(&json!([]), &json!([1])));
    }

    #[test]
    fn a_quantity_is_the_same_however_it_is_written() {
        for (a, b) in [("1000m", "1"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("1500Mi", "1500Mi")] {
            assert!(holds(&json!(a), &json!(b)), "{a} {b}");
        }
        assert!(holds(&json!(2), &json!("2")));
        assert!(!holds(&json!("1Gi"), &json!("1G")));
        assert!(!holds(&json!("a"), &json!("b")));
    }

    #[test]
    fn hashes_are_stable() {
        assert_eq!(hash("a"), hash("a"));
        assert_ne!(hash("a"), hash("b"));
        assert_eq!(hash("").len(), 16);
        assert_eq!(salted("salt", "a"), salted("salt", "a"));
        assert_ne!(salted("salt", "a"), salted("salt", "b"));
        assert_ne!(salted("salt", "a"), salted("other", "a"));
    }
}
