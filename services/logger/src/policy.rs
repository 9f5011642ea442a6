//! What projects demand for the privacy of their hits, remembered for a moment.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::time::timeout;
use watchkeeper_store::{ProjectId, ProjectSettings, Store};

/// How long a policy is remembered; a changed one is in force after it.
const FRESH: Duration = Duration::from_secs(30);

/// Longest wait for a policy: while the store is away, hits go to the spool and must not wait here.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time after a failure in which what is remembered will do.
const AWAY: Duration = Duration::from_secs(5);

/// Projects remembered at most.
const CAPACITY: usize = 65_536;

/// What one project demands, beyond what the installation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Least privacy level, 0 to 2.
    pub level: i64,
    /// Whether hits that ask not to be tracked lose who made them.
    pub honor_gpc: bool,
}

impl From<ProjectSettings> for Policy {
    fn from(settings: ProjectSettings) -> Self {
        Self { level: settings.privacy_level.map_or(0, i64::from), honor_gpc: settings.honor_gpc }
    }
}

/// What is demanded of a project that the store could not tell about.
const STRICTEST: Policy = Policy { level: 2, honor_gpc: true };

pub(crate) struct Policies {
    store: Store,
    known: Cache<ProjectId, (Policy, Instant)>,
}

impl Policies {
    pub fn new(store: Store) -> Self {
        Self { store, known: Cache::new(CAPACITY) }
    }

    /// The policy of a project; while the store is away the last that was known, or else the strictest.
    pub async fn of(&self, project: ProjectId) -> Policy {
        let known = self.known.get(&project);
        if let Some((policy, until)) = known
            && Instant::now() < until
        {
            return policy;
        }
        let (policy, fresh) = match timeout(PATIENCE, self.store.project_by_id(project)).await {
            Ok(Ok(found)) => {
                let settings = found.map(|project| project.settings).unwrap_or_default();
                (settings.into(), FRESH)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a project's privacy settings cannot be read");
                (known.map_or(STRICTEST, |(policy, _)| policy), AWAY)
            }
            Err(_) => (known.map_or(STRICTEST, |(policy, _)| policy), AWAY),
        };
        self.known.insert(project, (policy, Instant::now() + fresh));
        policy
    }
}
