use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{AlertSpec, FlappingSpec, HttpProbe, MaintenanceWindow, Probe};

fn spec(alerts: AlertSpec) -> EndpointSpec {
    let probe = Probe::Http(HttpProbe::new("http://shop.example/"));
    EndpointSpec { alerts, ..EndpointSpec::new("shop", probe) }
}

fn new() -> Standing {
    Standing {
        endpoint: 7,
        project: ProjectId(1),
        state: State::Unknown,
        since: 0,
        last_check: None,
        memory: Memory::default(),
    }
}

fn check(at: i64, result: char) -> LastCheck {
    LastCheck {
        at,
        ok: result != 'x',
        degraded: result == 'd',
        message: Some(result.into()),
        ..LastCheck::default()
    }
}

/// Feeds one check a second, `.` good, `d` degraded, `x` bad, and tells the state after each by its first letter.
fn states(spec: &EndpointSpec, checks: &str) -> String {
    let mut standing = new();
    checks
        .chars()
        .zip(1_i64..)
        .map(|(result, second)| {
            advance(&mut standing, spec, &check(second * 1_000, result));
            standing.state.as_str().chars().next().unwrap_or('?')
        })
        .collect()
}

fn thresholds(failure: u32, success: u32, window: Option<u32>) -> EndpointSpec {
    spec(AlertSpec { failure_threshold: failure, success_threshold: success, window, ..AlertSpec::default() })
}

#[test]
fn thresholds_of_one_follow_every_check() {
    assert_eq!(states(&thresholds(1, 1, None), ".x.xx.d.xd."), "UDUDDUDUDDU");
    assert_eq!(states(&thresholds(1, 1, None), "x"), "D");
}

#[test]
fn bad_checks_in_a_row_make_it_down_and_good_ones_up_again() {
    assert_eq!(states(&thresholds(3, 2, None), "..xx.xxx.x..."), "UUUUUUUDDDDUU");
}

#[test]
fn what_was_never_checked_is_up_at_once_and_down_at_its_threshold() {
    assert_eq!(states(&thresholds(3, 3, None), "xx."), "UUU");
    // U of Unknown and of Up: told apart by the transitions.
    let spec = thresholds(3, 3, None);
    let mut standing = new();
    assert_eq!(advance(&mut standing, &spec, &check(1, 'x')), None);
    assert_eq!(standing.state, State::Unknown);
    let transition = advance(&mut standing, &spec, &check(2, '.')).expect("known now");
    assert_eq!((transition.from, transition.to), (State::Unknown, State::Up));
}

#[test]
fn f_of_n_catches_what_never_fails_in_a_row() {
    // 3 of 5: alternating checks are down, and up only when fewer than 3 of the last 5 were bad.
    assert_eq!(states(&thresholds(3, 1, Some(5)), ".x.x.x..."), "UUUUUDUUU");
    assert_eq!(states(&thresholds(3, 1, None), ".x.x.x..."), "UUUUUUUUU");
}

#[test]
fn degraded_has_the_same_thresholds_and_bad_ones_count_for_it() {
    let spec = thresholds(2, 2, None);
    let degraded = |checks: &str| {
        let mut standing = new();
        for (result, at) in checks.chars().zip(1_i64..) {
            advance(&mut standing, &spec, &check(at, result));
        }
        standing.state
    };
    assert_eq!(degraded(".d"), State::Up);
    assert_eq!(degraded(".dd"), State::Degraded);
    assert_eq!(degraded(".xd"), State::Degraded);
    assert_eq!(degraded(".dd."), State::Degraded);
    assert_eq!(degraded(".dd.."), State::Up);
    assert_eq!(degraded(".ddxx"), State::Down);
    assert_eq!(degraded(".xxd"), State::Down);
    assert_eq!(degraded(".xxdd"), State::Degraded);
    assert_eq!(degraded(".xx.."), State::Up);
    assert_eq!(degraded(".xx.d"), State::Degraded);
}

#[test]
fn a_replica_whose_clock_is_behind_is_heard_all_the_same() {
    let spec = thresholds(1, 1, None);
    let mut standing = new();
    advance(&mut standing, &spec, &check(1_000_000, '.'));
    let transition = advance(&mut standing, &spec, &check(400_000, 'x')).expect("down");
    assert_eq!((transition.to, standing.since), (State::Down, 400_000));
}

#[test]
fn nothing_moves_what_is_suspended() {
    let mut standing = Standing { state: State::Suspended, ..new() };
    assert_eq!(advance(&mut standing, &thresholds(1, 1, None), &check(1, 'x')), None);
    assert_eq!(standing.last_check, None);
}

#[test]
fn a_transition_tells_from_where_and_since_when() {
    let spec = thresholds(1, 1, None);
    let mut standing = new();
    advance(&mut standing, &spec, &check(1_000, '.'));
    advance(&mut standing, &spec, &check(2_000, '.'));
    let transition = advance(&mut standing, &spec, &check(3_000, 'x')).expect("down");
    assert_eq!(
        transition,
        Transition {
            endpoint: 7,
            project: ProjectId(1),
            seq: 0,
            at: 3_000,
            from: State::Up,
            from_since: 1_000,
            to: State::Down,
            message: Some("x".into()),
            flapping: Flapping::No,
        }
    );
    assert_eq!(standing.since, 3_000);
}

