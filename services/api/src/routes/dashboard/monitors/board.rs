//! All endpoints as they are right now, read once for all who look at the same time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use watchkeeper_store::{Endpoint, Result, Store, now_ms};

/// How long what was read counts although the times of last checks, and with them what is observed, have moved on. A change of a
/// state or of an endpoint is seen at once.
const FRESH: Duration = Duration::from_secs(2);

/// The endpoints, and where each stands: `Unknown` where nobody has looked for too long.
#[derive(Debug)]
pub(crate) struct Board {
    pub endpoints: Vec<Endpoint>,
    by_uid: HashMap<String, usize>,
    by_id: HashMap<i64, usize>,
    /// Number of the last change and of the last transition.
    seen: (i64, i64),
    read_at: Instant,
}

/// The board of a process.
#[derive(Debug, Default)]
pub(crate) struct Boards(Mutex<Option<Arc<Board>>>);

impl Boards {
    /// The board, read anew if anything has changed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, store: &Store) -> Result<Arc<Board>> {
        // Held while reading: a crowd waits for one read instead of making its own.
        let mut known = self.0.lock().await;
        // Before the endpoints: what changes meanwhile is then read again rather than never.
        let seen = (store.endpoints_revision().await?, store.last_transition().await?);
        if let Some(board) = &*known
            && board.seen == seen
            && board.read_at.elapsed() < FRESH
        {
            return Ok(Arc::clone(board));
        }
        let board = Arc::new(Board::new(store.endpoints().await?, seen));
        *known = Some(Arc::clone(&board));
        Ok(board)
    }
}

impl Board {
    fn new(endpoints: Vec<Endpoint>, seen: (i64, i64)) -> Self {
        let now = now_ms();
        let endpoints: Vec<_> = endpoints.into_iter().map(|endpoint| endpoint.as_observed(now)).collect();
        let places = || endpoints.iter().enumerate();
        Self {
            by_uid: places().map(|(place, endpoint)| (endpoint.uid.clone(), place)).collect(),
            by_id: places().map(|(place, endpoint)| (endpoint.id, place)).collect(),
            endpoints,
            seen,
            read_at: Instant::now(),
        }
    }

    /// An endpoint by its number.
    pub fn by_id(&self, id: i64) -> Option<&Endpoint> {
        self.endpoints.get(*self.by_id.get(&id)?)
    }

    /// An endpoint by its uid.
    pub fn by_uid(&self, uid: &str) -> Option<&Endpoint> {
        self.endpoints.get(*self.by_uid.get(uid)?)
    }

    /// Names that are in use for groups, in their order.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<_> =
            self.endpoints.iter().filter_map(|endpoint| endpoint.spec.group.as_deref()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The shortest text by which forms name each endpoint: its name, or else `namespace/name`, or
    /// else its uid. Keys are uids.
    pub fn labels(&self) -> HashMap<&str, String> {
        let shown = |endpoint: &Endpoint| endpoint.spec.display_name.clone();
        let full = |endpoint: &Endpoint| format!("{}/{}", endpoint.namespace, endpoint.name);
        let mut times: HashMap<String, usize> = HashMap::new();
        for endpoint in &self.endpoints {
            *times.entry(shown(endpoint)).or_default() += 1;
            *times.entry(full(endpoint)).or_default() += 1;
        }
        let unique = |text: &String| times.get(text) == Some(&1) && text.trim() == text && !text.is_empty();
        self.endpoints
            .iter()
            .map(|endpoint| {
                let label = [shown(endpoint), full(endpoint)].into_iter().find(unique);
                (endpoint.uid.as_str(), label.unwrap_or_else(|| endpoint.uid.clone()))
            })
            .collect()
    }

    /// The endpoint that a form or a program names: by uid, by its label, or by `namespace/name`.
    pub fn named(&self, text: &str) -> Option<&Endpoint> {
        self.by_uid(text).or_else(|| {
            let mut same = self.endpoints.iter().filter(|endpoint| {
                endpoint.spec.display_name == text
                    || text.split_once('/').is_some_and(|(namespace, name)| {
                        endpoint.namespace == namespace && endpoint.name == name
                    })
            });
            let first = same.next();
            first.filter(|_| same.next().is_none())
        })
    }
}
