//! `watchkeeper local` as the test kit starts it.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use watchkeeper_testkit::http;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

#[test]
fn it_answers_on_its_ports_and_comes_back_to_them_after_a_kill() {
    let watchkeeper = Watchkeeper::local().env("WATCHKEEPER_LOG", "debug").start().unwrap();
    let (base, metrics) = (address(&watchkeeper.base_url()), address(&watchkeeper.metrics_url()));
    assert_eq!(http::get(base, "/api/health").unwrap().0, 200);
    assert_eq!(http::get(metrics, "/metrics").unwrap().0, 200);

    watchkeeper.kill9().unwrap();
    http::get(base, "/api/health").unwrap_err();
    watchkeeper.restart().unwrap();
    assert_eq!(http::get(base, "/api/health").unwrap().0, 200);
    assert!(watchkeeper.data().is_dir());
    assert!(watchkeeper.stop().unwrap(), "it did not end well");
}

#[test]
fn what_it_says_when_it_cannot_start_is_in_the_error() {
    let error = Watchkeeper::local().arg("--no-such-flag").start().unwrap_err().to_string();
    assert!(error.contains("--no-such-flag"), "{error}");
}
