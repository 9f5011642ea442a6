//! The pass over rows: one worker, a day at a time, all panels at once.

use std::{
    ops::Index,
    sync::atomic::{AtomicBool, Ordering},
};

use watchkeeper_store::StoreError;

use super::{
    Limits,
    codes::{Rows, UNKNOWN},
    column::Column,
    filter::{Decided, Verdicts},
    groups::{ERROR, Grouped, Groups, Inputs, KNOWN, SUCCESS},
    load::{Day, DayChunk},
    plan::{PanelPlan, Plan, Wants},
    space::{Space, View},
};
use crate::{AskError, ask::too_many_groups, calendar::Calendar};

/// Rows that are gone through at a time: their codes and values stay in the nearest cache.
const BLOCK: usize = 4_096;

/// Blocks after which the memory that they have taken is looked at.
const LOOK: usize = 16;

/// Places of a table from combinations of a chunk's codes to groups, up to which one is made.
const PLACES: usize = 1 << 16;

/// A combination whose group is not known yet.
const OPEN: u32 = u32::MAX;

/// What one thread has added up of a question.
pub(crate) struct Worker {
    pub spaces: Vec<Space>,
    pub groups: Vec<Groups>,
    verdicts: Vec<Verdicts>,
    limits: Limits,
}

impl Worker {
    /// A thread that may take `limits` by itself.
    pub fn new(plan: &Plan, limits: Limits) -> Self {
        // Half of the memory is for all tallies together, which are given up when it is needed.
        let tallied = plan.panels.iter().filter(|panel| panel.wants == Wants::default()).count();
        let tally = limits.bytes / 2 / tallied.max(1);
        let groups =
            |panel: &PanelPlan| Groups::new(panel.dimensions.len(), panel.wants, tally, limits.groups);
        Self {
            spaces: plan.origins.iter().map(|(it, origin)| Space::new(plan, *it, *origin)).collect(),
            groups: plan.panels.iter().map(groups).collect(),
            verdicts: plan.tests.iter().map(|_| Verdicts::default()).collect(),
            limits,
        }
    }

    /// Adds up a day; `stop` ends it early.
    ///
    /// # Errors
    /// When there are too many groups, too much is to be remembered, or it was stopped.
    pub fn scan(&mut self, plan: &Plan, day: &Day, stop: &AtomicBool) -> Result<(), AskError> {
        for place in 0..day.chunks.len() {
            self.chunk(plan, day, place, stop)?;
            if self.bytes() > self.limits.bytes {
                self.groups.iter_mut().for_each(Groups::compact);
            }
            if self.bytes() > self.limits.bytes {
                return Err(too_much_memory());
            }
        }
        self.groups.iter_mut().for_each(Groups::end_day);
        Ok(())
    }

    /// Bytes of working memory.
    fn bytes(&self) -> usize {
        let groups: usize = self.groups.iter().map(Groups::bytes).sum();
        let spaces: usize = self.spaces.iter().map(Space::bytes).sum();
        groups + spaces + self.verdicts.iter().map(Verdicts::bytes).sum::<usize>()
    }

