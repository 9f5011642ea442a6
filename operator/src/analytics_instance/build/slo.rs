//! PrometheusRules for the endpoints that have an objective: alerts on how fast an error budget burns,
//! each over a long window, which makes it sure, and a short one, which ends it soon. Windows and
//! factors are those of the Site Reliability Workbook (chapter 5, "multiwindow, multi-burn-rate
//! alerts") for 30 days, and scale with the window of the objective.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::analytics_instance::objectives::Objective;
use crate::analytics_instance::plan::Plan;
use crate::foreign::{PrometheusRule, PrometheusRuleSpec, Rule, RuleGroup};

/// Endpoints of one object: the Prometheus operator puts each into a ConfigMap, and takes half a MiB for
/// one. With the longest names there are, the rules of an endpoint have some 22 KB.
const ENDPOINTS: usize = 20;
/// The days for which the workbook gives its windows.
const WORKBOOK_DAYS: u32 = 30;
/// What is recorded of each endpoint and window.
const ERRORS: &str = "watchkeeper:slo_errors:ratio";

/// One way in which a budget burns too fast.
struct Burn {
    /// How many times faster than it may, in tenths.
    factor: u32,
    /// Minutes of the long window.
    long: u32,
    /// Minutes of the short one.
    short: u32,
}

/// 2 % of the budget in an hour, or 5 % in six.
const FAST: [Burn; 2] = [Burn { factor: 144, long: 60, short: 5 }, Burn { factor: 60, long: 360, short: 30 }];
/// 10 % in a day, or as much in three.
const SLOW: [Burn; 2] =
    [Burn { factor: 30, long: 1_440, short: 120 }, Burn { factor: 10, long: 4_320, short: 360 }];

/// What one PrometheusRule is made of. Written out, those of thousands of endpoints have tens of megabytes,
/// so that each is written only while it is needed.
#[derive(Debug, Clone, PartialEq)]
pub struct SloRules {
    /// Name, labels and owner of the object.
    pub metadata: ObjectMeta,
    objectives: Vec<Objective>,
    installation: String,
}

impl SloRules {
    /// The object.
    #[must_use]
    pub fn write(&self) -> PrometheusRule {
        let groups =
            self.objectives.iter().flat_map(|objective| rules(objective, &self.installation)).collect();
        PrometheusRule { metadata: self.metadata.clone(), spec: PrometheusRuleSpec { groups } }
    }
}

pub fn build(plan: &Plan) -> Vec<SloRules> {
    let asked = &plan.spec.observability.prometheus_rule;
    if !asked.enabled {
        return Vec::new();
    }
    let installation = format!("{}/{}", plan.namespace, plan.name);
    let chunks = plan.objectives.chunks(ENDPOINTS).enumerate();
    chunks
        .map(|(index, objectives)| {
            let name = match index {
                0 => plan.child_name("slo"),
                _ => plan.child_name(&format!("slo-{}", index + 1)),
            };
            let mut metadata = plan.meta(name, "slo");
            // The schema keeps these away from the operator's own.
            metadata.labels.get_or_insert_default().extend(asked.labels.clone());
            SloRules { metadata, objectives: objectives.to_vec(), installation: installation.clone() }
        })
        .collect()
}

/// The rules of one endpoint. What changes slowly is asked for less often.
#[must_use]
pub fn rules(objective: &Objective, installation: &str) -> [RuleGroup; 2] {
    let rules = Rules { objective, installation };
    let fast: BTreeSet<u32> = rules.windows(&FAST);
    let slow: BTreeSet<u32> = rules.windows(&SLOW).difference(&fast).copied().collect();
    let records = |windows: &BTreeSet<u32>| windows.iter().map(|window| rules.errors(*window)).collect();
    let mut soon: Vec<Rule> = records(&fast);
    soon.insert(0, rules.target());
    soon.extend(rules.alert(
        "WatchkeeperErrorBudgetBurnsFast",
        "critical",
        &FAST,
        "At this rate the error budget is gone within days. Somebody should look now.",
    ));
    let mut late: Vec<Rule> = records(&slow);
    late.push(rules.remaining(fast.first().copied().unwrap_or(MINUTES)));
    late.extend(rules.alert(
        "WatchkeeperErrorBudgetBurnsSlowly",
        "warning",
        &SLOW,
        "At this rate the objective will be missed. Somebody should look during working hours.",
    ));
    let (namespace, name) = (&objective.namespace, &objective.name);
    [
        RuleGroup { name: format!("watchkeeper-slo/{namespace}/{name}"), interval: None, rules: soon },
        RuleGroup {
            name: format!("watchkeeper-slo-slow/{namespace}/{name}"),
            interval: Some("2m".to_owned()),
            rules: late,
        },
    ]
}

