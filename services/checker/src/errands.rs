//! Errands: checks and questions that an API asks for, beside the schedule and without its state.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use watchkeeper_store::{CertificateAnswer, Check, Endpoint, Errand, Store, Taken, now_ms};

use crate::probe::Probers;
use crate::retry;

/// Time between looks for errands.
const LOOK: Duration = Duration::from_millis(200);

/// Time between looks while the store is away.
const AWAY: Duration = Duration::from_secs(2);

/// Longest wait for the store.
const PATIENCE: Duration = Duration::from_secs(15);

/// Errands under way at once; what is beyond stays for other replicas.
const AT_ONCE: usize = 64;

/// Longest time to get a certificate.
const CERTIFICATE_TIME: Duration = Duration::from_secs(10);

/// Does errands until `shutdown`.
pub async fn run_errands(store: Store, probers: Probers, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut pause = LOOK;
    while tokio::time::timeout(pause, shutdown.cancelled()).await.is_err() {
        if room.available_permits() == 0 {
            continue;
        }
        pause = LOOK;
        let asked = store.clone();
        let taken = match store.within(PATIENCE, async move { asked.take_errands().await }).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "errands cannot be read");
                pause = AWAY;
                continue;
            }
        };
        for errand in taken {
            let doing = do_one(store.clone(), probers.clone(), errand);
            let room = Arc::clone(&room);
            tokio::spawn(async move {
                let _permit = room.acquire_owned().await;
                doing.await;
            });
        }
    }
}

async fn do_one(store: Store, probers: Probers, Taken { id, errand }: Taken) {
    let answered = match errand {
        Errand::Check { endpoint, retries } => check(&store, &probers, endpoint, retries).await,
        Errand::Certificate { endpoint } => ask(&store, &probers, endpoint).await,
    };
    let answered = match answered {
        Ok(Some(answer)) => {
            let answerer = store.clone();
            store.within(PATIENCE, async move { answerer.answer_errand(id, &answer).await }).await
        }
        // Its endpoint has gone; whoever asked hears that nobody answered.
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "an errand is not answered");
    }
}

async fn check(
    store: &Store,
    probers: &Probers,
    endpoint: i64,
    retries: bool,
) -> watchkeeper_store::Result<Option<String>> {
    let Some(endpoint) = read(store, endpoint).await? else { return Ok(None) };
    let spec = &endpoint.spec;
    let policy = if retries { retry::Policy::of(spec) } else { retry::Policy::once() };
    let at = now_ms();
    let outcome = retry::attempts(policy, || probers.check(&endpoint)).await;
    let result = outcome.into_check(at);
    let answer = serde_json::to_string(&result)?;
    let check = Check { project: endpoint.project, endpoint: endpoint.id, result };
    let recorder = store.clone();
    store.within(PATIENCE, async move { recorder.record_manual_check(&check).await }).await?;
    Ok(Some(answer))
}

async fn read(store: &Store, endpoint: i64) -> watchkeeper_store::Result<Option<Endpoint>> {
    let reader = store.clone();
    store.within(PATIENCE, async move { reader.endpoint(endpoint).await }).await
}

async fn ask(store: &Store, probers: &Probers, endpoint: i64) -> watchkeeper_store::Result<Option<String>> {
    let Some(endpoint) = read(store, endpoint).await? else { return Ok(None) };
    let asked = probers.certificate(&endpoint, CERTIFICATE_TIME).await;
    let answer = asked.unwrap_or_else(CertificateAnswer::failed);
    Ok(Some(serde_json::to_string(&CertificateAnswer { at: Some(now_ms()), ..answer })?))
}
