//! uap-core's own cases, as the `ua-parser` package carries them.

use serde::Deserialize;

use super::*;
use crate::enrich::bot::is_library;

/// Share of uap-core's expectations that have to be met.
const AGREEMENT: f64 = 0.99;

#[derive(Deserialize)]
struct File {
    test_cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    user_agent_string: String,
    family: String,
    brand: Option<String>,
}

fn cases(file: &str) -> Vec<Case> {
    let path = format!("{}/tests/{file}", env!("UAP_CORE"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let file: File = serde_yaml::from_str(&text).expect(&path);
    assert!(file.test_cases.len() > 100, "{path} holds but {} cases", file.test_cases.len());
    file.test_cases
}

/// Compares what was expected with what was got of each agent.
fn agree<T: PartialEq + std::fmt::Debug>(what: &str, pairs: impl Iterator<Item = (String, T, T)>) {
    let (mut all, mut wrong) = (0, Vec::new());
    for (ua, expected, got) in pairs {
        all += 1;
        if expected != got {
            wrong.push(format!("{ua}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    let share = 1.0 - wrong.len() as f64 / f64::from(all);
    assert!(share >= AGREEMENT, "{what}: {share:.4} of {all}\n{}", wrong.join("\n"));
}

/// Of an agent that uap-core does not know we may still know the program.
#[test]
fn browsers_are_those_that_uap_core_expects() {
    let agents = UserAgents::new().expect("the rules compile");
    let pairs = cases("test_ua.yaml").into_iter().map(|case| {
        let got = agents.facts(&case.user_agent_string).client;
        let expected = match &*case.family {
            "Other" => leading_product(&case.user_agent_string).map(Arc::from),
            family => Some(Arc::from(family)),
        };
        (case.user_agent_string, expected, got)
    });
    agree("browsers", pairs);
}

#[test]
fn systems_are_those_that_uap_core_expects() {
    let agents = UserAgents::new().expect("the rules compile");
    let pairs = cases("test_os.yaml").into_iter().map(|case| {
        let got = agents.facts(&case.user_agent_string).os;
        let expected = (case.family != "Other").then(|| Arc::from(case.family));
        (case.user_agent_string, expected, got)
    });
    agree("systems", pairs);
}

#[test]
fn devices_are_read_as_uap_core_expects() {
    let agents = UserAgents::new().expect("the rules compile");
    let pairs = cases("test_device.yaml").into_iter().map(|case| {
        let found = agents.rules.extractor.extract(&case.user_agent_string).2;
        let got = found.map_or(("Other".to_owned(), None), |found| {
            (found.device.trim().to_owned(), found.brand.map(|brand| brand.trim().to_owned()))
        });
        (case.user_agent_string, (case.family, case.brand), got)
    });
    agree("devices", pairs);
}

/// uap-core tells models apart and we tell classes; compared is what a model or
/// its brand says of the class. Most phones' say nothing.
#[test]
fn classes_of_devices_are_what_uap_cores_families_say() {
    let agents = UserAgents::new().expect("the rules compile");
    let pairs = cases("test_device.yaml").into_iter().filter_map(|case| {
        let expected = implied_class(&case)?;
        let got = agents.facts(&case.user_agent_string).device;
        Some((case.user_agent_string, Some(Arc::from(expected)), got))
    });
    agree("classes", pairs);
}

fn implied_class(case: &Case) -> Option<&'static str> {
    let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| case.family.starts_with(prefix));
    let brand = case.brand.as_deref().unwrap_or_default();
    if is(&["Spider"]) {
        // The deliberate difference: libraries are clients.
        return (!is_library(&case.user_agent_string.to_ascii_lowercase())).then_some("Bot");
    }
    if brand == "Generic_Inettv" || is(&["AppleTV", "HbbTV", "LG Google TV", "LG smartTV"]) {
        return Some("TV");
    }
    if is(&["PlayStation", "Xbox", "Nintendo"]) {
        return Some("Console");
    }
    if is(&["Apple Watch"]) {
        return Some("Wearable");
    }
    if brand == "Generic_Android_Tablet" || is(&["iPad", "Kindle", "Generic Tablet", "PlayBook"]) {
        return Some("Tablet");
    }
    is(&["iPhone", "iPod", "Generic Smartphone", "Generic Feature Phone"]).then_some("Mobile")
}

#[test]
fn devices_that_uap_core_knows_are_no_bots() {
    let agents = UserAgents::new().expect("the rules compile");
    let pairs = cases("test_device.yaml").into_iter().filter(|case| case.family != "Spider").map(|case| {
        let bot = agents.facts(&case.user_agent_string).bot;
        (case.user_agent_string, false, bot)
    });
    agree("bots", pairs);
}
