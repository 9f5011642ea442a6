use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_MS: i64 = 60_000;
const NOW: i64 = 1_700_000_000_000;

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Runs an endpoint for `checks` checks that end at once; each as it was due.
fn dues(schedule: &mut Schedule, checks: usize) -> Vec<Due> {
    (0..checks)
        .map(|_| {
            let now = schedule.next_due().expect("something is due");
            let due = schedule.pop_due(now).expect("it is due");
            schedule.finish(due.id);
            due
        })
        .collect()
}

#[test]
fn checks_are_exactly_one_interval_apart_however_late_each_is_asked_for() {
    let mut schedule = Schedule::default();
    schedule.insert(1, MINUTE, First::After(NOW), NOW);
    let first = schedule.next_due().expect("due");
    for n in 0..100 {
        let due = schedule.pop_due(first + MINUTE_MS * n + n * 7).expect("due");
        assert_eq!((due.planned, due.start), (first + MINUTE_MS * n, first + MINUTE_MS * n));
        schedule.finish(1);
    }
}

#[test]
fn many_endpoints_are_spread_over_the_interval() {
    let mut schedule = Schedule::default();
    for id in 0..6_000 {
        schedule.insert(id, MINUTE, First::After(NOW), NOW);
    }
    let mut busiest = 0;
    for n in 1..=60 {
        let mut in_this_second = 0;
        while schedule.pop_due(NOW + n * 1_000).is_some() {
            in_this_second += 1;
        }
        busiest = busiest.max(in_this_second);
    }
    assert!((100..160).contains(&busiest), "{busiest} of 6000 in one second");
}

#[test]
fn a_replica_that_takes_over_in_time_goes_on_with_the_same_grid_and_doubles_nothing() {
    let mut before = Schedule::default();
    before.insert(42, MINUTE, First::After(NOW), NOW);
    let old: Vec<i64> = dues(&mut before, 3).iter().map(|due| due.planned).collect();

    let mut after = Schedule::default();
    after.insert(42, MINUTE, First::After(old[1]), old[1] + 7_000);
    let next = dues(&mut after, 2);
    assert_eq!(next[0].planned, old[2]);
    assert_eq!(next[1].planned, old[2] + MINUTE_MS);
}

#[test]
fn a_replica_that_takes_over_late_makes_up_for_the_newest_instant_at_once() {
    for id in 0..100 {
        let mut before = Schedule::default();
        before.insert(id, MINUTE, First::After(NOW), NOW);
        let newest = dues(&mut before, 1)[0].planned;

        let (mut after, now) = (Schedule::default(), newest + MINUTE_MS * 3 / 2);
        after.insert(id, MINUTE, First::After(newest), now);
        let next = dues(&mut after, 2);
        assert!((now..now + SPREAD).contains(&next[0].start), "{next:?}");
        assert_eq!(next[0].planned, newest + MINUTE_MS);
        assert_eq!((next[1].planned, next[1].start), (newest + 2 * MINUTE_MS, newest + 2 * MINUTE_MS));
    }
}

#[test]
fn a_new_endpoint_is_checked_soon_and_then_on_its_grid() {
    for id in 0..100 {
        let mut schedule = Schedule::default();
        schedule.insert(id, MINUTE, First::Soon(None), NOW);
        let dues = dues(&mut schedule, 3);
        assert!(dues[0].start - NOW < 1_000);
        let gap = dues[1].start - dues[0].start;
        assert!((MINUTE_MS / 2..=MINUTE_MS * 3 / 2).contains(&gap), "{gap}");
        assert_eq!(dues[2].planned - dues[1].planned, MINUTE_MS);
    }
}

#[test]
fn planned_instants_only_grow_whatever_is_changed() {
    let mut schedule = Schedule::default();
    schedule.insert(1, MINUTE, First::Soon(Some(NOW + 900)), NOW);
    assert!(dues(&mut schedule, 1)[0].planned > NOW + 900);
    // One of a clock that was hours ahead holds nothing up.
    schedule.insert(1, MINUTE, First::After(NOW + 7_200_000), NOW);
    assert!(schedule.next_due().is_some_and(|due| due <= NOW + MINUTE_MS));
    // However long the interval is: no check is planned for later than it is made.
    for id in 0..100 {
        schedule.insert(id, 60 * MINUTE, First::After(NOW + 30 * MINUTE_MS), NOW);
        assert!(schedule.next_due().is_some_and(|due| due <= NOW + 60 * MINUTE_MS));
        schedule.remove(id);
    }
}

#[test]
fn an_endpoint_that_still_runs_misses_its_turn_and_delays_no_other() {
    let mut schedule = Schedule::default();
    schedule.insert(1, second(10), First::After(NOW), NOW);
    schedule.insert(2, second(10), First::After(NOW), NOW);
    let (mut slow, mut quick) = (0, 0);
    for tick in 1..=100 {
        while let Some(due) = schedule.pop_due(NOW + tick * 1_000) {
            match due.id {
                1 => slow += 1,
                _ => {
                    quick += 1;
                    schedule.finish(2);
                }
            }
        }
    }
    assert_eq!((slow, quick), (1, 10));
    schedule.finish(1);
    let mut again = false;
    while let Some(due) = schedule.pop_due(NOW + 111_000) {
        again |= due.id == 1;
    }
    assert!(again, "it is due again once it has ended");
}

#[test]
fn turns_missed_during_a_pause_are_not_made_up_for() {
    let mut schedule = Schedule::default();
    schedule.insert(1, second(1), First::After(NOW), NOW);
    let hour_later = NOW + 3_600_000;
    assert!(schedule.pop_due(hour_later).is_some());
    schedule.finish(1);
    assert_eq!(schedule.pop_due(hour_later), None);
    assert!(schedule.next_due().is_some_and(|due| due > hour_later));
}

#[test]
fn a_removed_endpoint_is_never_due_and_a_replaced_one_only_once() {
    let mut schedule = Schedule::default();
    schedule.insert(1, MINUTE, First::Soon(None), NOW);
    schedule.insert(2, MINUTE, First::Soon(None), NOW);
    schedule.insert(2, second(30), First::Soon(None), NOW);
    schedule.remove(1);
    assert_eq!(schedule.len(), 1);
    assert_eq!(schedule.pop_due(NOW + 3_000).map(|due| due.id), Some(2));
    assert_eq!(schedule.pop_due(NOW + 3_000), None);
}

#[test]
fn absurd_intervals_are_brought_into_bounds() {
    let mut schedule = Schedule::default();
    schedule.insert(1, Duration::ZERO, First::After(NOW), NOW);
    let dues = dues(&mut schedule, 2);
    assert_eq!(dues[1].planned - dues[0].planned, 1_000);
    schedule.insert(1, Duration::MAX, First::After(NOW), NOW);
    let most = i64::try_from(MAX_INTERVAL.as_millis()).expect("it fits");
    assert!(schedule.next_due().is_some_and(|due| due - NOW <= most));
}
