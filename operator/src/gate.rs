//! The gate that every write passes: open while this process leads.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Another process leads, or none does.
    #[error("this process does not lead")]
    Closed,
    /// The API server said no.
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

/// Until when this process may believe that it leads; without end until it is told one. A process that
/// was stopped for longer does not know that it was, and must write nothing before it has looked.
#[derive(Debug, Clone, Default)]
pub struct Deadline(Arc<Mutex<Option<Instant>>>);

impl Deadline {
    /// Sets a new end.
    pub fn set(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| Instant::now() >= end)
    }
}

/// Lets writes through while this process leads, and cuts them off when it no longer does.
#[derive(Debug, Clone)]
pub struct Gate {
    leading: watch::Receiver<bool>,
    deadline: Deadline,
}

impl Gate {
    /// A gate that follows the given flag, and is closed beyond the deadline whatever it says.
    #[must_use]
    pub fn new(leading: watch::Receiver<bool>, deadline: Deadline) -> Self {
        Self { leading, deadline }
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.leading.borrow() && !self.deadline.is_over()
    }

    /// The flag itself, to wait for changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Makes a write if and as long as this process leads.
    ///
    /// # Errors
    /// [`GateError::Closed`] when it does not lead or stops to, else what the API server says.
    pub async fn write<T>(
        &self,
        write: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, GateError> {
        match self.while_open(write).await {
            Some(result) => Ok(result?),
            None => Err(GateError::Closed),
        }
    }

    /// What comes of something, if and as long as this process leads.
    pub async fn while_open<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut leading = self.leading.clone();
        if !*leading.borrow_and_update() || self.deadline.is_over() {
            return None;
        }
        tokio::select! {
            biased;
            _ = leading.wait_for(|leads| !leads) => None,
            result = work => Some(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_makes_no_write() {
        let (_keep, flag) = watch::channel(false);
        let result = Gate::new(flag, Deadline::default()).write(async { panic!("written") }).await;
        let result: Result<(), GateError> = result;
        assert!(matches!(result, Err(GateError::Closed)));
    }

    #[tokio::test]
    async fn losing_the_lead_cuts_off_a_write_under_way() {
        let (leading, flag) = watch::channel(true);
        let gate = Gate::new(flag, Deadline::default());
        let write = gate.write(std::future::pending::<Result<(), kube::Error>>());
        let lose = async { leading.send(false).unwrap() };
        let (result, ()) = tokio::join!(write, lose);
        assert!(matches!(result, Err(GateError::Closed)));
        assert!(!gate.is_open());
    }

    #[tokio::test]
    async fn nothing_is_written_beyond_the_deadline_though_nobody_has_said_that_the_lead_is_lost() {
        let (_keep, flag) = watch::channel(true);
        let deadline = Deadline::default();
        let gate = Gate::new(flag, deadline.clone());
        assert!(gate.is_open());
        deadline.set(Instant::now());
        assert!(!gate.is_open());
        let result: Result<(), GateError> = gate.write(async { panic!("written") }).await;
        assert!(matches!(result, Err(GateError::Closed)));
    }
}
