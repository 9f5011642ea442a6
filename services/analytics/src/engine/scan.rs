//! The pass over rows: one worker, a day at a time, all panels at once.

use std::sync::atomic::{AtomicBool, Ordering};

use watchkeeper_store::StoreError;

use super::{
    codes::Rows,
    column::Column,
    filter::{Decided, Verdicts},
    groups::{ERROR, Grouped, Groups, Inputs, KNOWN, SUCCESS},
    load::{Day, DayChunk},
    plan::{PanelPlan, Plan},
    space::{Space, View},
};
use crate::{AskError, MAX_GROUPS, ask::too_many_groups, calendar::Calendar};

/// Rows that are gone through at a time: their codes and values stay in the nearest cache.
const BLOCK: usize = 4_096;

/// Places of a table from combinations of a chunk's codes to groups, up to which one is made.
const PLACES: usize = 1 << 16;

/// A combination whose group is not known yet.
const OPEN: u32 = u32::MAX;

/// What one thread has added up of a question.
pub(crate) struct Worker {
    pub spaces: Vec<Space>,
    pub groups: Vec<Groups>,
    verdicts: Vec<Verdicts>,
}

impl Worker {
    pub fn new(plan: &Plan) -> Self {
        Self {
            spaces: plan.origins.iter().map(|(it, origin)| Space::new(plan, *it, *origin)).collect(),
            groups: plan.panels.iter().map(|it| Groups::new(it.dimensions.len(), it.wants)).collect(),
            verdicts: plan.tests.iter().map(|_| Verdicts::default()).collect(),
        }
    }

    /// Adds up a day; `stop` ends it early, `bytes` is the working memory at most.
    ///
    /// # Errors
    /// When there are too many groups, too much is to be remembered, or it was stopped.
    pub fn scan(&mut self, plan: &Plan, day: &Day, stop: &AtomicBool, bytes: usize) -> Result<(), AskError> {
        for place in 0..day.chunks.len() {
            self.chunk(plan, day, place, stop)?;
            let needed = |groups: &[Groups]| groups.iter().map(Groups::bytes).sum::<usize>();
            if needed(&self.groups) > bytes {
                self.groups.iter_mut().for_each(Groups::compact);
            }
            if needed(&self.groups) > bytes {
                return Err(AskError::Question(
                    "the question needs too much memory; ask for fewer tables, dimensions or distinct \
                     counts at once, or for a shorter range"
                        .into(),
                ));
            }
        }
        self.groups.iter_mut().for_each(Groups::end_day);
        Ok(())
    }

    fn chunk(&mut self, plan: &Plan, day: &Day, place: usize, stop: &AtomicBool) -> Result<(), AskError> {
        let chunk = &day.chunks[place];
        let question = &plan.question;
        let from = chunk.ts().first_at_least(question.from, chunk.rows());
        let to = chunk.ts().first_at_least(question.to, chunk.rows());
        if from >= to {
            return Ok(());
        }
        let calendar = Calendar::new(&question.zone, question.from);
        let views: Vec<View> = self
            .spaces
            .iter_mut()
            .zip(&plan.origins)
            .map(|(space, (_, origin))| space.view(*origin, chunk, &plan.facts, &calendar, (from, to)))
            .collect();
        let (spaces, verdicts) = (&self.spaces, &mut self.verdicts);
        let mut decide = |node| Decided::new(node, plan, spaces, &views, verdicts);
        let condition = decide(&plan.condition);
        if matches!(condition, Decided::Always(false)) {
            return Ok(());
        }
        let mut tables: Vec<Table> = Vec::new();
        for (panel, groups) in plan.panels.iter().zip(&mut self.groups) {
            let condition = decide(&panel.condition);
            if !matches!(condition, Decided::Always(false)) {
                tables.push(Table::new(panel, groups, condition, &views, to - from));
            }
        }
        if tables.is_empty() {
            return Ok(());
        }
        let mut block = Block::new(plan, day, place, &views);
        let mut mask = Vec::new();
        for first in (from..to).step_by(BLOCK) {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Damaged("the question was given up".into()).into());
            }
            let mut rows = Rows::Run(first, BLOCK.min(to - first));
            if !matches!(condition, Decided::Always(_)) {
                condition.mask(chunk, &views, &rows, &mut mask);
                if let Some(picked) = picked(&mask, first) {
                    rows = Rows::Picked(picked);
                }
            }
            if rows.len() == 0 {
                continue;
            }
            block.fill(&rows, &tables);
            for table in &mut tables {
                table.add(chunk, &views, &rows, &block)?;
            }
        }
        Ok(())
    }
}

