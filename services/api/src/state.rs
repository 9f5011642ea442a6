//! What every route shares.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};
use watchkeeper_analytics::Analytics;
use watchkeeper_store::{DEFAULT_SITE_PROJECT, DEFAULT_VISIT_IDLE, SiteAccess, Store};

use crate::{
    AuthConfig,
    answers::Answers,
    guesses::Guesses,
    rooms::Rooms,
    routes::{
        dashboard::Shared,
        monitoring::{self, MonitoringOptions},
    },
};

/// Answers that read whole pages of hits, at once, and those of one project among them; further ones wait.
const HEAVY: usize = 4;
const HEAVY_EACH: u32 = 3;

/// Exports and imports at once, and those of one project among them; further ones wait.
const EXPORTS: usize = 2;
const EXPORTS_EACH: u32 = 1;

/// How the API behaves.
#[derive(Clone)]
pub struct ApiOptions {
    /// Who may administer and look.
    pub auth: AuthConfig,
    /// Names besides this machine's own, by which what is open to everybody here may be asked.
    pub allowed_hosts: Vec<String>,
    /// Whether anybody may get a new API key.
    pub open_signup: bool,
    /// Rows of a dashboard page. The dashboard stops at a page of fewer than 200,000.
    pub page_size: usize,
    /// Rows of a dashboard answer that asks for everything.
    pub max_load: usize,
    /// Monitors that one project may add.
    pub monitors_per_project: usize,
    /// Least privacy level of hits that are imported, 0 to 2.
    pub privacy_level: u8,
    /// Whether the documentation needs the administrator's token too.
    pub protect_docs: bool,
    /// What other services of this installation add to the documentation.
    pub documents: Vec<utoipa::openapi::OpenApi>,
    /// What opens a website's data.
    pub site: SiteAccess,
    /// Idle time that ends a session of a website's visitor, milliseconds.
    pub visit_idle: i64,
    /// How the monitoring interface behaves.
    pub monitoring: MonitoringOptions,
}

impl ApiOptions {
    /// The defaults of the systems that this answers for.
    pub fn new(auth: AuthConfig, open_signup: bool) -> Self {
        Self {
            auth,
            allowed_hosts: Vec::new(),
            open_signup,
            page_size: 250_000,
            max_load: 1_000_000,
            monitors_per_project: 3,
            privacy_level: 0,
            protect_docs: false,
            documents: Vec::new(),
            site: SiteAccess::new(None, DEFAULT_SITE_PROJECT),
            visit_idle: DEFAULT_VISIT_IDLE,
            monitoring: MonitoringOptions::default(),
        }
    }
}

/// The state of the API; clones share it.
#[derive(Clone)]
pub struct Api {
    pub(crate) store: Store,
    pub(crate) analytics: Analytics,
    pub(crate) options: Arc<ApiOptions>,
    /// At the administrator's token.
    pub(crate) guesses: Arc<Guesses>,
    /// At the secret of the installation's website. Who has that may not guess at the token.
    pub(crate) site_guesses: Arc<Guesses>,
    pub(crate) answers: Arc<Answers>,
    /// For what reads whole pages of hits of no project in particular.
    pub(crate) heavy: Arc<Semaphore>,
    /// The same places, for what reads those of one project.
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) exports: Arc<Rooms>,
    pub(crate) changed: Arc<dyn Fn() + Send + Sync>,
    pub(crate) transitions: Arc<Notify>,
    pub(crate) dashboard: Arc<Shared>,
    pub(crate) monitoring: Arc<monitoring::Shared>,
}

impl Api {
    /// An API over the store that `analytics` asks, which calls `changed` when endpoints have changed.
    pub fn new(
        analytics: Analytics,
        options: ApiOptions,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let heavy = Arc::new(Semaphore::new(HEAVY));
        Self {
            store: analytics.store().clone(),
            analytics,
            options: Arc::new(options),
            guesses: Arc::default(),
            site_guesses: Arc::default(),
            answers: Arc::default(),
            rooms: Arc::new(Rooms::new(Arc::clone(&heavy), HEAVY_EACH)),
            heavy,
            exports: Arc::new(Rooms::new(Arc::new(Semaphore::new(EXPORTS)), EXPORTS_EACH)),
            changed: Arc::new(changed),
            transitions: Arc::new(Notify::new()),
            dashboard: Arc::default(),
            monitoring: Arc::default(),
        }
    }

    /// Notes that endpoints have changed, for the checker and for those who wait for transitions.
    pub(crate) fn endpoints_changed(&self) {
        (self.changed)();
        self.transitions.notify_waiters();
    }
}
