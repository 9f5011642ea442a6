//! From API keys to projects, remembered for a moment so that a post costs no query.

use std::{
    hash::Hash,
    sync::Mutex,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use tokio::time::timeout;
use uuid::Uuid;
use watchkeeper_store::{ProjectId, Result, Store, StoreError};

/// How long a key's project is remembered; a key that was taken away works as long.
const FRESH: Duration = Duration::from_secs(30);

/// Keys remembered at most.
const CAPACITY: usize = 65_536;

/// Longest wait for a project that is remembered but not fresh.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait for the project of a key that is not remembered.
const NEW: Duration = Duration::from_secs(10);

/// Time after a failure in which what is remembered will do.
const AWAY: Duration = Duration::from_secs(5);

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signup {
    /// Every key: one that is new makes a project, as api-analytics' logger takes any UUID.
    Open,
    /// Only keys that are known.
    Closed,
}

/// Projects by who speaks for them, remembered for a moment.
pub(crate) struct Remembered<K> {
    known: Cache<K, (ProjectId, Instant)>,
    failed: Mutex<Option<Instant>>,
}

impl<K: Eq + Hash + Clone> Remembered<K> {
    pub fn new() -> Self {
        Self { known: Cache::new(CAPACITY), failed: Mutex::default() }
    }

    /// The project of a key, or `None` if `look_up` finds none. While the store is
    /// away, a key that was known before is known still: its hits can be spooled.
    pub async fn project(
        &self,
        key: K,
        look_up: impl Future<Output = Result<Option<ProjectId>>>,
    ) -> Result<Option<ProjectId>> {
        let remembered = self.known.get(&key);
        if let Some((project, since)) = remembered
            && (since.elapsed() < FRESH || self.is_away())
        {
            return Ok(Some(project));
        }
        let looked_up = match remembered {
            None => timeout(NEW, look_up)
                .await
                .unwrap_or_else(|_| Err(StoreError::Unwritten("the database does not answer".into()))),
            Some((project, _)) => match timeout(PATIENCE, look_up).await {
                Err(_) | Ok(Err(StoreError::Database(_))) => {
                    self.set_away();
                    return Ok(Some(project));
                }
                Ok(found) => found,
            },
        };
        let found = looked_up?;
        if let Some(project) = found {
            self.known.insert(key, (project, Instant::now()));
        }
        Ok(found)
    }

    /// Forgets a key whose project turned out to be gone.
    pub fn forget(&self, key: &K) {
        self.known.remove(key);
    }

    fn is_away(&self) -> bool {
        self.failed.lock().is_ok_and(|failed| failed.is_some_and(|at| at.elapsed() < AWAY))
    }

    fn set_away(&self) {
        if let Ok(mut failed) = self.failed.lock() {
            *failed = Some(Instant::now());
        }
    }
}

pub(crate) struct Keys {
    store: Store,
    signup: Signup,
    remembered: Remembered<Uuid>,
}

impl Keys {
    pub fn new(store: Store, signup: Signup) -> Self {
        Self { store, signup, remembered: Remembered::new() }
    }

    /// The project of a key, or `None` if the key may not write.
    pub async fn project(&self, key: Uuid) -> Result<Option<ProjectId>> {
        self.remembered.project(key, self.look_up(key)).await
    }

    async fn look_up(&self, key: Uuid) -> Result<Option<ProjectId>> {
        Ok(match self.signup {
            Signup::Open => Some(self.store.register_key(key).await?.id),
            Signup::Closed => self.store.project_by_key(key).await?.map(|project| project.id),
        })
    }

    /// Forgets a key whose project turned out to be gone.
    pub fn forget(&self, key: Uuid) {
        self.remembered.forget(&key);
    }
}
