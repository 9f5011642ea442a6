//! The rules of an endpoint's objective: they fire when its error budget burns too fast, stay quiet when
//! it does not, and end soon after it is over.

use std::fs;

use serde_json::{Value, json};
use watchkeeper_e2e::promtool;
use watchkeeper_operator::analytics_instance::build::slo_rules;
use watchkeeper_operator::analytics_instance::objectives::Objective;
use watchkeeper_testkit::rundir::RunDir;

const FAST: &str = "WatchkeeperErrorBudgetBurnsFast";
const SLOW: &str = "WatchkeeperErrorBudgetBurnsSlowly";
const ONE: &str = "probe_success{namespace=\"web\",endpoint=\"front\",instance=\"one\"}";
const TWO: &str = "probe_success{namespace=\"web\",endpoint=\"front\",instance=\"two\"}";
const PLANNED: &str =
    "watchkeeper_endpoint_failed_in_maintenance{namespace=\"web\",endpoint=\"front\",instance=\"one\"}";

fn rules(target: &str, budget_ppm: u32, days: u32) -> Value {
    let objective = Objective {
        namespace: "web".to_owned(),
        name: "front".to_owned(),
        target: target.to_owned(),
        budget_ppm,
        days,
    };
    json!({ "groups": slo_rules(&objective, "web/shop") })
}

/// Both alerts by name.
pub fn alerts() -> Vec<(String, Value)> {
    alerts_of(&rules("99.9", 1_000, 30))
}

fn alerts_of(rules: &Value) -> Vec<(String, Value)> {
    let all = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    all.filter_map(|rule| Some((rule["alert"].as_str()?.to_owned(), rule.clone()))).collect()
}

/// A test of series at one sample a minute: whether each alert fires at a moment. What it says depends
/// on whether a window holds both of its ends, which versions of Prometheus see differently.
fn case(rules: &Value, series: &[(&str, &str)], at: &str, fires: [bool; 2]) -> Value {
    let series: Vec<Value> =
        series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let tests: Vec<Value> = [FAST, SLOW]
        .iter()
        .zip(fires)
        .map(|(name, fires)| {
            let (_, rule) = alerts_of(rules).into_iter().find(|(found, _)| found == name).unwrap();
            let mut labels = vec![format!("alertname=\"{name}\""), "alertstate=\"firing\"".to_owned()];
            let own = rule["labels"].as_object().unwrap().iter();
            labels.extend(own.map(|(key, value)| format!("{key}={value}")));
            let expected =
                fires.then(|| json!({"labels": format!("ALERTS{{{}}}", labels.join(",")), "value": 1}));
            json!({"expr": format!("ALERTS{{alertname=\"{name}\"}}"), "eval_time": at,
                "exp_samples": expected.into_iter().collect::<Vec<_>>()})
        })
        .collect();
    json!({"interval": "1m", "input_series": series, "promql_expr_test": tests})
}

fn judge(rules: &Value, tests: &[Value]) -> (bool, String) {
    let directory = RunDir::new("objectives").unwrap();
    let file = directory.path().join("rules.yaml");
    fs::write(&file, rules.to_string()).unwrap();
    let (good, said) = promtool::check_rules([&file]).unwrap();
    assert!(good, "{said}");
    let text = json!({"rule_files": [&file], "evaluation_interval": "1m", "tests": tests});
    let tests = directory.path().join("tests.yaml");
    fs::write(&tests, text.to_string()).unwrap();
    promtool::test_rules(&tests).unwrap()
}

#[test]
fn an_outage_is_told_within_minutes_and_its_end_within_the_short_window() {
    let rules = rules("99.9", 1_000, 30);
    let outage = [(ONE, "1x360 0x19 1x100")];
    let tests = [
        case(&rules, &outage, "360m", [false, false]),
        // Ten of the sixty checks of an hour.
        case(&rules, &outage, "370m", [true, true]),
        // Half an hour after the end nothing of it is in the short windows of what pages.
        case(&rules, &outage, "412m", [false, true]),
    ];
    let (good, said) = judge(&rules, &tests);
    assert!(good, "{said}");
}

