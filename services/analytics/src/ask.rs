//! Asking: the one read path of every report.

use std::sync::{Arc, OnceLock};

use prometheus::Registry;
use tokio::sync::Semaphore;
use watchkeeper_store::{ProjectId, Store, StoreError};

use crate::{
    Answer, MAX_GROUPS, Question,
    engine::{self, Cache, Limits, Plan},
    metrics::Metrics,
};

/// Bytes of decoded columns that are kept unless a bound is given.
pub const DEFAULT_CACHE_BYTES: usize = 256 << 20;

/// How much answering may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalyticsOptions {
    /// Memory at most for decoded columns and their texts, bytes.
    pub cache_bytes: usize,
    /// Questions that are answered at once; further ones wait.
    pub questions: usize,
    /// Threads that work on one question at once.
    pub threads: usize,
    /// Working memory of one question at most, bytes; one that needs more is refused.
    pub question_bytes: usize,
    /// Rows that a table may have before its limit applies; a question that needs more is refused.
    pub question_groups: usize,
}

impl Default for AnalyticsOptions {
    /// Bounds that fit together into the gigabyte that an API may take in a cluster.
    fn default() -> Self {
        Self {
            cache_bytes: DEFAULT_CACHE_BYTES,
            questions: 4,
            threads: 2,
            question_bytes: 128 << 20,
            question_groups: MAX_GROUPS,
        }
    }
}

/// Answers questions about the hits of a store; clones share what is cached.
#[derive(Debug, Clone)]
pub struct Analytics {
    store: Store,
    cache: Arc<Cache>,
    running: Arc<Semaphore>,
    limits: Limits,
    metrics: Arc<OnceLock<Metrics>>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The question itself is at fault: what, and how to mend it.
    #[error("{0}")]
    Question(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for AskError {
    fn from(error: StoreError) -> Self {
        match error {
            // It would take more memory than a question may have, the next time as well.
            StoreError::TooManyAddresses => Self::Question(error.to_string()),
            other => Self::Store(other),
        }
    }
}

impl Analytics {
    /// Questions about `store`, within the default bounds.
    pub fn new(store: Store) -> Self {
        Self::with_options(store, AnalyticsOptions::default())
    }

    /// Questions about `store`, with a cache of at most so many bytes.
    pub fn with_cache(store: Store, bytes: usize) -> Self {
        Self::with_options(store, AnalyticsOptions { cache_bytes: bytes, ..AnalyticsOptions::default() })
    }

    /// Questions about `store`, within these bounds.
    pub fn with_options(store: Store, options: AnalyticsOptions) -> Self {
        Self {
            store,
            cache: Arc::new(Cache::new(options.cache_bytes)),
            running: Arc::new(Semaphore::new(options.questions.max(1))),
            limits: Limits {
                threads: options.threads,
                bytes: options.question_bytes,
                groups: options.question_groups,
            },
            metrics: Arc::default(),
        }
    }

    /// Shows the metrics of this engine in `registry`.
    ///
    /// # Errors
    /// When a name is taken, as by another engine.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let metrics = Metrics::new(registry)?;
        self.metrics.get_or_init(|| metrics);
        Ok(())
    }

    /// The store that is asked.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Bytes of decoded columns and their texts that are kept at present.
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Answers a question about one project's hits, over one state of the store. Dropping the
    /// future ends the work within moments.
    ///
    /// # Errors
    /// [`AskError::Question`] for a question that cannot be answered, such as one with a malformed
    /// expression, and whatever the store says.
    pub async fn ask(&self, project: ProjectId, question: &Question) -> Result<Answer, AskError> {
        let metrics = self.metrics.get();
        let _timer = metrics.map(|metrics| metrics.questions.start_timer());
        let Ok(_permit) = self.running.acquire().await else { return Err(StoreError::Overloaded.into()) };
        let facts = if question.dimensions().iter().any(|dimension| dimension.is_late()) {
            self.store.address_facts(project).await?
        } else {
            Default::default()
        };
        let (question, cache) = (question.clone(), Arc::clone(&self.cache));
        let plan = aside(move || Plan::new(&question, facts, &cache, project)).await?;
        let answer =
            engine::answer(&self.store, &self.cache, metrics.cloned(), project, plan, self.limits).await;
        if let Some(metrics) = metrics {
            metrics.cache_bytes.set(i64::try_from(self.cache.bytes()).unwrap_or(i64::MAX));
        }
        answer
    }
}

/// Does what takes a while, as compiling expressions does, off the executor.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AskError> + Send + 'static,
) -> Result<T, AskError> {
    tokio::task::spawn_blocking(work).await.map_err(|lost| StoreError::Damaged(lost.to_string()))?
}

/// A table that nobody can read.
pub(crate) fn too_many_groups(most: usize) -> AskError {
    AskError::Question(format!(
        "a table would have more than {most} rows; ask for fewer dimensions, longer time buckets or a shorter range"
    ))
}