/// The shortest window that holds a few scrapes.
const MINUTES: u32 = 2;

struct Rules<'a> {
    objective: &'a Objective,
    installation: &'a str,
}

impl Rules<'_> {
    /// A window of the workbook, in minutes, for the window of this objective.
    fn scaled(&self, minutes: u32) -> u32 {
        ((minutes * self.objective.days + WORKBOOK_DAYS / 2) / WORKBOOK_DAYS).max(MINUTES)
    }

    fn windows(&self, burns: &[Burn]) -> BTreeSet<u32> {
        burns.iter().flat_map(|burn| [burn.long, burn.short]).map(|minutes| self.scaled(minutes)).collect()
    }

    fn selector(&self) -> String {
        format!("namespace=\"{}\",endpoint=\"{}\"", self.objective.namespace, self.objective.name)
    }

    /// What is recorded here of a window. Of an endpoint that was another instance's, that one's is kept
    /// too for as long as Prometheus keeps anything; both at once would become two results of the same
    /// labels, which Prometheus refuses.
    fn recorded(&self, window: &str) -> String {
        format!("{ERRORS}{{{},installation=\"{}\",window=\"{window}\"}}", self.selector(), self.installation)
    }

    fn labels(&self, more: &[(&str, String)]) -> BTreeMap<String, String> {
        let own = [
            ("namespace", self.objective.namespace.clone()),
            ("endpoint", self.objective.name.clone()),
            ("installation", self.installation.to_owned()),
        ];
        own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn record(&self, name: &str, expr: String, more: &[(&str, String)]) -> Rule {
        Rule { record: Some(name.to_owned()), expr, labels: self.labels(more), ..Rule::default() }
    }

    /// What the objective is, for dashboards.
    fn target(&self) -> Rule {
        let expr = format!("vector({})", decimal(1_000_000 - u64::from(self.objective.budget_ppm), 6));
        self.record("watchkeeper:slo_objective:ratio", expr, &[])
    }

    /// The share of checks that failed, those in maintenance counted as good: were they left out, the first
    /// failure after a long window would be all that there is. Replicas take endpoints over from each
    /// other, so that there may be several series of one endpoint; each counts by its samples.
    fn errors(&self, minutes: u32) -> Rule {
        let (selector, window) = (self.selector(), duration(minutes));
        let sum = |of: &str| format!("sum(sum_over_time({of}{{{selector}}}[{window}]))");
        let expr = format!(
            "1 - ({} + ({} or vector(0))) / sum(count_over_time(probe_success{{{selector}}}[{window}]))",
            sum("probe_success"),
            sum("watchkeeper_endpoint_failed_in_maintenance"),
        );
        self.record(ERRORS, expr, &[("window", window)])
    }

    /// The share of the budget that is left; below 0 the objective is missed.
    fn remaining(&self, shortest: u32) -> Rule {
        let expr = format!(
            "1 - max without (window) (avg_over_time({}[{}d])) / {}",
            self.recorded(&duration(shortest)),
            self.objective.days,
            decimal(self.objective.budget_ppm.into(), 6)
        );
        self.record("watchkeeper:slo_error_budget_remaining:ratio", expr, &[])
    }

    /// An alert, unless not even an outage could burn the budget that fast.
    fn alert(&self, name: &str, severity: &str, burns: &[Burn], description: &str) -> Option<Rule> {
        let possible = burns.iter().filter(|burn| self.threshold(burn) < TEN_MILLION);
        let conditions: Vec<String> = possible.map(|burn| self.condition(burn)).collect();
        if conditions.is_empty() {
            return None;
        }
        let expr = format!("max without (window) ({})", conditions.join(" or ignoring (window) "));
        let annotations = [
            (
                "summary",
                format!(
                    "{}/{} burns its error budget: {{{{ $value | humanizePercentage }}}} of its checks failed.",
                    self.objective.namespace, self.objective.name
                ),
            ),
            (
                "description",
                format!(
                    "The objective is {} % over {} days. {description}",
                    self.objective.target, self.objective.days
                ),
            ),
            ("runbook", format!("docs/runbooks.md#{}", name.to_lowercase())),
        ];
        Some(Rule {
            alert: Some(name.to_owned()),
            expr,
            labels: self.labels(&[("severity", severity.to_owned())]),
            annotations: annotations.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            ..Rule::default()
        })
    }

    /// The share of failures from which a budget burns that fast, in ten-millionths.
    fn threshold(&self, burn: &Burn) -> u64 {
        u64::from(burn.factor) * u64::from(self.objective.budget_ppm)
    }

    fn condition(&self, burn: &Burn) -> String {
        let threshold = decimal(self.threshold(burn), 7);
        let above =
            |minutes: u32| format!("{} > {threshold}", self.recorded(&duration(self.scaled(minutes))));
        format!("({} and ignoring (window) {})", above(burn.long), above(burn.short))
    }
}

