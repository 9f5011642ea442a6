//! Which notices a transition causes. Pure: no clock, no database.

use std::collections::{BTreeMap, BTreeSet};

use super::{Channel, Hold, Kind, channel};
use crate::{AlertSpec, EndpointSpec, Flapping, Origin, State, Transition, maintenance};

/// What a channel was told of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The condition; `Up` where it was told nothing, `Unknown` where it was told that it changes too often.
    pub condition: State,
    /// Number of the transition that began the trouble.
    pub episode: i64,
    /// When it was last told of trouble, UTC milliseconds.
    pub trouble_at: Option<i64>,
}

impl Default for Told {
    fn default() -> Self {
        Self { condition: State::Up, episode: 0, trouble_at: None }
    }
}

impl Told {
    /// The episode that a notice of this transition belongs to.
    fn episode_at(&self, transition: &Transition) -> i64 {
        if self.condition == State::Up { transition.seq } else { self.episode }
    }
}

/// What the channels were told of one endpoint, by name.
pub(super) type Tales = BTreeMap<String, Told>;

/// A notice to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub channel: String,
    pub kind: Kind,
    pub condition: State,
    pub episode: i64,
    /// Which of several of its kind in an episode.
    pub ordinal: i64,
    pub hold: Option<Hold>,
    pub due_at: i64,
    /// Why it cannot be sent at all.
    pub dead: Option<String>,
}

/// What is known of an endpoint when a transition of its is planned.
pub(super) struct Subject<'a> {
    pub origin: Origin,
    pub spec: &'a EndpointSpec,
    /// Whether it flaps in the shadow of what it depends on, which is down or may turn out to be.
    pub shadowed: bool,
}

/// The state that readers of this endpoint's notices care about, if the
/// transition makes one known.
fn effective(alerts: &AlertSpec, to: State) -> Option<State> {
    match to {
        State::Up | State::Degraded | State::Down => Some(alerts.told_as(to)),
        // Nobody watches it any more, so nothing is wrong with it.
        State::Suspended => Some(State::Up),
        State::Unknown | State::Maintenance => None,
    }
}

/// Plans the notices of a transition at `now`. What still waits with a hold has
/// been dropped before, and `tales` moves on to what is told at once.
pub(super) fn plan(
    subject: &Subject<'_>,
    transition: &Transition,
    channels: &[Channel],
    tales: &mut Tales,
    now: i64,
) -> Vec<Planned> {
    let alerts = &subject.spec.alerts;
    let Some(condition) = effective(alerts, transition.to) else {
        return Vec::new();
    };
    let own = own_channels(subject, channels);
    // Those that only an escalation can have told are not escalated to twice in one trouble.
    let escalated: BTreeSet<String> = tales
        .iter()
        .filter(|(name, told)| told.condition != State::Up && !own.contains(*name))
        .map(|(name, _)| name.clone())
        .collect();
    let flaps = alerts.flapping.is_some() && transition.flapping != Flapping::No;
    let recovery = condition == State::Up;
    let mut planned = Vec::new();
    // Those that were told of the trouble are told of its end, whoever they are by now.
    let informed = tales.iter().filter(|(_, told)| told.condition != State::Up).map(|(name, _)| name.clone());
    let all: BTreeSet<String> = own.iter().cloned().chain(informed).collect();
    for name in all {
        let mut told = tales.get(&name).copied().unwrap_or_default();
        // One that is not there is owed the same, so that nothing is missing once it is back.
        let channel = channel::find(channels, &name);
        let missing = channel.is_none().then(|| why_missing(channels, &name));
        if told.condition == condition {
            if !recovery {
                planned.extend(reminder(alerts, &name, condition, told.episode, transition.seq, now));
            }
            continue;
        }
        if recovery && !alerts.send_recovery.unwrap_or(channel.is_none_or(|channel| channel.send_recovery)) {
            // What flaps goes on flapping for it, or it would be told so again at the next change.
            if !flaps || told.condition != State::Unknown {
                tales.insert(name, Told { condition, ..told });
            }
            continue;
        }
        let episode = told.episode_at(transition);
        let quiet = channel.is_some_and(|channel| maintenance::ends_at(&channel.quiet_hours, now).is_some());
        // Where it cannot be told now, the next change tells it, if one comes.
        if flaps && told.condition != State::Unknown && !quiet && !subject.shadowed {
            told = Told { condition: State::Unknown, episode, trouble_at: Some(now) };
            tales.insert(name.clone(), told);
            planned.push(Planned {
                channel: name.clone(),
                kind: Kind::Flapping,
                condition: State::Unknown,
                episode,
                ordinal: transition.seq,
                hold: None,
                due_at: now,
                dead: missing.clone(),
            });
        }
        let held = hold(subject, transition, channel, condition, told, now);
        if held.is_none() {
            let trouble_at = if recovery { told.trouble_at } else { Some(now) };
            tales.insert(name.clone(), Told { condition, episode, trouble_at });
            if !recovery {
                planned.extend(reminder(alerts, &name, condition, episode, transition.seq, now));
            }
        }
        let wait = channel.map_or(0, |channel| ms(channel.group_wait));
        planned.push(Planned {
            channel: name,
            kind: kind(condition),
            condition,
            episode,
            ordinal: transition.seq,
            hold: held.map(|(hold, _)| hold),
            due_at: held.map_or(now.saturating_add(wait), |(_, due)| due),
            // What is held may go out after all: whoever sends it looks again.
            dead: missing.filter(|_| held.is_none()),
        });
    }
    if condition == State::Down {
        planned.extend(escalations(alerts, transition, tales, &escalated, now));
    }
    planned
}

