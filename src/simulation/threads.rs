//! Threads that are none: jobs of the flows' pools that wait until the simulation runs them.
//!
//! A job runs as if it were on a thread of its pool, of which there are as many as the pool was built
//! with: a job that is started in the middle of a handler needs another one, and if all are taken it waits.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use crate::flow_worker::as_another_thread;

type Task = Box<dyn FnOnce()>;

/// How many offers may wait, as in a real pool.
const MAX_OFFERS: usize = 32;

#[derive(Default)]
struct Scheduler {
    pools: Vec<PoolState>,
    tasks: Vec<(usize, Task)>,
    watches: Vec<Box<dyn FnMut()>>,
    offers_fail: bool,
}

#[derive(Default)]
struct PoolState {
    threads: usize,
    /// Which of them run something.
    busy: Vec<bool>,
    released: bool,
}

thread_local! {
    static SCHEDULER: RefCell<Option<Scheduler>> = const { RefCell::new(None) };
    /// The pool and the thread that the simulation is on at the moment.
    static CURRENT: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

fn with<R>(use_it: impl FnOnce(&mut Scheduler) -> R) -> R {
    SCHEDULER.with_borrow_mut(|scheduler| {
        use_it(scheduler.as_mut().expect("a simulation runs on this thread"))
    })
}

/// Begins a simulation on this thread, or ends it.
pub(super) fn set(on: bool) {
    // Dropped when it has been taken out: tasks own what spawns tasks.
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

/// From now on threads take no offers, or take them again.
pub(super) fn fail_offers(fail: bool) {
    with(|scheduler| scheduler.offers_fail = fail);
}

/// Runs one of the jobs for which there is a thread; false if there is none.
pub(super) fn run_one(choice: usize) -> bool {
    let chosen = with(|scheduler| {
        let runnable: Vec<usize> = (0..scheduler.tasks.len())
            .filter(|&task| scheduler.pools[scheduler.tasks[task].0].busy.contains(&false))
            .collect();
        let task = *runnable.get(choice % runnable.len().max(1))?;
        let (pool, task) = scheduler.tasks.remove(task);
        let thread = scheduler.pools[pool].busy.iter().position(|busy| !busy)?;
        scheduler.pools[pool].busy[thread] = true;
        Some((pool, thread, task))
    });
    let Some((pool, thread, task)) = chosen else { return false };
    let outside = CURRENT.replace(Some((pool, thread)));
    as_another_thread(task);
    CURRENT.set(outside);
    with(|scheduler| scheduler.pools[pool].busy[thread] = false);
    true
}

/// What stands in for the threads of one pool.
#[derive(Debug)]
pub(crate) struct Simulated {
    pool: usize,
}

impl Simulated {
    /// So many threads, if a simulation runs here.
    pub(crate) fn begin(threads: usize) -> Option<Self> {
        is_on().then(|| {
            with(|scheduler| {
                let busy = vec![false; threads];
                scheduler.pools.push(PoolState { threads, busy, released: false });
                Self { pool: scheduler.pools.len() - 1 }
            })
        })
    }

    pub(crate) fn spawn(&self, task: impl FnOnce() + 'static) -> bool {
        with(|scheduler| {
            let here = !scheduler.pools[self.pool].released;
            if here {
                scheduler.tasks.push((self.pool, Box::new(task)));
            }
            here
        })
    }

    pub(crate) fn offer(&self, task: impl Fn() -> Task) -> bool {
        with(|scheduler| {
            let PoolState { threads, .. } = scheduler.pools[self.pool];
            let takes =
                self.is_current() && !scheduler.offers_fail && scheduler.tasks.len() < MAX_OFFERS;
            if takes {
                (0..threads).for_each(|_| scheduler.tasks.push((self.pool, task())));
            }
            takes
        })
    }

    pub(crate) fn is_current(&self) -> bool {
        CURRENT.get().is_some_and(|(pool, _)| pool == self.pool)
    }

    pub(crate) fn worker(&self) -> usize {
        CURRENT.get().map_or(0, |(_, thread)| thread)
    }

    pub(crate) fn alive(&self) -> usize {
        with(|scheduler| scheduler.pools[self.pool].threads)
    }

    pub(crate) fn release(&self) {
        with(|scheduler| scheduler.pools[self.pool].released = true);
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
