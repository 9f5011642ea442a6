//! From API keys to projects, remembered for a moment so that a post costs no query.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use uuid::Uuid;
use watchkeeper_store::{ProjectId, Result, Store};

/// How long a key's project is remembered; a key that was taken away works as long.
const FRESH: Duration = Duration::from_secs(30);

/// Keys remembered at most.
const CAPACITY: usize = 65_536;

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signup {
    /// Every key: one that is new makes a project, as api-analytics' logger takes any UUID.
    Open,
    /// Only keys that are known.
    Closed,
}

pub(crate) struct Keys {
    store: Store,
    signup: Signup,
    known: Cache<Uuid, (ProjectId, Instant)>,
}

impl Keys {
    pub fn new(store: Store, signup: Signup) -> Self {
        Self { store, signup, known: Cache::new(CAPACITY) }
    }

    /// The project of a key, or `None` if the key may not write.
    pub async fn project(&self, key: Uuid) -> Result<Option<ProjectId>> {
        if let Some((project, since)) = self.known.get(&key)
            && since.elapsed() < FRESH
        {
            return Ok(Some(project));
        }
        let found = match self.signup {
            Signup::Open => Some(self.store.register_key(key).await?.id),
            Signup::Closed => self.store.project_by_key(key).await?.map(|project| project.id),
        };
        if let Some(project) = found {
            self.known.insert(key, (project, Instant::now()));
        }
        Ok(found)
    }

    /// Forgets a key whose project turned out to be gone.
    pub fn forget(&self, key: Uuid) {
        self.known.remove(&key);
    }
}
