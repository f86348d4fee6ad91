//! Threads that are none: work of the flows' threads that waits until the simulation runs it.
//!
//! A worker that is woken runs until it would sleep, when the simulation says so: in the middle of a handler, too, as
//! if it were on another thread.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::clock;
use crate::{
    flow_worker::as_another_thread,
    sync::{Ordering, Tally},
};

/// Returns whether the worker is to run again although nobody has woken it.
type Work = Rc<dyn Fn(usize) -> bool>;

/// The simulations that have begun, on any thread.
static BEGUN: Tally = Tally::new(0);

#[derive(Default)]
struct Scheduler {
    /// No other simulation has the number.
    simulation: u64,
    pools: Vec<Pool>,
    /// Workers that were woken: their pools, and which of their threads they are.
    woken: Vec<(usize, usize)>,
    watches: Vec<Watching>,
}

/// Returns whether there will be anything to look after.
type Look = Box<dyn FnMut() -> bool>;

/// What is looked after from time to time.
struct Watching {
    period: Duration,
    due: Duration,
    /// `None` while it runs, and after its end.
    look: Option<Look>,
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
fn set(on: bool) {
    // Relaxed: the number is another each time, and that is all.
    let begin =
        || Scheduler { simulation: BEGUN.fetch_add(1, Ordering::Relaxed), ..Scheduler::default() };
    // Dropped when it has been taken out: flows end with it, and wake their workers.
    let before = SCHEDULER.replace(on.then(begin));
    if std::thread::panicking() {
        std::mem::forget(before);
    }
}

/// Whether a simulation runs on this thread.
pub(crate) fn is_on() -> bool {
    // A thread-local of the user's may be dropped after it.
    SCHEDULER.try_with(|scheduler| scheduler.borrow().is_some()).unwrap_or(false)
}

/// The number of the simulation on this thread.
pub(super) fn simulation() -> Option<u64> {
    SCHEDULER.with_borrow(|scheduler| scheduler.as_ref().map(|scheduler| scheduler.simulation))
}

/// Has this looked after once in a period, or when the simulation says so, until it returns false.
pub(crate) fn watch(period: Duration, look: impl FnMut() -> bool + 'static) {
    let due = clock::now().saturating_add(period);
    let look: Option<Look> = Some(Box::new(look));
    with(|scheduler| scheduler.watches.push(Watching { period, due, look }));
}

/// Looks after everything.
#[cfg(any(test, fuzzing))]
pub(super) fn look() {
    (0..with(|scheduler| scheduler.watches.len())).for_each(look_after);
}

/// When something is to be looked after that is not due yet.
pub(super) fn next_look(now: Duration) -> Option<Duration> {
    with(|scheduler| {
        let watches = scheduler.watches.iter().filter(|watching| watching.look.is_some());
        watches.map(|watching| watching.due).filter(|&due| due > now).min()
    })
}

/// How much is to be looked after at this time.
pub(super) fn count_due(now: Duration) -> usize {
    with(|scheduler| scheduler.due(now).count())
}

/// Looks after one of what is to be looked after at this time.
pub(super) fn look_one(now: Duration, choice: usize) {
    if let Some(place) = with(|scheduler| scheduler.due(now).nth(choice)) {
        look_after(place);
    }
}

fn look_after(place: usize) {
    let Some(mut look) = with(|scheduler| scheduler.watches[place].look.take()) else { return };
    let mut goes_on = false;
    as_another_thread(|| goes_on = look());
    with(|scheduler| {
        let watching = &mut scheduler.watches[place];
        // What was missed is not made up for.
        watching.due = watching.due.saturating_add(watching.period).max(clock::now());
        if goes_on {
            watching.look = Some(look);
        }
    });
}

impl Scheduler {
    fn due(&self, now: Duration) -> impl Iterator<Item = usize> {
        let watches = self.watches.iter().enumerate();
        watches
            .filter(move |(_, watching)| watching.look.is_some() && watching.due <= now)
            .map(|(place, _)| place)
    }
}

/// How many workers were woken.
pub(super) fn count_woken() -> usize {
    with(|scheduler| scheduler.woken.len())
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
    let mut again = false;
    as_another_thread(|| {
        again = work.expect("a pool is started before a worker is woken")(thread);
    });
    with(|scheduler| {
        scheduler.pools[pool].running.retain(|&other| other != thread);
        if again {
            scheduler.woken.push((pool, thread));
        }
    });
    true
}

/// What stands in for the threads of one pool.
#[derive(Debug)]
pub(crate) struct Simulated {
    simulation: u64,
    pool: usize,
    threads: usize,
}

impl Simulated {
    /// So many threads, if a simulation runs here.
    pub(crate) fn begin(threads: usize) -> Option<Self> {
        is_on().then(|| {
            with(|scheduler| {
                scheduler.pools.push(Pool { threads, work: None, running: Vec::new() });
                Self { simulation: scheduler.simulation, pool: scheduler.pools.len() - 1, threads }
            })
        })
    }

    /// What a worker does each time it is woken, until it would sleep.
    pub(crate) fn start(&self, work: impl Fn(usize) -> bool + 'static) {
        self.with(|scheduler| scheduler.pools[self.pool].work = Some(Rc::new(work)));
    }

    /// A worker is woken.
    pub(crate) fn run(&self, thread: usize) {
        self.with(|scheduler| {
            let pool = &scheduler.pools[self.pool];
            let worker = (self.pool, thread);
            assert!(thread < pool.threads, "there is no such worker");
            assert!(!scheduler.woken.contains(&worker), "a worker is woken twice");
            assert!(!pool.running.contains(&thread), "a worker is woken that runs");
            scheduler.woken.push(worker);
        });
    }

    /// Whether none of the threads runs; each that does not would end as soon as it is woken.
    pub(crate) fn have_ended(&self) -> bool {
        self.with(|scheduler| scheduler.pools[self.pool].running.is_empty()).unwrap_or(true)
    }

    /// Uses the scheduler; `None` if the simulation is over. Flows that end after it wake nobody.
    fn with<R>(&self, use_it: impl FnOnce(&mut Scheduler) -> R) -> Option<R> {
        SCHEDULER.with_borrow_mut(|scheduler| {
            let its_own = |scheduler: &&mut Scheduler| scheduler.simulation == self.simulation;
            scheduler.as_mut().filter(its_own).map(use_it)
        })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }
}

/// A simulation on this thread, as long as it lives.
pub(super) struct Running(Rc<()>);

impl Running {
    /// # Panics
    ///
    /// If there is one already.
    pub(super) fn begin() -> Self {
        assert!(!is_on(), "a simulation runs on this thread already");
        set(true);
        clock::set(Some(Duration::ZERO));
        Self(Rc::new(()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = &self.0;
        set(false);
        clock::set(None);
    }
}
