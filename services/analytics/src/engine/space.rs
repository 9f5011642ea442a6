//! The values of a dimension as one worker numbers them, and how the rows of a chunk have them.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    codes::{Codes, Integers, Rows},
    column::{Column, TextChunk},
    dictionary::Dictionary,
    load::DayChunk,
    plan::{Facts, Origin, Plan},
};
use crate::{
    Dimension, Value,
    calendar::{Calendar, Unit},
};

/// A code that is not known yet.
const OPEN: u32 = u32::MAX;

/// Texts that are copied at once, to be tested.
const COPIED: usize = 256;

/// The values of one dimension, numbered from 1; 0 is unknown.
pub(crate) struct Space {
    dimension: Dimension,
    values: Values,
}

enum Values {
    /// As in a dictionary.
    Texts(Arc<Dictionary>),
    /// Made of the texts of a dictionary, each once.
    Derived { base: Arc<Dictionary>, made: Vec<u32>, texts: Vec<Arc<str>>, codes: HashMap<Arc<str>, u32> },
    /// Told by the time.
    Times { unit: Unit, told: Vec<i64>, codes: FxHashMap<i64, u32>, stretches: Vec<(i64, i64, u32)> },
}

/// How the rows of a chunk have a dimension: codes of the chunk, and what they are in the space.
pub(crate) struct View<'a> {
    pub codes: Cow<'a, Codes>,
    pub shared: Cow<'a, [u32]>,
    /// Hits of each code in the whole chunk; nothing where they are not known.
    pub hits: &'a [u32],
}

impl<'a> View<'a> {
    fn of(chunk: &'a TextChunk) -> Self {
        Self { codes: Cow::Borrowed(&chunk.codes), shared: Cow::Borrowed(&chunk.shared), hits: &chunk.hits }
    }

    /// Of codes that were made for this question.
    fn made(codes: Codes, shared: Vec<u32>) -> Self {
        Self { codes: Cow::Owned(codes), shared: Cow::Owned(shared), hits: &[] }
    }
}

impl Space {
    pub fn new(plan: &Plan, dimension: Dimension, origin: Origin) -> Self {
        let dictionary =
            |column: Column| plan.dictionaries.get(&column.dictionary()).map(Arc::clone).unwrap_or_default();
        let values = match origin {
            Origin::Text(column) | Origin::Either(column, _) => Values::Texts(dictionary(column)),
            Origin::Derived(column, _) => Values::Derived {
                base: dictionary(column),
                made: Vec::new(),
                texts: Vec::new(),
                codes: HashMap::new(),
            },
            Origin::Time(unit) => {
                Values::Times { unit, told: Vec::new(), codes: FxHashMap::default(), stretches: Vec::new() }
            }
        };
        Self { dimension, values }
    }

