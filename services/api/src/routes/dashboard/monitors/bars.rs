//! Bars of days or hours as few shapes: neighbours that say the same are one, and the page's style
//! cuts them apart. A page of 500 endpoints stays small, and what went wrong still has its title.

use super::history::{Class, Share};
use crate::{routes::dashboard::format, times::spoken};

/// One shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::routes::dashboard) struct Run {
    pub x: usize,
    pub width: usize,
    pub css: &'static str,
    /// What a pointer reads.
    pub title: String,
}

/// A row of bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::routes::dashboard) struct Bars {
    pub count: usize,
    pub runs: Vec<Run>,
    /// What a listener hears.
    pub label: String,
}

impl Bars {
    /// Bars of spans, each with its name: `of` says of what the bars are.
    pub fn new(shares: &[Share], of: &str, name: impl Fn(usize) -> String) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut last = None;
        for (x, share) in shares.iter().enumerate() {
            let class = share.class();
            let mergeable = matches!(class, Class::Up | Class::Absent | Class::Unknown);
            match runs.last_mut() {
                Some(run) if mergeable && last == Some(class) => run.width += 1,
                _ => runs.push(Run { x, width: 1, css: class.css(), title: String::new() }),
            }
            last = Some(class);
        }
        for run in &mut runs {
            let (first, end) = (run.x, run.x + run.width - 1);
            let when = if first == end { name(first) } else { format!("{} to {}", name(first), name(end)) };
            let whole = super::history::total(&shares[first..=end]);
            run.title = format!("{when}: {}", told(&whole));
        }
        let whole = super::history::total(shares);
        let bad = shares.iter().filter(|share| share.down > 0).count();
        let label = match whole.uptime() {
            None => format!("{of}: nothing observed"),
            Some(_) if bad == 0 => format!("{of}: no downtime"),
            Some(share) => format!("{of}: up {} of the time, down in {bad}", precise(share)),
        };
        Self { count: shares.len(), runs, label }
    }
}

/// How a span was spent, in words.
pub(in crate::routes::dashboard) fn told(share: &Share) -> String {
    if share.class() == Class::Absent {
        return "not watched yet".into();
    }
    let mut parts = Vec::new();
    for (ms, what) in
        [(share.down, "down for"), (share.degraded, "degraded for"), (share.maintenance, "maintenance for")]
    {
        if ms > 0 {
            parts.push(format!("{what} {}", spoken(ms)));
        }
    }
    if parts.is_empty() && share.up > 0 {
        parts.push("up".into());
    }
    match share.unobserved() {
        Some(1.0) => parts.push("not observed".into()),
        Some(part) if part >= 0.001 => parts.push(format!("{} not observed", format::percent(part))),
        _ => {}
    }
    parts.join(", ")
}

/// A share as percent with two digits, rounded down: 100 % means all of it.
pub(in crate::routes::dashboard) fn precise(share: f64) -> String {
    let percent = crate::times::percent(share);
    if percent == "100.00" { "100 %".into() } else { format!("{percent} %") }
}

/// How much of a span was not observed, as a note beside an uptime; empty where all was.
pub(in crate::routes::dashboard) fn unobserved(share: &Share) -> String {
    match share.unobserved() {
        Some(part) if part >= 0.000_5 => format!("{} not observed", format::percent(part)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_neighbours_are_one_shape_and_bad_days_stand_alone() {
        let up = Share { up: 86_400_000, ..Share::default() };
        let bad = Share { up: 80_000_000, down: 3_600_000, unknown: 2_800_000, ..Share::default() };
        let bars = Bars::new(&[Share::default(), up, up, bad, bad, up], "Days", |day| format!("day {day}"));
        let shapes: Vec<_> = bars.runs.iter().map(|run| (run.x, run.width, run.css)).collect();
        assert_eq!(
            shapes,
            [(0, 1, "b-absent"), (1, 2, "b-up"), (3, 1, "b-partial"), (4, 1, "b-partial"), (5, 1, "b-up")]
        );
        assert_eq!(bars.runs[1].title, "day 1 to day 2: up");
        assert_eq!(bars.runs[2].title, "day 3: down for 1 h, 3.2 % not observed");
        assert_eq!(bars.label, "Days: up 98.31 % of the time, down in 2");
    }

    #[test]
    fn nothing_observed_is_not_called_up() {
        let nothing = Share { unknown: 86_400_000, ..Share::default() };
        let bars = Bars::new(&[nothing], "Days", |_| "today".into());
        assert_eq!(
            (bars.label.as_str(), bars.runs[0].title.as_str()),
            ("Days: nothing observed", "today: not observed")
        );
        assert_eq!((precise(1.0), precise(0.999_999)), ("100 %".into(), "99.99 %".into()));
    }
}
