//! Keeping what has to run for as long as the process does.
//!
//! ```text
//! running ── returns ──> done
//!    │  ^
//! panics └── after a pause: 1 s, then twice as long each time, at most a minute
//! ```
//!
//! A panic is counted in [`Failures`] and said in the log. A body that has run for [`CALM`] begins with the first pause
//! again. May be lost: what the body had not kept outside of itself when it panicked.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use tokio::time::sleep;

/// The pause after the first panic.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// After so long without a panic the next one is the first again.
const CALM: Duration = Duration::from_secs(600);

/// How often what is supervised has panicked. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures(Arc<AtomicU64>);

impl Failures {
    /// Since the start of the process.
    pub(crate) fn count(&self) -> u64 {
        // Relaxed: a figure that orders nothing.
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, name: &str, pause: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            task = name,
            ?pause,
            "a task has panicked; it is started again after a pause"
        );
    }
}

/// The pauses of one task.
#[derive(Debug)]
struct Pauses {
    next: Duration,
    started: Instant,
}

impl Pauses {
    fn new() -> Self {
        Self { next: FIRST_PAUSE, started: Instant::now() }
    }

    fn after_panic(&mut self) -> Duration {
        let pause = if self.started.elapsed() >= CALM { FIRST_PAUSE } else { self.next };
        self.next = (pause * 2).min(LAST_PAUSE);
        pause
    }
}

/// Runs `body` on this thread until it returns. `wait` waits for the pause, and says whether to go on; if not, the
/// answer is `None`.
pub(crate) fn keep_running<T>(
    name: &str,
    failures: &Failures,
    mut wait: impl FnMut(Duration) -> bool,
    mut body: impl FnMut() -> T,
) -> Option<T> {
    let mut pauses = Pauses::new();
    loop {
        pauses.started = Instant::now();
        // What the panic left half done is the body's to mend: it is called again with what it has kept.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(&mut body)) {
            return Some(result);
        }
        let pause = pauses.after_panic();
        failures.add(name, pause);
        if !wait(pause) {
            return None;
        }
    }
}

/// Polls the future that `make` makes until it is ready, and makes another one if it panics.
///
/// # Cancel safety
///
/// That of the future.
pub(crate) async fn keep_polling<F: Future>(
    name: &str,
    failures: &Failures,
    mut make: impl FnMut() -> F,
) -> F::Output {
    let mut pauses = Pauses::new();
    loop {
        pauses.started = Instant::now();
        let mut future = Box::pin(make());
        let contained = poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(poll) => poll.map(Some),
                Err(_) => Poll::Ready(None),
            }
        });
        if let Some(result) = contained.await {
            return result;
        }
        let pause = pauses.after_panic();
        failures.add(name, pause);
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
