use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const UNIX: Duration = Duration::from_secs(1_700_000_000);

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Runs an endpoint for `checks` checks that end at once; when each started.
fn starts(schedule: &mut Schedule, checks: usize) -> Vec<Instant> {
    (0..checks)
        .map(|_| {
            let now = schedule.next_due().expect("something is due");
            let due = schedule.pop_due(now).expect("it is due");
            schedule.finish(due.id);
            due.at
        })
        .collect()
}

#[test]
fn checks_are_exactly_one_interval_apart_however_late_each_is_asked_for() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.insert(1, MINUTE, First::OnGrid, now, UNIX);
    let first = schedule.next_due().expect("due");
    for n in 0..100 {
        let late = first + MINUTE * n + Duration::from_millis(u64::from(n) * 7);
        let due = schedule.pop_due(late).expect("due");
        assert_eq!(due.at, first + MINUTE * n);
        schedule.finish(1);
    }
}

#[test]
fn many_endpoints_are_spread_over_the_interval() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    for id in 0..6_000 {
        schedule.insert(id, MINUTE, First::OnGrid, now, UNIX);
    }
    let mut busiest = 0;
    for n in 1..=60 {
        let mut in_this_second = 0;
        while schedule.pop_due(now + second(n)).is_some() {
            in_this_second += 1;
        }
        busiest = busiest.max(in_this_second);
    }
    assert!((100..160).contains(&busiest), "{busiest} of 6000 in one second");
}

#[test]
fn a_replica_that_takes_over_goes_on_with_the_same_grid() {
    let (mut before, now) = (Schedule::default(), Instant::now());
    before.insert(42, MINUTE, First::OnGrid, now, UNIX);
    let old = starts(&mut before, 3);

    let pause = second(75);
    let mut after = Schedule::default();
    after.insert(42, MINUTE, First::OnGrid, now + pause, UNIX + pause);
    let next = starts(&mut after, 1)[0];
    assert!(old.contains(&next), "{next:?} is none of {old:?}");
}

#[test]
fn a_new_endpoint_is_checked_soon_and_then_on_its_grid() {
    for id in 0..100 {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.insert(id, MINUTE, First::Soon, now, UNIX);
        let starts = starts(&mut schedule, 3);
        assert!(starts[0] - now < second(2));
        let gap = starts[1] - starts[0];
        assert!(gap >= MINUTE / 2 && gap <= MINUTE + MINUTE / 2, "{gap:?}");
        assert_eq!(starts[2] - starts[1], MINUTE);
    }
}

#[test]
fn an_endpoint_that_still_runs_misses_its_turn_and_delays_no_other() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.insert(1, second(10), First::OnGrid, now, UNIX);
    schedule.insert(2, second(10), First::OnGrid, now, UNIX);
    let (mut slow, mut quick) = (0, 0);
    for tick in 1..=100 {
        while let Some(due) = schedule.pop_due(now + second(tick)) {
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
    while let Some(due) = schedule.pop_due(now + second(111)) {
        again |= due.id == 1;
    }
    assert!(again, "it is due again once it has ended");
}

#[test]
fn turns_missed_during_a_pause_are_not_made_up_for() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.insert(1, second(1), First::OnGrid, now, UNIX);
    let hour_later = now + second(3_600);
    assert!(schedule.pop_due(hour_later).is_some());
    schedule.finish(1);
    assert_eq!(schedule.pop_due(hour_later), None);
    assert!(schedule.next_due().is_some_and(|due| due > hour_later));
}

#[test]
fn a_removed_endpoint_is_never_due_and_a_replaced_one_only_once() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.insert(1, MINUTE, First::Soon, now, UNIX);
    schedule.insert(2, MINUTE, First::Soon, now, UNIX);
    schedule.insert(2, second(30), First::Soon, now, UNIX);
    schedule.remove(1);
    assert_eq!(schedule.len(), 1);
    assert_eq!(schedule.pop_due(now + second(3)).map(|due| due.id), Some(2));
    assert_eq!(schedule.pop_due(now + second(3)), None);
}

#[test]
fn absurd_intervals_are_brought_into_bounds() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.insert(1, Duration::ZERO, First::OnGrid, now, UNIX);
    let starts = starts(&mut schedule, 2);
    assert_eq!(starts[1] - starts[0], MIN_INTERVAL);
    schedule.insert(1, Duration::MAX, First::OnGrid, now, UNIX);
    assert!(schedule.next_due().is_some_and(|due| due - now <= MAX_INTERVAL));
}