const TEN_MILLION: u64 = 10_000_000;

/// A number of so many decimal places, written without superfluous zeros.
fn decimal(number: u64, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// Minutes as Prometheus writes them.
fn duration(minutes: u32) -> String {
    let (days, hours) = (minutes / 1_440, minutes % 1_440 / 60);
    match (days, hours, minutes % 60) {
        (days, 0, 0) if days > 0 => format!("{days}d"),
        (_, _, 0) => format!("{}h", minutes / 60),
        _ => format!("{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(target: &str, budget_ppm: u32, days: u32) -> Objective {
        Objective {
            namespace: "web".to_owned(),
            name: "front".to_owned(),
            target: target.to_owned(),
            budget_ppm,
            days,
        }
    }

    fn all(objective: &Objective) -> Vec<Rule> {
        super::rules(objective, "web/shop").into_iter().flat_map(|group| group.rules).collect()
    }

    fn windows(objective: &Objective) -> Vec<String> {
        all(objective).iter().filter_map(|rule| rule.labels.get("window").cloned()).collect()
    }

    #[test]
    fn the_windows_are_the_workbooks_and_scale_with_the_objective() {
        assert_eq!(windows(&objective("99.9", 1_000, 30)), ["5m", "30m", "1h", "6h", "2h", "1d", "3d"]);
        assert_eq!(windows(&objective("99.9", 1_000, 90)), ["15m", "90m", "3h", "18h", "6h", "3d", "9d"]);
        assert_eq!(windows(&objective("99.9", 1_000, 7)), ["2m", "7m", "14m", "84m", "28m", "336m", "1008m"]);
    }

    #[test]
    fn the_thresholds_are_the_workbooks_factors_times_the_budget() {
        let rules = all(&objective("99.9", 1_000, 30));
        let fast = &rules.iter().find(|rule| rule.alert.is_some()).unwrap().expr;
        assert!(fast.contains("window=\"1h\"} > 0.0144 and ignoring (window)"), "{fast}");
        assert!(fast.contains("window=\"6h\"} > 0.006 and ignoring (window)"), "{fast}");
        let slow = &rules.last().unwrap().expr;
        assert!(slow.contains("window=\"1d\"} > 0.003 and"), "{slow}");
        assert!(slow.contains("window=\"3d\"} > 0.001 and"), "{slow}");
    }

    #[test]
    fn what_could_never_fire_is_left_out() {
        let rules = all(&objective("90", 100_000, 30));
        let fast = &rules.iter().find(|rule| rule.alert.is_some()).unwrap().expr;
        assert!(!fast.contains("1.44"), "{fast}");
        assert!(fast.contains("> 0.6"), "{fast}");
        let lax = all(&objective("50", 500_000, 30));
        let alerts: Vec<_> = lax.iter().filter_map(|rule| rule.alert.as_deref()).collect();
        assert_eq!(alerts, ["WatchkeeperErrorBudgetBurnsSlowly"]);
    }

    #[test]
    fn what_is_recorded_is_asked_for_of_this_installation_alone() {
        let rules = all(&objective("99.9", 1_000, 30));
        let asked: Vec<&str> = rules.iter().flat_map(|rule| rule.expr.split(ERRORS).skip(1)).collect();
        assert_eq!(asked.len(), 9);
        for selector in asked {
            let own = "{namespace=\"web\",endpoint=\"front\",installation=\"web/shop\",window=";
            assert!(selector.starts_with(own), "{selector}");
        }
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(decimal(144_000, 7), "0.0144");
        assert_eq!(decimal(999_000, 6), "0.999");
        assert_eq!(decimal(1_000_000, 6), "1");
        assert_eq!(decimal(1, 6), "0.000001");
    }
}
