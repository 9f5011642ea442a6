//! Rows to store, and what is stored.

use std::time::Duration;

use watchkeeper_store::{
    EndpointSpec, Hit, HttpProbe, LastCheck, NewEndpoint, Origin, Probe, ProjectId, Store,
};

pub fn hit(ts: i64, path: &str) -> Hit {
    Hit { ts, path: Some(path.into()), status: Some(200), ..Hit::default() }
}

pub async fn read_all(store: &Store, project: ProjectId) -> Vec<Hit> {
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        let loaded = snapshot.load(day.day).await.expect("load");
        assert_eq!(loaded.len(), day.rows, "rows of day {}", day.day);
        hits.extend(loaded);
    }
    hits
}

pub fn endpoint(uid: &str, project: ProjectId) -> NewEndpoint {
    NewEndpoint {
        uid: uid.into(),
        origin: Origin::Kubernetes,
        project,
        namespace: "default".into(),
        name: uid.into(),
        generation: 1,
        spec: EndpointSpec {
            group: Some("g".into()),
            timeout: Duration::from_millis(500),
            retries: 1,
            backoff: Duration::from_secs(1),
            ..EndpointSpec::new(
                uid,
                Probe::Http(HttpProbe {
                    headers: vec![("X-A".into(), "b".into())],
                    ..HttpProbe::new("https://example.com/")
                }),
            )
        },
    }
}

pub fn result(at: i64, ok: bool) -> LastCheck {
    let status = ok.then_some(200);
    let message = (!ok).then(|| "connection refused".into());
    LastCheck { at, ok, status, duration_us: 1_500, message, ..LastCheck::default() }
}