    fn chunk(&mut self, plan: &Plan, day: &Day, place: usize, stop: &AtomicBool) -> Result<(), AskError> {
        let go_on = || -> Result<(), AskError> {
            match stop.load(Ordering::Relaxed) {
                true => Err(StoreError::Damaged("the question was given up".into()).into()),
                false => Ok(()),
            }
        };
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
        // Many patterns over many texts can take long: what is given up is not decided, and means nothing.
        let mut decide = |node| {
            let decided = Decided::new(node, plan, spaces, &views, verdicts, stop);
            go_on().map(|()| decided)
        };
        let condition = decide(&plan.condition)?;
        if matches!(condition, Decided::Always(false)) {
            return Ok(());
        }
        let whole = to - from == chunk.rows() && matches!(condition, Decided::Always(true));
        let mut tables: Vec<Table> = Vec::new();
        for (panel, groups) in plan.panels.iter().zip(&mut self.groups) {
            let condition = decide(&panel.condition)?;
            let all = whole && matches!(condition, Decided::Always(true));
            if matches!(condition, Decided::Always(false)) {
                continue;
            }
            match counted(panel, &views).filter(|_| all) {
                None => tables.push(Table::new(panel, groups, condition, &views, to - from)),
                Some(view) => {
                    let hits = view.shared.iter().zip(view.hits).filter(|(_, hits)| **hits > 0);
                    groups.count(hits.map(|(code, hits)| (std::iter::once(*code), u64::from(*hits))));
                }
            }
        }
        if tables.is_empty() {
            return self.bounded();
        }
        let mut block = Block::new(plan, day, place, &views);
        let mut mask = Vec::new();
        for first in (from..to).step_by(BLOCK) {
            go_on()?;
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
                table.add(chunk, &views, &rows, &block);
            }
            // A day may have millions of rows.
            if (first - from).is_multiple_of(LOOK * BLOCK) {
                let held = |tables: &[Table]| {
                    tables.iter().map(|it| it.groups.bytes() - it.groups.tally.bytes()).sum::<usize>()
                };
                if held(&tables) > self.limits.bytes {
                    tables.iter_mut().for_each(|table| table.groups.sketch());
                }
                if held(&tables) > self.limits.bytes {
                    return Err(too_much_memory());
                }
            }
        }
        tables.into_iter().for_each(|table| table.finish(&views));
        self.bounded()
    }

    fn bounded(&self) -> Result<(), AskError> {
        let most = self.limits.groups;
        if self.groups.iter().any(|groups| groups.len() > most) { Err(too_many_groups(most)) } else { Ok(()) }
    }
}

fn too_much_memory() -> AskError {
    AskError::Question(
        "the question needs too much memory; ask for fewer tables, dimensions or distinct counts at once, or \
         for a shorter range"
            .into(),
    )
}

