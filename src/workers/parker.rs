//! Where one worker sleeps.

use std::{sync::OnceLock, time::Duration};

use crate::sync::{AtomicBool, Ordering, Thread, park, park_timeout};

/// A place for one thread.
#[derive(Debug, Default)]
pub(super) struct Parker {
    pub(super) thread: OnceLock<Thread>,
    pub(super) woken: AtomicBool,
}

impl Parker {
    pub(super) fn wake(&self) {
        // Release: the worker sees what was done before.
        self.woken.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Sleeps until woken, or for a nap; true if woken.
    pub(super) fn sleep(&self, nap: Option<Duration>) -> bool {
        loop {
            // Acquire: pairs with `wake`.
            if self.woken.load(Ordering::Acquire) {
                self.woken.store(false, Ordering::Relaxed);
                return true;
            }
            match nap {
                None => park(),
                Some(nap) => {
                    park_timeout(nap);
                    if !self.woken.load(Ordering::Acquire) {
                        return false;
                    }
                }
            }
        }
    }
}
