//! The thread of the verifier, which ends with its handle and not before.

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
    panics: Arc<AtomicU64>,
}

impl Store {
    /// Verifies the store on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the system gives no thread.
    pub fn start_verifying(&self) -> Result<Verifying, StoreError> {
        let store = self.clone();
        let verify = move |shared: &Shared| {
            let began = Instant::now();
            store.inner.asked.wake(Some(thread::current()));
            repeat(shared, PANIC_PAUSE, || {
                let mut verifier = Verifier::new(store.clone());
                move || verifier.step(began.elapsed())
            });
            store.inner.asked.wake(None);
        };
        Verifying::start(verify).map_err(StoreError::io("start a thread for", self.folder()))
    }
}

/// Calls what is made until it is to stop, each time after as long as it says. After a panic it is made
/// anew. That was told by the panic's hook; the log says what follows from it.
fn repeat<S: FnMut() -> Duration>(shared: &Shared, pause: Duration, mut make: impl FnMut() -> S) {
    let mut step = make();
    while !shared.is_stopped() {
        match catch_unwind(AssertUnwindSafe(&mut step)) {
            Ok(wait) if wait.is_zero() => {}
            Ok(wait) => thread::park_timeout(wait),
            Err(_) => {
                // Relaxed: a figure.
                shared.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    ?pause,
                    "the verification of the store has panicked; it goes on after a pause"
                );
                shared.rest(pause);
                step = make();
            }
        }
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        // Relaxed: a wish that carries nothing; who wishes it wakes the thread.
        self.stop.load(Ordering::Relaxed)
    }

    /// Rests, whatever is asked for meanwhile.
    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_stopped() && Instant::now() < until {
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

impl Verifying {
    fn start(body: impl FnOnce(&Shared) + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (ending, ended) = mpsc::channel();
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("verifier".to_owned()).spawn(move || {
            // Dropped at the very end, after what the body holds.
            let _ending = ending;
            body(&of_thread);
        })?;
        Ok(Self { shared, thread: thread.thread().clone(), ended: Mutex::new(ended) })
    }

    /// How often the verifier has panicked. It has gone on each time.
    #[must_use]
    pub fn panics(&self) -> u64 {
        // Relaxed: a figure.
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// The same, for those who look at it from elsewhere.
    pub(crate) fn panic_counter(&self) -> Arc<AtomicU64> {
        self.shared.panics.clone()
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

#[cfg(test)]
mod tests;
