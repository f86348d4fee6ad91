//! Work that may block, on a thread where that is allowed.

use std::{future::pending, panic::resume_unwind};

use tokio::task::{JoinError, spawn_blocking};

/// Runs `work`, and panics if it does. If the runtime ends before, this never returns.
///
/// # Cancel safety
///
/// Dropped early, work that has begun goes on to its end.
///
/// # Panics
///
/// If `work` does, or outside a tokio runtime.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime takes no more work, and the task that waits for it is dropped next.
        Err(Err(_)) => pending().await,
    }
}
