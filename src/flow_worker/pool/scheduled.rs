//! The threads of a flow when shuttle schedules them: as many as the real pool has, with one queue for
//! what is spawned and one each for what is offered, and no time. What rayon's own code does between
//! them is one step.

use std::{any::Any, cell::Cell, collections::VecDeque, sync::Arc, time::Instant};

use rayon::ThreadPoolBuildError;
use shuttle::{
    sync::{Condvar, Mutex},
    thread,
};

use super::{Job, RUN_SPAWNED, Spawn};
use crate::sync::{random, thread_local};

thread_local! {
    /// The pool that the thread belongs to, by its address, and which of its threads it is.
    static PLACE: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

/// What there is to run.
struct Jobs {
    spawned: VecDeque<Arc<dyn Job>>,
    offered: Vec<VecDeque<Arc<dyn Job>>>,
    released: bool,
    running: usize,
}

impl Jobs {
    /// Something for this thread; which of two comes first is rayon's business.
    fn next(&mut self, worker: usize) -> Option<(Arc<dyn Job>, bool)> {
        let offered = &mut self.offered[worker];
        let offers = !offered.is_empty() && (self.spawned.is_empty() || random(2) == 0);
        let queue = if offers { offered } else { &mut self.spawned };
        queue.pop_front().map(|job| (job, offers))
    }
}

struct Shared {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Jobs)) {
        change(&mut self.jobs.lock().unwrap());
        self.changed.notify_all();
    }

    fn work(&self, worker: usize) {
        loop {
            let mut jobs = self.jobs.lock().unwrap();
            let next = loop {
                match jobs.next(worker) {
                    None if !jobs.released => jobs = self.changed.wait(jobs).unwrap(),
                    next => break next,
                }
            };
            drop(jobs);
            match next {
                Some(next) => run(next),
                None => break,
            }
        }
        self.change(|jobs| jobs.running -= 1);
    }

    /// Runs something on top of what the calling thread runs; false if there is nothing.
    fn run_one(&self) -> bool {
        let Some((_, worker)) = PLACE.get() else { return false };
        let next = self.jobs.lock().unwrap().next(worker);
        next.map(run).is_some()
    }
}

fn run((job, offered): (Arc<dyn Job>, bool)) {
    if offered { job.run_if_needed() } else { job.run() }
}

/// Stands in for the real pool.
pub(in crate::flow_worker) struct Threads(Arc<Shared>);

impl Threads {
    pub(in crate::flow_worker) fn new(
        _: &str,
        threads: usize,
        _: Option<usize>,
        _: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) -> Result<Self, ThreadPoolBuildError> {
        let jobs = Jobs {
            spawned: VecDeque::new(),
            offered: (0..threads).map(|_| VecDeque::new()).collect(),
            released: false,
            running: threads,
        };
        let shared = Arc::new(Shared { jobs: Mutex::new(jobs), changed: Condvar::new() });
        for worker in 0..threads {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                PLACE.set(Some((Arc::as_ptr(&shared).addr(), worker)));
                shared.work(worker);
            });
        }
        Ok(Self(shared))
    }
}

impl Spawn for Threads {
    fn spawn(&self, job: Arc<dyn Job>) -> bool {
        let mut released = false;
        self.0.change(|jobs| {
            released = jobs.released;
            if !released {
                jobs.spawned.push_back(job);
            }
        });
        !released
    }

    fn offer(&self, job: Arc<dyn Job>) -> bool {
        if !self.is_current() {
            return false;
        }
        self.0.change(|jobs| {
            jobs.offered.iter_mut().for_each(|offered| offered.push_back(Arc::clone(&job)));
        });
        true
    }

    fn worker(&self) -> usize {
        PLACE.get().map_or(0, |(_, worker)| worker)
    }

    /// As the schedule says: a depth may be taken for larger than it is.
    fn stack_depth(&self) -> usize {
        random(2)
    }

    fn help(&self) {
        self.0.run_one();
    }

    fn run_spawned(&self) {
        for _ in 0..RUN_SPAWNED {
            if !self.0.run_one() {
                return;
            }
        }
    }

    fn is_current(&self) -> bool {
        PLACE.get().is_some_and(|(pool, _)| pool == Arc::as_ptr(&self.0).addr())
    }

    fn release(&self) {
        self.0.change(|jobs| jobs.released = true);
    }

    /// Waits until the threads have ended; there is no time, so the deadline never comes.
    fn join(&self, _: Instant) -> bool {
        let mut jobs = self.0.jobs.lock().unwrap();
        while jobs.running > 0 {
            jobs = self.0.changed.wait(jobs).unwrap();
        }
        true
    }

    fn alive(&self) -> usize {
        self.0.jobs.lock().unwrap().running
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.release();
    }
}
