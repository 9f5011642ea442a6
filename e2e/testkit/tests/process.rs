//! Children of the test kit.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use watchkeeper_testkit::process::{Daemon, Spec};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::wait;

const LIMIT: Duration = Duration::from_secs(10);

fn shell(directory: &RunDir, script: &str) -> Daemon {
    Spec::new("shell", "/bin/sh", directory.path().join("log")).args(["-c", script]).spawn().unwrap()
}

fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn wait_for_state(pid: u32, wanted: impl Fn(Option<char>) -> bool) {
    wait::until("the process's state", LIMIT, || Ok(wanted(state(pid)).then_some(()))).unwrap();
}

#[test]
fn one_that_ends_before_it_is_ready_is_told_with_the_end_of_its_log() {
    let directory = RunDir::new("process-test").unwrap();
    let daemon = shell(&directory, "echo cannot bind; exit 3");
    let error = daemon.wait_ready(LIMIT, || false).unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("cannot bind"), "{error}");
}

#[test]
fn one_that_is_never_ready_is_told_after_the_limit() {
    let directory = RunDir::new("process-test").unwrap();
    let daemon = shell(&directory, "echo still thinking; sleep 60");
    let said = || Ok(daemon.log_tail().contains("still thinking").then_some(()));
    wait::until("it says something", LIMIT, said).unwrap();
    let error = daemon.wait_ready(Duration::from_millis(200), || false).unwrap_err().to_string();
    assert!(error.contains("not within 200ms") && error.contains("still thinking"), "{error}");
}

#[test]
fn it_can_be_frozen_with_its_children_and_goes_on() {
    let directory = RunDir::new("process-test").unwrap();
    let daemon = shell(&directory, "sleep 60 & wait");
    let child = wait::until("a child", LIMIT, || Ok(daemon.children().first().copied())).unwrap();
    daemon.freeze().unwrap();
    wait_for_state(daemon.pid(), |state| state == Some('T'));
    wait_for_state(child, |state| state == Some('T'));
    daemon.thaw().unwrap();
    wait_for_state(daemon.pid(), |state| state == Some('S'));
    wait_for_state(child, |state| state == Some('S'));
}

#[test]
fn it_is_asked_to_end_and_its_status_is_told() {
    let directory = RunDir::new("process-test").unwrap();
    let daemon = shell(&directory, "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    daemon.wait_ready(LIMIT, || daemon.log_tail().contains("ready")).unwrap();
    assert_eq!(daemon.terminate(LIMIT).unwrap().code(), Some(7));
}

#[test]
fn dropping_it_kills_it() {
    let directory = RunDir::new("process-test").unwrap();
    let daemon = shell(&directory, "sleep 60");
    let pid = daemon.pid();
    drop(daemon);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn it_outlives_the_thread_that_asked_for_it() {
    let directory = RunDir::new("process-test").unwrap();
    let log = directory.path().join("log");
    let start = move || Spec::new("sleep", "/bin/sleep", log).arg("60").spawn().unwrap();
    let daemon = std::thread::spawn(start).join().unwrap();
    wait_for_state(daemon.pid(), |state| state == Some('S'));
    assert!(daemon.exited().unwrap().is_none());
}

/// Not a test of its own: the process that the next test kills.
#[test]
#[ignore = "run by `it_dies_with_a_test_process_that_is_killed`"]
fn victim() {
    let directory = RunDir::new("process-test").unwrap();
    let daemon = shell(&directory, "exec sleep 60");
    fs::write(std::env::var_os("VICTIM_PID_FILE").unwrap(), daemon.pid().to_string()).unwrap();
    daemon.wait_exit(Duration::from_secs(60)).unwrap();
}

#[test]
fn it_dies_with_a_test_process_that_is_killed() {
    let directory = RunDir::new("process-test").unwrap();
    let pid_file = directory.path().join("pid");
    let victim = Spec::new("victim", std::env::current_exe().unwrap(), directory.path().join("log"))
        .args(["--exact", "victim", "--ignored"])
        .env("VICTIM_PID_FILE", &pid_file)
        .spawn()
        .unwrap();
    let read = || Ok(fs::read_to_string(&pid_file).ok().and_then(|pid| pid.parse::<u32>().ok()));
    let grandchild = wait::until("the victim's child", LIMIT, read).unwrap();
    wait_for_state(grandchild, |state| state.is_some());
    victim.kill9().unwrap();
    // Reaped by init, or left a zombie where there is none that reaps.
    wait_for_state(grandchild, |state| matches!(state, None | Some('Z')));
}
