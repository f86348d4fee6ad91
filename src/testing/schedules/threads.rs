//! The threads of a flow when shuttle schedules them: as many as the real pool has, and no time. Nothing uses rayon.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use rayon::ThreadPoolBuildError;
use shuttle::{
    sync::{Condvar, Mutex},
    thread,
};

use crate::workers::Spec;

#[derive(Default)]
struct Alive {
    threads: Mutex<usize>,
    changed: Condvar,
}

/// Stands in for the real pool.
pub(crate) struct Threads {
    threads: usize,
    alive: Arc<Alive>,
}

impl Threads {
    pub(crate) fn new(
        spec: &Spec<'_>,
        _: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) -> Result<Self, ThreadPoolBuildError> {
        Ok(Self { threads: spec.threads, alive: Arc::default() })
    }

    /// Starts the threads, which run `work` with their indices and end. A panic in it fails the test.
    pub(crate) fn start(
        &self,
        work: impl Fn(usize) -> bool + Send + Sync + 'static,
        _: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) {
        *self.alive.threads.lock().unwrap() = self.threads;
        let work = Arc::new(work);
        for index in 0..self.threads {
            let (work, alive) = (Arc::clone(&work), Arc::clone(&self.alive));
            thread::spawn(move || {
                work(index);
                drop(work);
                *alive.threads.lock().unwrap() -= 1;
                alive.changed.notify_all();
            });
        }
    }

    pub(crate) fn is_real(&self) -> bool {
        true
    }

    pub(crate) fn run_simulated(&self, _: usize) -> bool {
        false
    }

    pub(crate) fn help(&self) {}

    pub(crate) fn have_given(&self) -> bool {
        false
    }

    pub(crate) fn alive(&self) -> usize {
        *self.alive.threads.lock().unwrap()
    }

    pub(crate) fn release(&self) {}

    /// Waits until the threads have ended; there is no time, so the deadline never comes.
    pub(crate) fn join(&self, _: Instant) -> bool {
        let mut threads = self.alive.threads.lock().unwrap();
        while *threads > 0 {
            threads = self.alive.changed.wait(threads).unwrap();
        }
        true
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("threads", &self.threads).finish_non_exhaustive()
    }
}
