//! The plain meaning of a question: row by row, group by group, with nothing clever.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use watchkeeper_store::{Hit, day_of};

use crate::{
    Answer, AskError, MAX_GROUPS, Metric, Panel, Question, Row, Table, Value,
    ask::too_many_groups,
    calendar::Calendar,
    order::sort,
    row::{Facts, matcher, value},
};

/// Answers a question over hits in any order.
pub(crate) fn answer(question: &Question, hits: &[Hit], facts: &Facts) -> Result<Answer, AskError> {
    let calendar = Calendar::new(&question.zone, question.from);
    let mut hits: Vec<&Hit> =
        hits.iter().filter(|hit| (question.from..question.to).contains(&hit.ts)).collect();
    hits.sort_by_key(|hit| hit.ts);
    let sessions = sessions(&hits, question.session_idle);
    let shared = matcher(&question.condition)?;
    let mut tables = Vec::new();
    for panel in &question.panels {
        let own = matcher(&panel.condition)?;
        let mut groups: BTreeMap<Vec<Value>, Vec<usize>> = BTreeMap::new();
        if panel.dimensions.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        for (index, hit) in hits.iter().enumerate() {
            let value = |dimension| value(dimension, hit, facts, &calendar);
            if shared(hit, &value) && own(hit, &value) {
                let key = panel.dimensions.iter().map(|dimension| value(*dimension)).collect();
                groups.entry(key).or_default().push(index);
                if groups.len() > MAX_GROUPS {
                    return Err(too_many_groups(MAX_GROUPS));
                }
            }
        }
        tables.push(table(panel, groups, &hits, &sessions));
    }
    Ok(Answer { tables })
}

/// A number for the visit of each hit; `None` where nothing tells visitors apart.
fn sessions(hits: &[&Hit], idle: i64) -> Vec<Option<usize>> {
    let mut last: HashMap<(i64, i64), (i64, usize)> = HashMap::new();
    let mut next = 0;
    hits.iter()
        .map(|hit| {
            let visitor = (day_of(hit.ts), hit.visitor?);
            let session = match last.get(&visitor) {
                Some((before, session)) if hit.ts - before < idle => *session,
                _ => {
                    next += 1;
                    next
                }
            };
            last.insert(visitor, (hit.ts, session));
            Some(session)
        })
        .collect()
}

fn table(
    panel: &Panel,
    groups: BTreeMap<Vec<Value>, Vec<usize>>,
    hits: &[&Hit],
    sessions: &[Option<usize>],
) -> Table {
    let count = groups.len();
    let mut rows: Vec<Row> = groups
        .into_iter()
        .map(|(key, indices)| {
            let metrics =
                panel.metrics.iter().map(|metric| measure(*metric, &indices, hits, sessions)).collect();
            Row { key, metrics }
        })
        .collect();
    sort(panel, &mut rows);
    let rows = rows.into_iter().skip(panel.offset).take(panel.limit.unwrap_or(usize::MAX)).collect();
    Table { rows, groups: count, ..Table::default() }
}

fn measure(metric: Metric, indices: &[usize], hits: &[&Hit], sessions: &[Option<usize>]) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // counts and times stay far below 2^53
    fn number(number: i64) -> f64 {
        number as f64
    }
    fn count(count: usize) -> Option<f64> {
        Some(number(i64::try_from(count).unwrap_or(i64::MAX)))
    }
    let those = || indices.iter().map(|index| hits[*index]);
    let share = |good: fn(i32) -> bool| {
        let known = those().filter_map(|hit| hit.status);
        let (all, some) = known.fold((0, 0), |(all, some), status| (all + 1, some + i64::from(good(status))));
        (all > 0).then(|| number(some) / number(all))
    };
    let durations = || those().filter_map(|hit| hit.duration_us);
    match metric {
        Metric::Hits => count(indices.len()),
        Metric::Visitors => count(
            those().filter_map(|hit| Some((day_of(hit.ts), hit.visitor?))).collect::<BTreeSet<_>>().len(),
        ),
        Metric::Users => count(
            those().filter_map(|hit| hit.user.as_ref().or(hit.ip.as_ref())).collect::<BTreeSet<_>>().len(),
        ),
        Metric::Addresses => count(those().filter_map(|hit| hit.ip.as_ref()).collect::<BTreeSet<_>>().len()),
        Metric::Sessions => {
            count(indices.iter().filter_map(|index| sessions[*index]).collect::<BTreeSet<_>>().len())
        }
        Metric::RequestBytes => Some(number(those().filter_map(|hit| hit.request_bytes).sum())),
        Metric::ResponseBytes => Some(number(those().filter_map(|hit| hit.response_bytes).sum())),
        Metric::Errors => count(those().filter(|hit| hit.status.is_some_and(|status| status >= 400)).count()),
        Metric::ErrorRate => share(|status| status >= 400),
        Metric::SuccessRate => share(|status| (200..400).contains(&status)),
        Metric::MeanDuration => {
            let (sum, all) = durations().fold((0, 0), |(sum, all), us| (sum + us, all + 1));
            (all > 0).then(|| number(sum) / number(all) / 1_000.0)
        }
        Metric::MinDuration => durations().min().map(|us| number(us) / 1_000.0),
        Metric::MaxDuration => durations().max().map(|us| number(us) / 1_000.0),
        Metric::Duration(permille) => {
            let mut sorted: Vec<i64> = durations().collect();
            sorted.sort_unstable();
            let rank = (sorted.len() * usize::from(permille)).div_ceil(1_000).max(1);
            sorted.get(rank - 1).map(|us| number(*us) / 1_000.0)
        }
        Metric::FirstSeen => those().map(|hit| hit.ts).min().map(number),
        Metric::LastSeen => those().map(|hit| hit.ts).max().map(number),
    }
}