#[test]
fn maintenance_hides_the_condition_and_its_end_tells_it_at_once() {
    let window = MaintenanceWindow {
        start: "1970-01-01T00:00:03Z".into(),
        duration: Duration::from_secs(4),
        recurrence: None,
        timezone: "UTC".into(),
    };
    let spec = EndpointSpec { maintenance: vec![window], ..thresholds(2, 1, None) };
    assert_eq!(states(&spec, "..xxxx."), "UUMMMMU");
    // Two bad checks within the window are enough when it ends.
    assert_eq!(states(&spec, "...xxxx"), "UUMMMMD");
}

/// How the transitions are marked that checks at these seconds cause, where three changes within ten seconds
/// are too many.
fn marks(alerts: AlertSpec, checks: &[(i64, char)]) -> Vec<Flapping> {
    let flapping = FlappingSpec { changes: 3, within: Duration::from_secs(10) };
    let spec = spec(AlertSpec { flapping: Some(flapping), ..alerts });
    let mut standing = new();
    checks
        .iter()
        .filter_map(|(second, result)| advance(&mut standing, &spec, &check(second * 1_000, *result)))
        .map(|transition| transition.flapping)
        .collect()
}

#[test]
fn changes_that_come_too_often_are_marked_until_the_state_holds() {
    use Flapping::{Begins, GoesOn, No};
    let checks = [(1, '.'), (2, 'x'), (3, '.'), (4, 'x'), (5, '.'), (30, 'x')];
    assert_eq!(marks(AlertSpec::default(), &checks), [No, No, No, Begins, GoesOn, No]);
}

#[test]
fn flapping_begins_once_and_goes_on_until_no_change_comes_for_its_time() {
    use Flapping::{Begins, GoesOn, No};
    // Never more than three of them within the time, and only two in the end.
    let checks = [(1, '.'), (5, 'x'), (9, '.'), (13, 'x'), (17, '.'), (21, 'x'), (30, '.'), (40, 'x')];
    assert_eq!(marks(AlertSpec::default(), &checks), [No, No, No, Begins, GoesOn, GoesOn, GoesOn, No]);
}

#[test]
fn changes_that_nobody_would_be_told_of_are_not_too_many() {
    let alerts = AlertSpec { degraded: false, ..AlertSpec::default() };
    let checks: Vec<(i64, char)> = (1..).zip(".d.d.dx".chars()).collect();
    assert_eq!(marks(alerts, &checks), [Flapping::No; 7]);
}

#[test]
fn memory_survives_being_stored_and_losing_it_keeps_the_state() {
    let spec = thresholds(2, 2, None);
    let mut standing = new();
    for (result, at) in ".xx.".chars().zip(1_i64..) {
        advance(&mut standing, &spec, &check(at, result));
    }
    let stored = serde_json::to_string(&standing.memory).expect("JSON");
    let kept = Standing { memory: serde_json::from_str(&stored).expect("memory"), ..standing.clone() };
    assert_eq!(kept, standing);
    let mut lost = Standing { memory: Memory::default(), ..standing };
    assert_eq!(lost.condition(), State::Down);
    assert_eq!(advance(&mut lost, &spec, &check(9, '.')), None);
    assert!(advance(&mut lost, &spec, &check(10, '.')).is_some());
}

proptest! {
    /// Against the rule as one would say it: the last so many checks, counted anew each time.
    #[test]
    fn consecutive_thresholds_are_what_they_say(
        results in prop::collection::vec(prop_oneof![Just('.'), Just('x')], 1..200),
        failure in 1_u32..6,
        success in 1_u32..6,
    ) {
        let spec = thresholds(failure, success, None);
        let mut standing = new();
        let mut expected = State::Unknown;
        for (index, result) in results.iter().enumerate() {
            let tail = |count: u32, wanted: char| {
                let count = usize::try_from(count).expect("small");
                index + 1 >= count && results[index + 1 - count..=index].iter().all(|result| *result == wanted)
            };
            expected = match expected {
                _ if tail(failure, 'x') => State::Down,
                State::Down if !tail(success, '.') => State::Down,
                State::Unknown if *result == 'x' => State::Unknown,
                State::Up | State::Unknown | State::Down => State::Up,
                other => other,
            };
            advance(&mut standing, &spec, &check(i64::try_from(index).expect("small") + 1, *result));
            prop_assert_eq!(standing.state, expected);
        }
    }

    /// Transitions form a chain: each begins where the one before ended, and none leads nowhere.
    #[test]
    fn transitions_follow_each_other_without_gaps(
        results in prop::collection::vec(prop_oneof![Just('.'), Just('d'), Just('x')], 1..200),
        failure in 1_u32..5,
        success in 1_u32..5,
        window in prop::option::of(1_u32..10),
        split in 0_usize..200,
    ) {
        let spec = thresholds(failure, success, window);
        let mut standing = new();
        let mut state = State::Unknown;
        for (index, result) in results.iter().enumerate() {
            if index == split {
                // A restart: everything comes back from the database.
                let stored = serde_json::to_string(&standing.memory).expect("JSON");
                standing.memory = serde_json::from_str(&stored).expect("memory");
            }
            if let Some(transition) = advance(&mut standing, &spec, &check(i64::try_from(index).expect("small") + 1, *result)) {
                prop_assert_eq!(transition.from, state);
                prop_assert_ne!(transition.to, state);
                state = transition.to;
            }
            prop_assert_eq!(standing.state, state);
        }
    }
}
