//! Work that nobody waits for, such as making segments.

use crate::{Result, StoreError};

/// How nice the threads are that do it, as `nice` counts.
const NICE: i32 = 10;

/// Does work that nobody waits for, at a priority below that of everything somebody does.
pub(crate) async fn background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("seal".into())
        .spawn(move || {
            // Linux has a priority for each thread; where it does not work, nothing is lost.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            let _ = done.send(work());
        })
        .map_err(|error| StoreError::Unwritten(format!("no thread to work in: {error}")))?;
    result.await.map_err(|_| StoreError::Damaged("work was given up".into()))?
}