/// The places where a mask is set, counted from `first`; `None` when it is set everywhere.
fn picked(mask: &[bool], first: usize) -> Option<Vec<u32>> {
    let count = mask.iter().filter(|one| **one).count();
    if count == mask.len() {
        return None;
    }
    let first = u32::try_from(first).unwrap_or(u32::MAX);
    // Without a branch, which would be guessed wrong half the time.
    let (mut places, mut next) = (vec![0; count + 1], 0);
    for (place, one) in (first..).zip(mask) {
        places[next] = place;
        next += usize::from(*one);
    }
    places.truncate(count);
    Some(places)
}

/// What is gathered of the rows of a block once for all tables.
struct Block<'a> {
    plan: &'a Plan,
    chunk: &'a DayChunk,
    views: &'a [View<'a>],
    /// Kinds of the chunk's statuses.
    statuses: Vec<u8>,
    /// The day's numbers of the chunk's visitors and of its rows' visits.
    day: &'a Day,
    place: usize,
    /// Codes of the chunk, by dimension; only of those that tables are grouped by.
    codes: Vec<Vec<u32>>,
    inputs: Inputs,
}

impl<'a> Block<'a> {
    fn new(plan: &'a Plan, day: &'a Day, place: usize, views: &'a [View<'a>]) -> Self {
        let chunk = &day.chunks[place];
        let mut statuses = Vec::new();
        if plan.wants.status
            && let Some(dictionary) = plan.dictionaries.get(&Column::Status)
        {
            let texts = dictionary.read();
            statuses.extend(chunk.texts(Column::Status).shared.iter().map(|code| {
                match texts.get(*code).and_then(|text| text.parse::<i64>().ok()) {
                    None => 0,
                    Some(200..400) => KNOWN | SUCCESS,
                    Some(400..) => KNOWN | ERROR,
                    Some(_) => KNOWN,
                }
            }));
        }
        let codes = plan.origins.iter().map(|_| Vec::new()).collect();
        Self { plan, chunk, views, statuses, day, place, codes, inputs: Inputs::default() }
    }

    fn fill(&mut self, rows: &Rows, tables: &[Table]) {
        let (chunk, wants, inputs) = (self.chunk, self.plan.wants, &mut self.inputs);
        for (dimension, codes) in self.codes.iter_mut().enumerate() {
            if tables.iter().any(|table| table.plan.dimensions.contains(&dimension)) {
                self.views[dimension].codes.gather(rows, codes);
            }
        }
        if wants.status {
            let statuses = &self.statuses;
            let status = |code: u32| statuses.get(code as usize).copied().unwrap_or_default();
            chunk.texts(Column::Status).codes.gather_as(rows, &mut inputs.statuses, status);
        }
        if wants.duration || wants.quantiles {
            chunk.integers(Column::DurationUs).gather(rows, &mut inputs.durations);
        }
        if wants.request_bytes {
            chunk.integers(Column::RequestBytes).gather(rows, &mut inputs.request_bytes);
        }
        if wants.response_bytes {
            chunk.integers(Column::ResponseBytes).gather(rows, &mut inputs.response_bytes);
        }
        if wants.seen {
            chunk.ts().gather(rows, &mut inputs.ts);
        }
        if wants.visitors
            && let Some(day) = &self.day.visitors
        {
            let shared = &day.shared[self.place];
            chunk.visitors().codes.gather_as(rows, &mut inputs.visitors, |code| shared[code as usize]);
        }
        if wants.sessions
            && let Some(day) = &self.day.sessions
        {
            day.chunks[self.place].gather(rows, &mut inputs.sessions);
        }
        for (dimension, values) in
            [(self.plan.users, &mut inputs.users), (self.plan.addresses, &mut inputs.addresses)]
        {
            if let Some(dimension) = dimension {
                let View { codes, shared } = &self.views[dimension];
                codes.gather_as(rows, values, |code| shared[code as usize]);
            }
        }
    }
}

