//! Sends what waits in the outbox of notices. Any replica may; a message is
//! claimed by one of them, and each channel is worked on apart, so that one that
//! hangs holds up no other.

mod channels;
mod delivery;
mod failure;
mod http;
mod message;
mod metrics;
mod template;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use watchkeeper_store::{Store, alerts::NoticeState};

pub use delivery::{NotifierOptions, run};
pub use metrics::Metrics;

/// Why a notifier could not start. Once started, it does not fail: it waits for
/// what is away.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// TLS cannot be set up.
    #[error("the client of the channels cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The metrics are registered already.
    #[error("the notifier's metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] watchkeeper_store::StoreError),
    /// A test could not be sent.
    #[error("{0}")]
    Test(String),
}

/// Longest wait for the outcome of a test.
const TEST_TIME: Duration = Duration::from_secs(60);

/// Puts a test into the outbox, helps to send what waits for its channel, and
/// waits until somebody has sent it.
///
/// # Errors
/// What the channel said, or that there is no such channel.
pub async fn test(store: &Store, channel: &str) -> Result<(), NotifierError> {
    if !store.channels().await?.iter().any(|known| known.name == channel) {
        return Err(NotifierError::Test(format!(
            "there is no channel `{channel}`; add it to the instance's manifest"
        )));
    }
    let id = store.enqueue_test(channel).await?;
    let metrics = Metrics::new(&prometheus::Registry::new())?;
    let delivery = delivery::Delivery::new(store.clone(), metrics, NotifierOptions::default())?;
    let deadline = tokio::time::Instant::now() + TEST_TIME;
    let stop = CancellationToken::new();
    while tokio::time::Instant::now() < deadline {
        delivery.drain(channel, &stop).await;
        let notice = store.notice(id).await?;
        match notice.as_ref().map(|notice| notice.state) {
            Some(NoticeState::Sent) => return Ok(()),
            Some(NoticeState::Dead) | None => {
                let error = notice.and_then(|notice| notice.error).unwrap_or_default();
                return Err(NotifierError::Test(format!("the channel `{channel}` did not take it: {error}")));
            }
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    Err(NotifierError::Test(format!(
        "the channel `{channel}` has not taken it within {} s",
        TEST_TIME.as_secs()
    )))
}
