//! What endpoints may choose: how far redirects are followed, methods, and addresses, for every type.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use tokio::net::TcpListener;
use watchkeeper_store::{AddressPolicy, ConnectOptions, HttpProbe, IpFamily, Probe};

use super::Probers;
use super::testing::{ask, every_type, listen, message};
use crate::Outcome;
use crate::guard::{GuardRules, Trust};

const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn redirects_are_followed_as_far_as_is_allowed() {
    async fn countdown(Path(left): Path<u32>) -> Response {
        match left {
            0 => "here".into_response(),
            left => Redirect::temporary(&format!("/{}", left - 1)).into_response(),
        }
    }
    let (listener, port) = listen().await;
    let router = Router::new().route("/{left}", get(countdown));
    tokio::spawn(async move { axum::serve(listener, router).await });
    for (redirects, max, told) in [
        (0, 0, None),
        (1, 0, Some("more than 0 redirects")),
        (3, 3, None),
        (3, 2, Some("more than 2 redirects")),
        (12, 12, None),
    ] {
        let probe =
            HttpProbe { max_redirects: max, ..HttpProbe::new(format!("http://own.test:{port}/{redirects}")) };
        let outcome = ask(&Probe::Http(probe), &[], TIMEOUT).await;
        assert_eq!((outcome.ok, outcome.message.as_deref()), (told.is_none(), told), "{redirects} of {max}");
        assert_eq!(outcome.seen.redirects, redirects.min(max));
    }
}

#[tokio::test]
async fn every_method_is_sent_as_it_is_written() {
    let (listener, port) = listen().await;
    let echo = async |request: Request| [("x-method", request.method().as_str().to_owned())];
    let router = Router::new().route("/", any(echo));
    tokio::spawn(async move { axum::serve(listener, router).await });
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let probe = HttpProbe { method: method.into(), ..HttpProbe::new(format!("http://own.test:{port}/")) };
        let condition = format!("[HEADER].x-method == {method}");
        let outcome = ask(&Probe::Http(probe), &[&condition], TIMEOUT).await;
        assert!(outcome.ok, "{method}: {outcome:?}");
    }
}

/// Probers of a name with these addresses.
fn named(addresses: &[&str]) -> Probers {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().expect("an address")).collect();
    Probers::told(GuardRules::default(), move |_| addresses.clone())
}

fn connects(probe: &Probe) -> bool {
    !matches!(probe, Probe::Icmp(_) | Probe::Dns(_))
}

async fn say(probers: &Probers, probe: &Probe) -> Outcome {
    probers.probe(Trust::Operator, "", probe, &[], Duration::from_millis(200)).await
}

#[tokio::test]
async fn each_type_asks_the_version_of_ip_that_is_wanted() {
    let (_v4, port) = listen().await;
    let _v6 = TcpListener::bind(("::1", port)).await.expect("the same port");
    let (both, old) = (named(&["::1", "127.0.0.1"]), named(&["127.0.0.1"]));
    for (family, ip) in [(IpFamily::Any, "::1"), (IpFamily::V4, "127.0.0.1"), (IpFamily::V6, "::1")] {
        let connect = ConnectOptions { family, ..ConnectOptions::default() };
        for probe in every_type("own.test", port, connect) {
            let outcome = say(&both, &probe).await;
            assert_eq!(outcome.seen.ip, ip.parse().ok(), "{family:?}: {probe:?}");
            if family == IpFamily::V6 {
                assert_eq!(message(&say(&old, &probe).await), "the name has no IPv6 address", "{probe:?}");
            }
        }
    }
}

#[tokio::test]
async fn each_type_that_connects_passes_dead_addresses_over_or_insists_on_all() {
    let (_listener, port) = listen().await;
    // Nothing listens on the other address.
    let two = named(&["127.0.0.2", "127.0.0.1"]);
    let insists = ConnectOptions { addresses: AddressPolicy::All, ..ConnectOptions::default() };
    for probe in every_type("own.test", port, insists).iter().filter(|probe| connects(probe)) {
        let told = "1 of 2 addresses take no connection: connection refused";
        assert_eq!(message(&say(&two, probe).await), told, "{probe:?}");
        let one = say(&named(&["127.0.0.1"]), probe).await;
        assert!(one.seen.connected, "{probe:?}: {one:?}");
    }
    let any = ConnectOptions::default();
    for probe in every_type("own.test", port, any).iter().filter(|probe| connects(probe)) {
        let outcome = say(&two, probe).await;
        assert!(outcome.seen.connected, "{probe:?}: {outcome:?}");
        assert_eq!(outcome.seen.ip, Some(IpAddr::from([127, 0, 0, 1])));
    }
}
