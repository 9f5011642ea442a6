//! What every route shares.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};
use watchkeeper_store::Store;

use crate::AuthConfig;

/// Answers that read whole pages of hits, at once; further ones wait.
const HEAVY: usize = 4;

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Who may administer and look.
    pub auth: AuthConfig,
    /// Whether anybody may get a new API key.
    pub open_signup: bool,
    /// Rows of a dashboard page. The dashboard stops at a page of fewer than 200,000.
    pub page_size: usize,
    /// Rows of a dashboard answer that asks for everything.
    pub max_load: usize,
    /// Monitors that one project may add.
    pub monitors_per_project: usize,
}

impl ApiOptions {
    /// Upstream's defaults of api-analytics.
    pub fn new(auth: AuthConfig, open_signup: bool) -> Self {
        Self { auth, open_signup, page_size: 250_000, max_load: 1_000_000, monitors_per_project: 3 }
    }
}

/// The state of the API; clones share it.
#[derive(Clone)]
pub struct Api {
    pub(crate) store: Store,
    pub(crate) options: Arc<ApiOptions>,
    pub(crate) heavy: Arc<Semaphore>,
    pub(crate) changed: Arc<dyn Fn() + Send + Sync>,
    pub(crate) transitions: Arc<Notify>,
}

impl Api {
    /// An API over `store` that calls `changed` when endpoints have changed.
    pub fn new(store: Store, options: ApiOptions, changed: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            store,
            options: Arc::new(options),
            heavy: Arc::new(Semaphore::new(HEAVY)),
            changed: Arc::new(changed),
            transitions: Arc::new(Notify::new()),
        }
    }

    /// Notes that endpoints have changed, for the checker and for those who wait for transitions.
    pub(crate) fn endpoints_changed(&self) {
        (self.changed)();
        self.transitions.notify_waiters();
    }
}
