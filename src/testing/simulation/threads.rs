//! Threads that are none: work of the flows' threads that waits until the simulation runs it.
//!
//! A worker that is woken runs until it would sleep, when the simulation says so: in the middle of a handler, too, as
//! if it were on another thread.

use std::{cell::RefCell, rc::Rc};

use crate::flow_worker::as_another_thread;

type Work = Rc<dyn Fn(usize)>;

#[derive(Default)]
struct Scheduler {
    pools: Vec<Pool>,
    /// Workers that were woken: their pools, and which of their threads they are.
    woken: Vec<(usize, usize)>,
    watches: Vec<Box<dyn FnMut()>>,
}

struct Pool {
    threads: usize,
    work: Option<Work>,
    /// Those of its threads that run, each in the middle of another's.
    running: Vec<usize>,
}

thread_local! {
    static SCHEDULER: RefCell<Option<Scheduler>> = const { RefCell::new(None) };
}

fn with<R>(use_it: impl FnOnce(&mut Scheduler) -> R) -> R {
    SCHEDULER.with_borrow_mut(|scheduler| {
        use_it(scheduler.as_mut().expect("a simulation runs on this thread"))
    })
}

/// Begins a simulation on this thread, or ends it.
pub(super) fn set(on: bool) {
    // Dropped when it has been taken out: flows end with it, and wake their workers.
    let before = SCHEDULER.replace(on.then(Scheduler::default));
    if std::thread::panicking() {
        std::mem::forget(before);
    }
}

/// Whether a simulation runs on this thread.
pub(crate) fn is_on() -> bool {
    SCHEDULER.with_borrow(Option::is_some)
}

/// Has this looked after when the simulation says so.
pub(crate) fn watch(look: impl FnMut() + 'static) {
    with(|scheduler| scheduler.watches.push(Box::new(look)));
}

/// Looks after everything.
pub(super) fn look() {
    let mut watches = with(|scheduler| std::mem::take(&mut scheduler.watches));
    watches.iter_mut().for_each(|look| look());
    with(|scheduler| {
        watches.append(&mut scheduler.watches);
        scheduler.watches = watches;
    });
}

/// Runs one of the workers that were woken; false if there is none.
pub(super) fn run_one(choice: usize) -> bool {
    let chosen = with(|scheduler| {
        let count = scheduler.woken.len();
        (count > 0).then(|| {
            let (pool, thread) = scheduler.woken.remove(choice % count);
            scheduler.pools[pool].running.push(thread);
            (pool, thread, scheduler.pools[pool].work.clone())
        })
    });
    let Some((pool, thread, work)) = chosen else { return false };
    as_another_thread(|| work.expect("a pool is started before a worker is woken")(thread));
    with(|scheduler| scheduler.pools[pool].running.retain(|&other| other != thread));
    true
}

/// What stands in for the threads of one pool.
#[derive(Debug)]
pub(crate) struct Simulated {
    pool: usize,
    threads: usize,
}

impl Simulated {
    /// So many threads, if a simulation runs here.
    pub(crate) fn begin(threads: usize) -> Option<Self> {
        is_on().then(|| {
            with(|scheduler| {
                scheduler.pools.push(Pool { threads, work: None, running: Vec::new() });
                Self { pool: scheduler.pools.len() - 1, threads }
            })
        })
    }

    /// What a worker does each time it is woken, until it would sleep.
    pub(crate) fn start(&self, work: impl Fn(usize) + 'static) {
        with(|scheduler| scheduler.pools[self.pool].work = Some(Rc::new(work)));
    }

    /// A worker is woken.
    pub(crate) fn run(&self, thread: usize) {
        SCHEDULER.with_borrow_mut(|scheduler| {
            // Flows that end after the simulation wake nobody.
            if let Some(scheduler) = scheduler {
                let pool = &scheduler.pools[self.pool];
                let worker = (self.pool, thread);
                assert!(thread < pool.threads, "there is no such worker");
                assert!(!scheduler.woken.contains(&worker), "a worker is woken twice");
                assert!(!pool.running.contains(&thread), "a worker is woken that runs");
                scheduler.woken.push(worker);
            }
        });
    }

    /// Whether none of the threads runs; each that does not would end as soon as it is woken.
    pub(crate) fn have_ended(&self) -> bool {
        SCHEDULER.with_borrow(|scheduler| {
            scheduler.as_ref().is_none_or(|scheduler| scheduler.pools[self.pool].running.is_empty())
        })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }
}

/// A simulation on this thread, as long as it lives.
pub(super) struct Running(Rc<()>);

impl Running {
    pub(super) fn begin() -> Self {
        set(true);
        super::clock::set(Some(std::time::Duration::ZERO));
        Self(Rc::new(()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = &self.0;
        set(false);
        super::clock::set(None);
    }
}