/// One panel while a chunk is gone through.
struct Table<'a> {
    plan: &'a PanelPlan,
    groups: &'a mut Groups,
    condition: Decided,
    /// How far combinations of codes are apart, by dimension; empty when there are too many.
    strides: Vec<usize>,
    /// The group of each combination that came up.
    places: Vec<u32>,
    mask: Vec<bool>,
    of_rows: Vec<u32>,
}

impl<'a> Table<'a> {
    fn new(
        plan: &'a PanelPlan,
        groups: &'a mut Groups,
        condition: Decided,
        views: &[View],
        rows: usize,
    ) -> Self {
        let (mut combinations, mut strides) = (1_usize, Vec::new());
        for dimension in &plan.dimensions {
            strides.push(combinations);
            combinations = combinations.saturating_mul(views[*dimension].shared.len());
        }
        if combinations > PLACES.max(4 * rows) {
            strides.clear();
            combinations = 0;
        }
        Self {
            plan,
            groups,
            condition,
            strides,
            places: vec![OPEN; combinations],
            mask: Vec::new(),
            of_rows: Vec::new(),
        }
    }

    /// Adds up the rows of a block.
    fn add(&mut self, chunk: &DayChunk, views: &[View], rows: &Rows, block: &Block) -> Result<(), AskError> {
        let mut picked_places = None;
        if !matches!(self.condition, Decided::Always(_)) {
            self.condition.mask(chunk, views, rows, &mut self.mask);
            picked_places = picked(&self.mask, 0);
        }
        let places = picked_places.as_deref();
        self.group(views, &block.codes, rows.len(), places);
        if self.groups.len() > MAX_GROUPS {
            return Err(too_many_groups());
        }
        self.groups.add(&Grouped { groups: &self.of_rows, places }, &block.inputs);
        Ok(())
    }

    /// Finds the group of every row.
    fn group(&mut self, views: &[View], codes: &[Vec<u32>], rows: usize, places: Option<&[u32]>) {
        let Self { plan, groups, strides, places: known, of_rows, .. } = self;
        of_rows.clear();
        let rows = places.map_or(rows, <[u32]>::len);
        let place = |at: usize| places.map_or(at, |places| places[at] as usize);
        match plan.dimensions.as_slice() {
            [] => of_rows.resize(rows, 0),
            [dimension] if !strides.is_empty() => {
                let (codes, shared) = (&codes[*dimension], &views[*dimension].shared);
                let group = |code: &u32| {
                    let group = &mut known[*code as usize];
                    if *group == OPEN {
                        *group = groups.keys.number([shared[*code as usize]].into_iter());
                    }
                    *group
                };
                match places {
                    None => of_rows.extend(codes.iter().map(group)),
                    Some(places) => {
                        of_rows.extend(places.iter().map(|place| &codes[*place as usize]).map(group));
                    }
                }
            }
            dimensions if !strides.is_empty() => {
                let by: Vec<(&[u32], usize)> = dimensions
                    .iter()
                    .zip(strides.iter())
                    .map(|(dimension, stride)| (codes[*dimension].as_slice(), *stride))
                    .collect();
                of_rows.extend((0..rows).map(|at| {
                    let at = place(at);
                    let combination: usize =
                        by.iter().map(|(codes, stride)| codes[at] as usize * stride).sum();
                    let group = &mut known[combination];
                    if *group == OPEN {
                        let shared = dimensions
                            .iter()
                            .map(|dimension| views[*dimension].shared[codes[*dimension][at] as usize]);
                        *group = groups.keys.number(shared);
                    }
                    *group
                }));
            }
            dimensions => of_rows.extend((0..rows).map(|at| {
                let at = place(at);
                groups.keys.number(
                    dimensions
                        .iter()
                        .map(|dimension| views[*dimension].shared[codes[*dimension][at] as usize]),
                )
            })),
        }
    }
}
