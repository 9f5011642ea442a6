//! Endpoints with checks of their past, made without a checker.
#![allow(dead_code)] // No test uses all of it.

use std::time::Duration;

use watchkeeper_store::{
    Check, Endpoint, EndpointSpec, HttpProbe, LastCheck, NewEndpoint, Origin, Phases, Probe, ProjectId,
    Store, now_ms,
};

/// Time from one check to the next, milliseconds.
pub const EVERY: i64 = 60_000;

/// An endpoint that is checked every minute.
pub fn endpoint(name: &str, group: &str) -> NewEndpoint {
    let host = name.to_lowercase().replace(' ', "-");
    let probe = Probe::Http(HttpProbe::new(format!("https://user:pa55@{host}.example/health?token=s3cret")));
    let spec = EndpointSpec {
        group: Some(group.to_owned()).filter(|group| !group.is_empty()),
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        ..EndpointSpec::new(name, probe)
    };
    NewEndpoint {
        uid: format!("uid-{name}"),
        origin: Origin::Kubernetes,
        project: ProjectId::INSTALLATION,
        namespace: "shop".into(),
        name: host,
        generation: 1,
        spec,
    }
}

/// Stores an endpoint; returns it as stored.
pub async fn put(store: &Store, new: &NewEndpoint) -> Endpoint {
    store.put_endpoint(new).await.expect("put");
    let all = store.endpoints().await.expect("read");
    all.into_iter().find(|endpoint| endpoint.uid == new.uid).expect("stored")
}

/// Stores checks of the last minutes, the oldest first: whether each was good.
pub async fn checked(store: &Store, endpoint: &Endpoint, good: &[bool]) {
    let minutes = i64::try_from(good.len()).expect("few");
    let start = now_ms() - minutes * EVERY + 1_000;
    let check = |(ok, minute): (&bool, i64)| Check {
        project: endpoint.project,
        endpoint: endpoint.id,
        result: LastCheck {
            at: start + minute * EVERY,
            ok: *ok,
            status: Some(if *ok { 200 } else { 503 }),
            duration_us: 120_000,
            message: (!ok).then(|| "the answer was 503, not 200".into()),
            phases: Some(Phases {
                resolve_us: 10_000,
                connect_us: 20_000,
                tls_us: 30_000,
                processing_us: 50_000,
                transfer_us: 10_000,
            }),
            ..LastCheck::default()
        },
    };
    let checks: Vec<_> = good.iter().zip(0..).map(check).collect();
    store.record_checks(&checks).await.expect("record");
}

/// Stores a good check of `ago` milliseconds before now, after which none came.
pub async fn unchecked_for(store: &Store, endpoint: &Endpoint, ago: i64) {
    let result = LastCheck { at: now_ms() - ago, ok: true, status: Some(200), ..LastCheck::default() };
    let check = Check { project: endpoint.project, endpoint: endpoint.id, result };
    store.record_checks(&[check]).await.expect("record");
}
