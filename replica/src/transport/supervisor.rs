//! Watches over the transport's long-lived tasks: one that panics is counted, said, and started again.
//!
//! ```text
//! running -> panicked -> pause -> running ...
//!    └─> ended
//! ```
//!
//! The pause doubles from [`FIRST_RESTART`] to [`LAST_RESTART`], and begins anew when a task has run for longer than
//! the last of them. What a task shares with others has to be of use after a panic; what it alone had is lost.

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures_util::future::select_all;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    counters::Counters,
    limits::{FIRST_RESTART, LAST_RESTART},
    stop::Stop,
};

/// Runs what `start` makes, again after each panic, until it ends by itself. Stopped while it pauses, by any of
/// `stops`, it starts the task once more at once, so that the task can put its affairs in order.
///
/// # Cancel safety
///
/// Dropped, it takes the task with it.
pub(super) async fn supervise<F>(
    name: impl fmt::Display,
    counters: Arc<Counters>,
    stops: &[Stop],
    mut start: impl FnMut() -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut pause = FIRST_RESTART;
    loop {
        let began = Instant::now();
        let stopped = stops.iter().any(Stop::is_set);
        // A set of one, so that the task does not outlive this future.
        let mut task = JoinSet::new();
        task.spawn(start());
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => {}
            _ => return,
        }
        counters.failed_tasks.increment();
        // Not the panic's text, which may quote what a peer sent.
        say_surely(
            || tracing::error!(task = %name, "a task of the transport has panicked; it is started again"),
        );
        if stopped {
            return;
        }
        if began.elapsed() > LAST_RESTART {
            pause = FIRST_RESTART;
        }
        tokio::select! {
            _ = select_all(stops.iter().map(|stop| Box::pin(stop.wait()))) => {}
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(LAST_RESTART);
    }
}

/// Writes to the log, and contains the panic of a subscriber: the caller goes on.
pub(super) fn say_surely(say: impl FnOnce()) {
    let said: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(say));
    drop(said);
}

#[cfg(test)]
mod tests;
