//! The objective of an endpoint.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How much of the time an endpoint should be up, from which Prometheus gets alerts on its error budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slo {
    /// Percent of checks that should be good, as `"99.9"`: 50 to below 100.
    #[schemars(length(min = 2, max = 7))]
    #[x_kube(validation = Rule::new("self.matches('^[5-9][0-9]([.][0-9]{1,4})?$')")
        .message("slo.target must be a percentage from 50 to below 100, for example \"99.9\""))]
    pub target: String,
    /// The days over which it should hold, as `30d`: 7 to 90.
    #[serde(default = "a_month")]
    #[schemars(length(min = 2, max = 3))]
    #[x_kube(validation = Rule::new("self.matches('^([7-9]|[1-8][0-9]|90)d$')")
        .message("slo.window must be 7 to 90 days, for example 30d"))]
    pub window: String,
}

fn a_month() -> String {
    "30d".to_owned()
}

impl Slo {
    /// The share of checks that may fail, in millionths.
    #[must_use]
    pub fn budget_ppm(&self) -> u32 {
        let (whole, fraction) = self.target.split_once('.').unwrap_or((&self.target, ""));
        // The schema lets nothing through that is no number of this form.
        let number = |text: &str| text.parse::<u32>().unwrap_or_default();
        1_000_000_u32.saturating_sub(number(whole) * 10_000 + number(&format!("{fraction:0<4}")))
    }

    /// The window in days.
    #[must_use]
    pub fn days(&self) -> u32 {
        self.window.trim_end_matches('d').parse().unwrap_or(30)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::MonitoredEndpoint;

    fn judged(slo: Value) -> Result<Slo, String> {
        let spec = json!({"instanceRef": {"name": "shop"}, "http": {"url": "http://a"}, "slo": slo});
        let endpoint = MonitoredEndpoint::new("front", serde_json::from_value(spec).unwrap());
        endpoint.validate_cel().map_err(|error| error.to_string())?;
        Ok(endpoint.spec.slo.unwrap())
    }

    #[test]
    fn a_budget_is_what_the_target_leaves() {
        for (target, budget) in [
            ("99.9", 1_000),
            ("99.95", 500),
            ("99", 10_000),
            ("50", 500_000),
            ("99.9999", 1),
            ("99.05", 9_500),
        ] {
            assert_eq!(judged(json!({"target": target})).unwrap().budget_ppm(), budget, "{target}");
        }
        assert_eq!(judged(json!({"target": "99.9"})).unwrap().days(), 30);
    }

    #[test]
    fn objectives_that_nobody_can_keep_or_miss_are_refused() {
        for target in ["00", "49.9", "100", "99.99999", "five nines"] {
            assert!(judged(json!({"target": target})).unwrap_err().contains("slo.target"), "{target}");
        }
        for window in ["6d", "91d", "1h", "030d"] {
            let error = judged(json!({"target": "99.9", "window": window})).unwrap_err();
            assert!(error.contains("7 to 90 days"), "{window}: {error}");
        }
        assert_eq!(judged(json!({"target": "99.9", "window": "7d"})).unwrap().days(), 7);
    }
}
