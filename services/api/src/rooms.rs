//! Places for what takes much. No project has all of them: whoever may read one, as by a link that was
//! shared, cannot keep those of others waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use watchkeeper_store::ProjectId;

/// Projects that are kept in mind; beyond them, those are forgotten that have no work.
const KEPT: usize = 1_024;

/// Places, of which a project has some at most.
#[derive(Debug)]
pub(crate) struct Rooms {
    all: Arc<Semaphore>,
    each: u32,
    projects: Mutex<HashMap<ProjectId, Weak<Semaphore>>>,
}

/// One or several places, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _of_all: OwnedSemaphorePermit,
    _of_project: OwnedSemaphorePermit,
}

impl Rooms {
    /// The places of `all`, of which a project has `each` at most.
    pub fn new(all: Arc<Semaphore>, each: u32) -> Self {
        Self { all, each, projects: Mutex::default() }
    }

    /// A place for work on a project, as soon as there is one: its own work waits first, and not in
    /// the way of others.
    ///
    /// # Errors
    /// When the server shuts down meanwhile.
    pub async fn enter(&self, project: ProjectId) -> Result<Room, AcquireError> {
        self.take(project, 1).await
    }

    /// The same with so many places, or all that a project may have.
    ///
    /// # Errors
    /// When the server shuts down meanwhile.
    pub async fn take(&self, project: ProjectId, places: u32) -> Result<Room, AcquireError> {
        let places = places.min(self.each);
        let of_project = self.of(project).acquire_many_owned(places).await?;
        let of_all = Arc::clone(&self.all).acquire_many_owned(places).await?;
        Ok(Room { _of_all: of_all, _of_project: of_project })
    }

    fn of(&self, project: ProjectId) -> Arc<Semaphore> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = projects.get(&project).and_then(Weak::upgrade) {
            return own;
        }
        if projects.len() >= KEPT {
            projects.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.each as usize));
        projects.insert(project, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: ProjectId = ProjectId(1);
    const OTHER: ProjectId = ProjectId(2);

    #[tokio::test]
    async fn a_project_that_has_all_it_may_leaves_a_place_to_others() {
        let rooms = Rooms::new(Arc::new(Semaphore::new(3)), 2);
        let first = rooms.enter(BUSY).await.expect("a place");
        let _second = rooms.enter(BUSY).await.expect("a place");
        let mut third = std::pin::pin!(rooms.enter(BUSY));
        assert!(futures::poll!(third.as_mut()).is_pending());
        let others = rooms.enter(OTHER).await.expect("a place");
        drop(first);
        assert!(futures::poll!(third.as_mut()).is_ready());
        drop(others);
    }

    #[tokio::test]
    async fn projects_without_work_are_forgotten() {
        let rooms = Rooms::new(Arc::new(Semaphore::new(2)), 1);
        let _busy = rooms.enter(BUSY).await.expect("a place");
        for project in 10..10 + 2 * i64::try_from(KEPT).expect("few") {
            rooms.enter(ProjectId(project)).await.expect("a place");
        }
        let projects = rooms.projects.lock().expect("lock");
        assert!(projects.len() <= KEPT && projects[&BUSY].strong_count() == 1);
    }
}
