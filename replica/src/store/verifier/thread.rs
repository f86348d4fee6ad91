//! The thread of the verifier, which ends with its handle.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{PANIC_PAUSE, Store, Verifier};
use crate::store::StoreError;

/// A thread that verifies a store until this is dropped. It ends after the step that it is at: at most a
/// megabyte is read before.
#[derive(Debug)]
pub struct Verifying {
    shared: Arc<Shared>,
    thread: thread::Thread,
    // The mutex only makes it `Sync`.
    ended: Mutex<mpsc::Receiver<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    panics: AtomicU64,
}

impl Store {
    /// Verifies the store on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the system gives no thread.
    pub fn start_verifying(&self) -> Result<Verifying, StoreError> {
        let shared = Arc::<Shared>::default();
        let (ending, ended) = mpsc::channel();
        let (store, of_thread) = (self.clone(), shared.clone());
        let thread = thread::Builder::new()
            .name("verifier".to_owned())
            .spawn(move || {
                // Dropped at the very end, after the store.
                let _ending = ending;
                verify(store, &of_thread);
            })
            .map_err(StoreError::io("start a thread for", self.folder()))?;
        Ok(Verifying { shared, thread: thread.thread().clone(), ended: Mutex::new(ended) })
    }
}

fn verify(store: Store, shared: &Shared) {
    let began = Instant::now();
    store.inner.asked.wake(Some(thread::current()));
    let mut verifier = Verifier::new(store.clone());
    // Relaxed: a wish that carries nothing; who wishes it wakes the thread.
    while !shared.stop.load(Ordering::Relaxed) {
        let step = catch_unwind(AssertUnwindSafe(|| verifier.step(began.elapsed())));
        let wait = step.unwrap_or_else(|_| {
            // Relaxed: read when the thread has ended.
            shared.panics.fetch_add(1, Ordering::Relaxed);
            // The hook has told of it. What it was at is left to the next pass.
            verifier = Verifier::new(store.clone());
            rest(shared);
            Duration::ZERO
        });
        if !wait.is_zero() {
            thread::park_timeout(wait);
        }
    }
    store.inner.asked.wake(None);
}

/// Rests after a panic, whatever is asked for meanwhile.
fn rest(shared: &Shared) {
    let until = Instant::now() + PANIC_PAUSE;
    while !shared.stop.load(Ordering::Relaxed) && Instant::now() < until {
        thread::park_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl Verifying {
    /// How often the verifier has panicked. It has gone on each time.
    #[must_use]
    pub fn panics(&self) -> u64 {
        // Relaxed: a figure to look at.
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Stops the thread and waits for its end, at most as long as `limit`. Returns whether it has ended
    /// and never panicked.
    #[must_use]
    pub fn stop(self, limit: Duration) -> bool {
        self.signal();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Disconnected);
        ended && self.panics() == 0
    }

    fn signal(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        self.signal();
    }
}