/// How a chunk has the only dimension of a panel that wants hits of it and nothing else, where these
/// have been counted already.
fn counted<'a>(panel: &PanelPlan, views: &'a [View<'a>]) -> Option<&'a View<'a>> {
    match panel.dimensions.as_slice() {
        [dimension] if panel.wants == Wants::default() => {
            views.get(*dimension).filter(|view| !view.hits.is_empty())
        }
        _ => None,
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
    codes: Gathered,
    inputs: Inputs,
}

/// Codes of the chunk, by dimension; only of those that tables are grouped by.
struct Gathered {
    /// The first dimension that rows have the same codes in, for each.
    first: Vec<usize>,
    codes: Vec<Vec<u32>>,
}

impl Gathered {
    fn new(views: &[View]) -> Self {
        let same = |one: &View, other: &View| std::ptr::eq(&*one.codes, &*other.codes);
        let first = |view| views.iter().position(|it| same(it, view)).unwrap_or_default();
        Self { first: views.iter().map(first).collect(), codes: views.iter().map(|_| Vec::new()).collect() }
    }

    fn fill(&mut self, rows: &Rows, tables: &[Table], views: &[View]) {
        let mut used: Vec<usize> =
            tables.iter().flat_map(|table| &table.plan.dimensions).map(|it| self.first[*it]).collect();
        used.sort_unstable();
        used.dedup();
        used.into_iter().for_each(|it| views[it].codes.gather(rows, &mut self.codes[it]));
    }
}

impl Index<usize> for Gathered {
    type Output = [u32];

    fn index(&self, dimension: usize) -> &[u32] {
        &self.codes[self.first[dimension]]
    }
}

impl<'a> Block<'a> {
    fn new(plan: &'a Plan, day: &'a Day, place: usize, views: &'a [View<'a>]) -> Self {
        let chunk = &day.chunks[place];
        let mut statuses = Vec::new();
        if plan.wants.status()
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
        Self {
            plan,
            chunk,
            views,
            statuses,
            day,
            place,
            codes: Gathered::new(views),
            inputs: Inputs::default(),
        }
    }

    fn fill(&mut self, rows: &Rows, tables: &[Table]) {
        let (chunk, wants, inputs) = (self.chunk, self.plan.wants, &mut self.inputs);
        self.codes.fill(rows, tables, self.views);
        if wants.status() {
            let statuses = &self.statuses;
            let status = |code: u32| statuses.get(code as usize).copied().unwrap_or_default();
            chunk.texts(Column::Status).codes.gather_as(rows, &mut inputs.statuses, status);
        }
        if wants.duration || wants.quantiles {
            chunk.integers(Column::DurationUs).gather(rows, &mut inputs.durations);
        }
        if wants.quantiles {
            inputs.durations_known = !inputs.durations.contains(&UNKNOWN);
        }
        if wants.request_bytes {
            chunk.integers(Column::RequestBytes).gather(rows, &mut inputs.request_bytes);
        }
        if wants.response_bytes {
            chunk.integers(Column::ResponseBytes).gather(rows, &mut inputs.response_bytes);
        }
        if wants.first || wants.last {
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
                let View { codes, shared, .. } = &self.views[dimension];
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
    way: Way,
    mask: Vec<bool>,
    of_rows: Vec<u32>,
}

/// How rows come to their groups.
enum Way {
    /// Nothing but hits is wanted: they are counted by combination, and the counts are added up at
    /// the end of the chunk.
    Count(Counts),
    /// The same where combinations are many, by what each code of the chunk adds to a place of the
    /// tally, in each dimension.
    Tally(Vec<Vec<u32>>),
    /// Rows of one group lie on end.
    Runs(Vec<(u32, usize)>),
    /// By the group of each combination that came up.
    Places(Vec<u32>),
}

/// Hits by combination. Where combinations are few, neighbouring rows go to several counts of the
/// same by turns, since one count cannot be raised twice at once.
struct Counts {
    combinations: usize,
    lanes: usize,
    counts: Vec<u32>,
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
        let many = combinations > rows / 4;
        if combinations > PLACES.max(4 * rows) {
            strides.clear();
            combinations = 0;
        }
        // Where nearly every row brings a code for the first time, it is numbered at once.
        let rare = plan.dimensions.len() == 1 && many;
        let hits_alone = plan.wants == Wants::default();
        let shared = |dimension: &usize| &*views[*dimension].shared;
        let most = |dimension| shared(dimension).iter().copied().max().unwrap_or_default();
        let way = if plan.by_time && matches!(condition, Decided::Always(_)) {
            Way::Runs(Vec::new())
        } else if hits_alone
            && many
            && groups.tally.widen(&plan.dimensions.iter().map(most).collect::<Vec<_>>(), rows)
        {
            let parts = |(place, dimension)| groups.tally.parts(place, shared(dimension));
            Way::Tally(plan.dimensions.iter().enumerate().map(parts).collect())
        } else if hits_alone && !strides.is_empty() {
            Way::Count(Counts::new(combinations))
        } else if rare {
            strides.clear();
            Way::Places(Vec::new())
        } else {
            Way::Places(vec![OPEN; combinations])
        };
        Self { plan, groups, condition, strides, way, mask: Vec::new(), of_rows: Vec::new() }
    }

    /// Adds up the rows of a block.
    fn add(&mut self, chunk: &DayChunk, views: &[View], rows: &Rows, block: &Block) {
        let mut picked_places = None;
        if !matches!(self.condition, Decided::Always(_)) {
            self.condition.mask(chunk, views, rows, &mut self.mask);
            picked_places = picked(&self.mask, 0);
        }
        let places = picked_places.as_deref();
        let grouped = match &mut self.way {
            Way::Count(counts) => {
                let by = columns(self.plan, &self.strides, &block.codes);
                counts.add(&by, rows.len(), places);
                return;
            }
            Way::Tally(parts) => {
                let codes = self.plan.dimensions.iter().map(|dimension| &block.codes[*dimension]);
                let by: Vec<_> = codes.zip(parts.iter().map(Vec::as_slice)).collect();
                self.groups.tally.add(&by, rows.len(), places);
                return;
            }
            Way::Runs(runs) => {
                find_runs(runs, self.plan, self.groups, views, &block.codes, rows.len());
                Grouped::Runs(runs)
            }
            Way::Places(_) => {
                self.group(views, &block.codes, rows.len(), places);
                match places {
                    None => Grouped::Each(&self.of_rows),
                    Some(places) => Grouped::Picked(&self.of_rows, places),
                }
            }
        };
        self.groups.add(&grouped, &block.inputs);
    }

    /// Ends the chunk.
    fn finish(self, views: &[View]) {
        let Way::Count(counts) = &self.way else { return };
        let counted = (0..counts.combinations).map(|combination| (combination, counts.of(combination)));
        self.groups.count(counted.filter(|(_, hits)| *hits > 0).map(|(combination, hits)| {
            let by = self.plan.dimensions.iter().zip(&self.strides);
            let codes = by.map(move |(dimension, stride)| {
                let shared = &views[*dimension].shared;
                shared[combination / stride % shared.len()]
            });
            (codes, hits)
        }));
    }

    /// Finds the group of every row.
    fn group(&mut self, views: &[View], codes: &Gathered, rows: usize, places: Option<&[u32]>) {
        let Self { plan, groups, strides, way: Way::Places(known), of_rows, .. } = self else { return };
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
            [dimension] => {
                let (codes, shared) = (&codes[*dimension], &views[*dimension].shared);
                let code = |code: &u32| shared[*code as usize];
                match places {
                    None => groups.keys.number_all(codes.iter().map(code), of_rows),
                    Some(places) => {
                        let codes = places.iter().map(|place| &codes[*place as usize]);
                        groups.keys.number_all(codes.map(code), of_rows);
                    }
                }
            }
            dimensions if !strides.is_empty() => {
                let by = columns(plan, strides, codes);
                of_rows.extend((0..rows).map(|at| {
                    let at = place(at);
                    let combination = combination(&by, at);
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

/// The codes of a panel's dimensions in a block, each with how far its combinations are apart.
fn columns<'a>(plan: &PanelPlan, strides: &[usize], codes: &'a Gathered) -> Vec<(&'a [u32], usize)> {
    let by = plan.dimensions.iter().zip(strides);
    by.map(|(dimension, stride)| (&codes[*dimension], *stride)).collect()
}

/// The combination of a row.
#[inline]
fn combination(by: &[(&[u32], usize)], row: usize) -> usize {
    by.iter().map(|(codes, stride)| codes[row] as usize * stride).sum()
}

impl Counts {
    fn new(combinations: usize) -> Self {
        let lanes = if combinations <= 1_024 { 4 } else { 1 };
        Self { combinations, lanes, counts: vec![0; lanes * combinations] }
    }

    /// Counts rows, or those at `places`.
    fn add(&mut self, by: &[(&[u32], usize)], rows: usize, places: Option<&[u32]>) {
        let Self { combinations, lanes, counts } = self;
        let last = *lanes - 1; // they are a power of two
        let mut count = |place: usize, combination: usize| {
            counts[(place & last) * *combinations + combination] += 1;
        };
        match (by, places) {
            ([(codes, _)], None) => {
                codes.iter().enumerate().for_each(|(place, code)| count(place, *code as usize));
            }
            ([(one, _), (other, stride)], None) => {
                for (place, (one, other)) in one.iter().zip(*other).enumerate() {
                    count(place, *one as usize + *other as usize * stride);
                }
            }
            (by, None) => (0..rows).for_each(|row| count(row, combination(by, row))),
            (by, Some(places)) => {
                for (place, row) in places.iter().enumerate() {
                    count(place, combination(by, *row as usize));
                }
            }
        }
    }

    /// Hits of a combination.
    fn of(&self, combination: usize) -> u64 {
        (0..self.lanes).map(|lane| u64::from(self.counts[lane * self.combinations + combination])).sum()
    }
}

/// Finds the groups of rows in the order of time, which are grouped by nothing else.
fn find_runs(
    runs: &mut Vec<(u32, usize)>,
    plan: &PanelPlan,
    groups: &mut Groups,
    views: &[View],
    codes: &Gathered,
    rows: usize,
) {
    runs.clear();
    let mut first = 0;
    while first < rows {
        // Codes of times ascend within a chunk.
        let same = |dimension: &usize| {
            let codes = &codes[*dimension][first..];
            codes.partition_point(|code| *code == codes[0])
        };
        let length = plan.dimensions.iter().map(same).min().unwrap_or(rows - first);
        let shared = |dimension: &usize| views[*dimension].shared[codes[*dimension][first] as usize];
        runs.push((groups.keys.number(plan.dimensions.iter().map(shared)), length));
        first += length;
    }
}