#[test]
fn a_slow_burn_is_told_and_pages_nobody_and_what_the_budget_allows_is_quiet() {
    let rules = rules("99.9", 1_000, 30);
    // One check in 200 fails: five times what may, over three days.
    let burning = format!("{} 1x60", "1x198 0 ".repeat(22).trim_end());
    // Two in three days: less than half of what may.
    let fine = "1x2000 0 1x2100 0 1x400";
    let tests = [
        case(&rules, &[(ONE, &burning)], "4380m", [false, true]),
        case(&rules, &[(ONE, fine)], "4400m", [false, false]),
    ];
    let (good, said) = judge(&rules, &tests);
    assert!(good, "{said}");
}

#[test]
fn a_replica_that_takes_over_goes_on_where_the_other_ended() {
    let rules = rules("99.9", 1_000, 30);
    let series = [(ONE, "1x350 _x100"), (TWO, "_x350 1x9 0x90")];
    // Whose samples there are counts, not how many series.
    let (good, said) = judge(&rules, &[case(&rules, &series, "370m", [true, true])]);
    assert!(good, "{said}");
}

#[test]
fn failures_in_maintenance_spend_nothing_and_those_after_it_do() {
    let rules = rules("99.9", 1_000, 30);
    let planned = [(ONE, "1x360 0x39 1x100"), (PLANNED, "0x360 1x39 0x100")];
    let longer = [(ONE, "1x360 0x99"), (PLANNED, "0x360 1x39 0x59")];
    let tests = [
        case(&rules, &planned, "370m", [false, false]),
        case(&rules, &planned, "420m", [false, false]),
        // An outage that outlasts its window, ten minutes after that.
        case(&rules, &longer, "410m", [true, true]),
    ];
    let (good, said) = judge(&rules, &tests);
    assert!(good, "{said}");
}

#[test]
fn one_failure_after_a_long_maintenance_is_one_failure() {
    let rules = rules("99", 10_000, 30);
    let series = [(ONE, "1x299 0x91 1x60"), (PLANNED, "0x299 1x90 0x61")];
    let (good, said) = judge(&rules, &[case(&rules, &series, "393m", [false, false])]);
    assert!(good, "{said}");
}

/// Expects so much of the budget to be left at a moment, and nothing else to be said of it.
fn left(at: &str, value: f64) -> Value {
    let expr =
        "round(watchkeeper:slo_error_budget_remaining:ratio{namespace=\"web\",endpoint=\"front\"}, 0.1)";
    let labels = "{namespace=\"web\",endpoint=\"front\",installation=\"web/shop\"}";
    json!({"expr": expr, "eval_time": at, "exp_samples": [{"labels": labels, "value": value}]})
}

#[test]
fn what_is_left_of_a_budget_is_recorded() {
    let rules = rules("99", 10_000, 7);
    let test = |values: &str, value: f64| {
        json!({"interval": "1m", "input_series": [{"series": ONE, "values": values}],
            "promql_expr_test": [left("200m", value)]})
    };
    let (good, said) = judge(&rules, &[test("1x300", 1.0), test("0x300", -99.0)]);
    assert!(good, "{said}");
}

#[test]
fn what_another_instance_left_of_an_endpoint_keeps_no_rule_from_working() {
    let rules = rules("99", 10_000, 7);
    let of_before = |window: &str| {
        let labels = r#"namespace="web",endpoint="front",installation="web/old""#;
        format!("watchkeeper:slo_errors:ratio{{{labels},window=\"{window}\"}}")
    };
    let left_behind = ["2m", "7m", "14m", "84m", "28m", "336m", "1008m"].map(of_before);
    let mut series: Vec<(&str, &str)> = left_behind.iter().map(|series| (series.as_str(), "1x300")).collect();
    series.push((ONE, "0x300"));
    let mut outage = case(&rules, &series, "200m", [true, true]);
    // Rules that give the same labels twice are an error of their own.
    outage["promql_expr_test"].as_array_mut().unwrap().push(left("200m", -99.0));
    series.pop();
    series.push((ONE, "1x300"));
    let (good, said) = judge(&rules, &[outage, case(&rules, &series, "200m", [false, false])]);
    assert!(good, "{said}");
}

#[test]
fn a_test_that_expects_the_opposite_fails() {
    let rules = rules("99.9", 1_000, 30);
    let (good, _) = judge(&rules, &[case(&rules, &[(ONE, "1x360 0x100")], "370m", [false, false])]);
    assert!(!good);
}