/// The channels that the endpoint's specification names or leaves to the installation.
fn own_channels(subject: &Subject<'_>, channels: &[Channel]) -> BTreeSet<String> {
    match &subject.spec.alerts.channels {
        // A stranger's monitor disturbs nobody, and names no channel of the operator's.
        _ if subject.origin == Origin::Monitor => BTreeSet::new(),
        Some(named) => named.iter().cloned().collect(),
        None => {
            channels.iter().filter(|channel| channel.default).map(|channel| channel.name.clone()).collect()
        }
    }
}

fn why_missing(channels: &[Channel], name: &str) -> String {
    if channels.iter().any(|channel| channel.name == name) {
        format!(
            "the channel `{name}` lacks something, such as its Secret; the instance's condition says what"
        )
    } else {
        format!("there is no channel `{name}` in this installation; add it")
    }
}

/// Whether an endpoint's specification still asks for a notice that waited.
pub(super) fn is_wanted(alerts: &AlertSpec, kind: Kind, channel: &str) -> bool {
    match kind {
        Kind::Reminder => alerts.reminder.is_some_and(|every| !every.is_zero()),
        Kind::Escalation => {
            alerts.escalation.iter().any(|step| step.channels.iter().any(|name| name == channel))
        }
        _ => true,
    }
}

fn kind(condition: State) -> Kind {
    match condition {
        State::Down => Kind::Down,
        State::Degraded => Kind::Degraded,
        _ => Kind::Recovery,
    }
}

/// Why the notice must wait, and until when at least.
fn hold(
    subject: &Subject<'_>,
    transition: &Transition,
    channel: Option<&Channel>,
    condition: State,
    told: Told,
    now: i64,
) -> Option<(Hold, i64)> {
    let alerts = &subject.spec.alerts;
    if transition.flapping != Flapping::No
        && let Some(flapping) = &alerts.flapping
    {
        return Some((Hold::Flapping, now.saturating_add(ms(flapping.within))));
    }
    if condition != State::Up {
        let cooldown = alerts.cooldown.or(channel.map(|channel| channel.cooldown)).map_or(0, ms);
        let cool = told.trouble_at.map_or(now, |at| at.saturating_add(cooldown));
        // What gets worse is told at once.
        if told.condition == State::Up && cool > now {
            return Some((Hold::Cooldown, cool));
        }
        if !subject.spec.depends_on.is_empty() {
            return Some((Hold::Dependency, now));
        }
    }
    maintenance::ends_at(&channel?.quiet_hours, now).map(|end| (Hold::Quiet, end))
}

/// The first repetition of a notice that goes out now.
pub(super) fn reminder(
    alerts: &AlertSpec,
    channel: &str,
    condition: State,
    episode: i64,
    ordinal: i64,
    now: i64,
) -> Option<Planned> {
    let every = alerts.reminder.filter(|every| !every.is_zero())?;
    Some(Planned {
        channel: channel.to_owned(),
        kind: Kind::Reminder,
        condition,
        episode,
        ordinal,
        hold: Some(Hold::Reminder),
        due_at: now.saturating_add(ms(every)),
        dead: None,
    })
}

/// The notices to others, should it stay down. They are counted from this
/// transition, and each channel is told once in an episode.
fn escalations(
    alerts: &AlertSpec,
    transition: &Transition,
    tales: &Tales,
    escalated: &BTreeSet<String>,
    now: i64,
) -> Vec<Planned> {
    let mut planned = Vec::new();
    for (step, escalation) in (0_i64..).zip(&alerts.escalation) {
        for channel in escalation.channels.iter().filter(|channel| !escalated.contains(*channel)) {
            let told = tales.get(channel).copied().unwrap_or_default();
            planned.push(Planned {
                channel: channel.clone(),
                kind: Kind::Escalation,
                condition: State::Down,
                episode: told.episode_at(transition),
                // Apart from those of other transitions, so that each may be written once.
                ordinal: transition.seq.saturating_mul(64).saturating_add(step),
                hold: Some(Hold::Escalation),
                due_at: now.saturating_add(ms(escalation.after)),
                dead: None,
            });
        }
    }
    planned
}

pub(super) fn ms(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