    /// How rows `from` to `to` of a chunk have the dimension; the codes of other rows mean nothing.
    pub fn view<'a>(
        &mut self,
        origin: Origin,
        chunk: &'a DayChunk,
        facts: &Facts,
        calendar: &Calendar,
        (from, to): (usize, usize),
    ) -> View<'a> {
        match (origin, &mut self.values) {
            (Origin::Derived(column, derive), Values::Derived { base, made, texts, codes }) => {
                let chunk = chunk.texts(column);
                let most = chunk.shared.iter().copied().max().unwrap_or_default() as usize;
                if made.len() <= most {
                    made.resize(most + 1, OPEN);
                    made[0] = 0;
                }
                if chunk.shared.iter().any(|code| made[*code as usize] == OPEN) {
                    let base = base.read();
                    for code in chunk.shared.iter().filter(|code| **code != 0) {
                        let made = &mut made[*code as usize];
                        if *made == OPEN {
                            let text = base.get(*code).and_then(|text| derive(text, facts));
                            *made = text.map_or(0, |text| number(&text, texts, codes));
                        }
                    }
                }
                let shared = chunk.shared.iter().map(|code| made[*code as usize]).collect();
                View { shared: Cow::Owned(shared), ..View::of(chunk) }
            }
            (Origin::Time(_), Values::Times { unit, told, codes, stretches }) => {
                let mut times = Times { unit: *unit, told, codes, stretches };
                times.view(calendar, chunk.ts(), (from, to))
            }
            (Origin::Either(first, second), _) => either(chunk.texts(first), chunk.texts(second), (from, to)),
            (Origin::Text(column) | Origin::Derived(column, _), _) => View::of(chunk.texts(column)),
            (Origin::Time(_), _) => View::made(Codes::Same(0), vec![0]),
        }
    }

    /// Calls `each` with the texts of codes, as conditions test them.
    pub fn texts(&self, codes: &[u32], mut each: impl FnMut(u32, Option<&str>)) {
        let all = codes.iter().copied();
        match &self.values {
            Values::Texts(dictionary) => {
                // Nobody can add a text while some are read, and an expression may take long over one.
                let (mut copy, mut ends) = (String::new(), Vec::new());
                for codes in codes.chunks(COPIED) {
                    copy.clear();
                    ends.clear();
                    let texts = dictionary.read();
                    for code in codes {
                        let text = texts.get(*code);
                        copy.push_str(text.unwrap_or_default());
                        ends.push((copy.len(), text.is_some()));
                    }
                    drop(texts);
                    let mut start = 0;
                    for (code, (end, is_known)) in codes.iter().zip(&ends) {
                        each(*code, copy.get(start..*end).filter(|_| *is_known));
                        start = *end;
                    }
                }
            }
            Values::Derived { texts, .. } => all.for_each(|code| {
                let text = (code as usize).checked_sub(1).and_then(|place| texts.get(place));
                each(code, text.map(|text| &**text));
            }),
            Values::Times { told, .. } => all.for_each(|code| {
                let told = (code as usize).checked_sub(1).and_then(|place| told.get(place));
                each(code, told.map(ToString::to_string).as_deref());
            }),
        }
    }

    /// The values of codes.
    pub fn values(&self, codes: &[u32]) -> Vec<Value> {
        let mut values = Vec::with_capacity(codes.len());
        match &self.values {
            Values::Texts(dictionary) => {
                let texts = dictionary.read();
                values.extend(codes.iter().map(|code| match texts.get(*code) {
                    None => Value::Unknown,
                    Some(text) if self.dimension == Dimension::Status => {
                        text.parse().map_or(Value::Unknown, Value::Number)
                    }
                    Some(text) => Value::Text(text.into()),
                }));
            }
            Values::Derived { texts, .. } => values.extend(codes.iter().map(|code| {
                let text = (*code as usize).checked_sub(1).and_then(|place| texts.get(place));
                text.map_or(Value::Unknown, |text| Value::Text(Arc::clone(text)))
            })),
            Values::Times { told, .. } => values.extend(codes.iter().map(|code| {
                let told = (*code as usize).checked_sub(1).and_then(|place| told.get(place));
                told.map_or(Value::Unknown, |told| Value::Number(*told))
            })),
        }
        values
    }

    /// Bytes that are the question's own; a dictionary is the cache's.
    pub fn bytes(&self) -> usize {
        const CODE: usize = 18; // with its place in a map
        match &self.values {
            Values::Texts(_) => 0,
            Values::Derived { made, texts, codes, .. } => {
                4 * made.capacity()
                    + texts.iter().map(|text| size_of::<Arc<str>>() + text.len()).sum::<usize>()
                    + (CODE + size_of::<Arc<str>>()) * codes.capacity()
            }
            Values::Times { told, codes, stretches, .. } => {
                8 * told.capacity()
                    + CODE * codes.capacity()
                    + size_of::<(i64, i64, u32)>() * stretches.capacity()
            }
        }
    }

    /// Takes in the values of another worker; returns what its codes are here, or `None` when they
    /// are the same.
    pub fn merge(&mut self, other: Self) -> Option<Vec<u32>> {
        match (&mut self.values, other.values) {
            (Values::Derived { texts, codes, .. }, Values::Derived { texts: others, .. }) => {
                Some([0].into_iter().chain(others.iter().map(|text| number(text, texts, codes))).collect())
            }
            (Values::Times { told, codes, .. }, Values::Times { told: others, .. }) => Some(
                [0].into_iter()
                    .chain(others.iter().map(|value| {
                        *codes.entry(*value).or_insert_with(|| {
                            told.push(*value);
                            u32::try_from(told.len()).unwrap_or(OPEN)
                        })
                    }))
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// The code of a derived text.
fn number(text: &str, texts: &mut Vec<Arc<str>>, codes: &mut HashMap<Arc<str>, u32>) -> u32 {
    if let Some(code) = codes.get(text) {
        return *code;
    }
    let shared: Arc<str> = text.into();
    texts.push(Arc::clone(&shared));
    let code = u32::try_from(texts.len()).unwrap_or(OPEN);
    codes.insert(shared, code);
    code
}

/// The first of two columns, where unknown the second.
fn either<'a>(first: &'a TextChunk, second: &'a TextChunk, (from, to): (usize, usize)) -> View<'a> {
    match (&first.codes, &second.codes) {
        (Codes::Same(0), _) => return View::of(second),
        (Codes::Same(_), _) | (_, Codes::Same(0)) => return View::of(first),
        _ => {}
    }
    let above = u32::try_from(first.shared.len()).unwrap_or(OPEN);
    let rows = Rows::Run(from, to - from);
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    first.codes.gather(&rows, &mut ones);
    second.codes.gather(&rows, &mut others);
    let mut codes = Vec::with_capacity(to);
    codes.resize(from, 0);
    codes.extend(ones.iter().zip(&others).map(|(one, other)| if *one == 0 { above + other } else { *one }));
    let shared = first.shared.iter().chain(second.shared.iter()).copied().collect();
    View::made(Codes::U32(codes), shared)
}

/// Times while a chunk is walked through.
struct Times<'a> {
    unit: Unit,
    told: &'a mut Vec<i64>,
    codes: &'a mut FxHashMap<i64, u32>,
    /// What is told in which stretch, by time; without a gap or overlap only as far as was asked.
    stretches: &'a mut Vec<(i64, i64, u32)>,
}

impl Times<'_> {
    /// Rows are in order of time, so each stretch is a run of them.
    fn view(&mut self, calendar: &Calendar, ts: &Integers, (from, to): (usize, usize)) -> View<'static> {
        let (mut runs, mut shared) = (Vec::new(), vec![0]);
        let mut row = from;
        while row < to {
            let (end, code) = self.stretch(calendar, ts.at(row));
            let next = ts.first_at_least(end, to).max(row + 1);
            // Weeks are told a day at a time: the same again is the same run.
            if shared.last() != Some(&code) {
                shared.push(code);
            }
            runs.push((next - row, u32::try_from(shared.len() - 1).unwrap_or(OPEN)));
            row = next;
        }
        fn filled<T: Copy + Default>(
            from: usize,
            to: usize,
            runs: &[(usize, u32)],
            code: impl Fn(u32) -> T,
        ) -> Vec<T> {
            let mut codes = Vec::with_capacity(to);
            codes.resize(from, T::default());
            for (length, local) in runs {
                codes.resize(codes.len() + length, code(*local));
            }
            codes
        }
        #[allow(clippy::cast_possible_truncation)] // there are no more runs than this
        let codes = match shared.len() {
            0..=2 => Codes::Same(1),
            3..=0x100 => Codes::U8(filled(from, to, &runs, |code| code as u8)),
            0x101..=0x1_0000 => Codes::U16(filled(from, to, &runs, |code| code as u16)),
            _ => Codes::U32(filled(from, to, &runs, |code| code)),
        };
        if shared.len() == 1 {
            shared.push(0);
        }
        View::made(codes, shared)
    }

    /// The end of the stretch that a time lies in, and its code.
    fn stretch(&mut self, calendar: &Calendar, ts: i64) -> (i64, u32) {
        let place = self.stretches.partition_point(|(from, ..)| *from <= ts);
        if let Some((_, end, code)) = place.checked_sub(1).and_then(|before| self.stretches.get(before))
            && ts < *end
        {
            return (*end, *code);
        }
        let (value, from, end) = calendar.stretch(ts, self.unit);
        let told = &mut *self.told;
        let code = *self.codes.entry(value).or_insert_with(|| {
            told.push(value);
            u32::try_from(told.len()).unwrap_or(OPEN)
        });
        self.stretches.insert(place, (from, end, code));
        (end, code)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use watchkeeper_store::Texts;

    use super::*;

    #[test]
    fn each_text_is_tested_as_it_is_while_others_come_to_the_dictionary() {
        let dictionary = Arc::new(Dictionary::default());
        let texts: Vec<String> = (0..=2 * COPIED).map(|n| format!("text {n}")).collect();
        let mut codes = dictionary.encode(&texts.iter().collect::<Texts>());
        codes.insert(1, 0);
        let space = Space { dimension: Dimension::Path, values: Values::Texts(Arc::clone(&dictionary)) };
        let mut tested = Vec::new();
        space.texts(&codes, |code, text| {
            if tested.is_empty() {
                let (grown, (done, told)) = (Arc::clone(&dictionary), mpsc::channel());
                thread::spawn(move || {
                    grown.encode(&["another"].iter().collect::<Texts>());
                    let _ = done.send(());
                });
                told.recv_timeout(Duration::from_secs(10)).expect("it waits for nothing");
            }
            tested.push((code, text.map(str::to_owned)));
        });
        let mut wanted: Vec<(u32, Option<String>)> = (1..).zip(texts.into_iter().map(Some)).collect();
        wanted.insert(1, (0, None));
        assert_eq!(tested, wanted);
    }
}
