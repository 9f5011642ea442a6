//! The gate that every write passes: open while this process leads.

use std::future::Future;

use tokio::sync::watch;

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

/// Lets writes through while this process leads, and cuts them off when it no longer does.
#[derive(Debug, Clone)]
pub struct Gate {
    leading: watch::Receiver<bool>,
}

impl Gate {
    /// A gate that follows the given flag.
    #[must_use]
    pub fn new(leading: watch::Receiver<bool>) -> Self {
        Self { leading }
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.leading.borrow()
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
        let mut leading = self.leading.clone();
        if !*leading.borrow_and_update() {
            return Err(GateError::Closed);
        }
        tokio::select! {
            biased;
            _ = leading.wait_for(|leads| !leads) => Err(GateError::Closed),
            result = write => Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_makes_no_write() {
        let (_keep, flag) = watch::channel(false);
        let result = Gate::new(flag).write(async { panic!("written") }).await;
        let result: Result<(), GateError> = result;
        assert!(matches!(result, Err(GateError::Closed)));
    }

    #[tokio::test]
    async fn losing_the_lead_cuts_off_a_write_under_way() {
        let (leading, flag) = watch::channel(true);
        let gate = Gate::new(flag);
        let write = gate.write(std::future::pending::<Result<(), kube::Error>>());
        let lose = async { leading.send(false).unwrap() };
        let (result, ()) = tokio::join!(write, lose);
        assert!(matches!(result, Err(GateError::Closed)));
        assert!(!gate.is_open());
    }
}
