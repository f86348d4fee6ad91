//! Threads that look for work, sleep, are woken and end, over a [`Source`].
//!
//! Each thread of a rayon pool runs one loop from its start to its end: take work, run it, look for more, sleep. No job
//! is ever given to the pool later. So a handler never runs on top of another handler, or of a part that one has
//! forked: a thread that waits inside `join` or `scope` finds nothing of ours to run. (A job of ours in the pool's
//! queues would hang the flow if the handler below it holds a lock: rayon#592.)
//!
//! Threads that sleep do so here ([`sleep`](self::sleep)) and not in rayon. What handlers give to rayon is run by
//! workers between two pieces of work, at least every [`HELP_EVERY`], by those who search, and, should all others
//! sleep, by those whom [`Workers::help`] wakes.
//!
//! | file | its subject |
//! |---|---|
//! | `sleep` | who searches and who sleeps, with the proof that work and a free worker never rest together |
//! | `parker` | where one of them sleeps |
//! | `spin_window` | how long a worker looks before it sleeps |
//! | `threads` | the rayon pool: names, pinning, panics, join |

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{parker::Parker, sleep::Sleep, spin_window::SpinWindow, threads::Threads};
#[cfg(shuttle)]
use crate::testing::schedules::threads;
use crate::{
    clock::Moment,
    sync::{current_thread, yield_now},
};

mod parker;
mod sleep;
mod spin_window;
#[cfg(not(shuttle))]
mod threads;

/// What threads a pool has.
#[cfg_attr(shuttle, expect(dead_code, reason = "shuttle's threads have no names and no cores"))]
#[derive(Clone, Copy)]
pub(crate) struct Spec<'a> {
    /// What each is called, by its index; the system shows the first 15 bytes.
    pub(crate) name: &'a dyn Fn(usize) -> String,
    pub(crate) threads: usize,
    /// The core of the first; the others have those that follow. `None`: any.
    pub(crate) first_core: Option<usize>,
}

/// How often a worker that runs one piece of work after the other looks at what handlers have given to rayon.
const HELP_EVERY: u64 = 100_000;

/// How often a worker that searches does so.
const HELP_EVERY_LOOKS: u32 = 16;

/// How long a worker of a flow whose handlers fork looks for parts at the least, in nanoseconds, while others are busy.
const HELP_FOR: u64 = 500_000;

/// How long it naps after that, before it looks again.
const NAP: Duration = Duration::from_micros(50);

/// How often a worker looks at once that finds another one looking, before it yields.
const BUSY_LOOKS: u32 = 16;

/// A yield that takes longer, in nanoseconds, says that others want the core.
const LATE: u64 = 50_000;

/// What came of looking for work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// The worker has taken a piece; `more` says whether there may be more for others.
    Work {
        more: bool,
    },
    Nothing,
    /// Somebody else is looking at the moment, and one is to look again.
    Busy,
}

/// How long workers look for work before they sleep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Manner {
    /// Up to so many nanoseconds, as far as that pays; `u64::MAX` for ever.
    pub(crate) longest: u64,
    /// What is run uses rayon, and idle threads help.
    pub(crate) forks: bool,
}

/// Where the work comes from.
pub(crate) trait Source: Send + Sync + 'static {
    /// What a worker keeps between two pieces of work.
    type Worker;

    fn worker(&self, index: usize) -> Self::Worker;

    /// Takes a piece of work.
    fn take(&self, worker: &mut Self::Worker) -> Found;

    /// Runs what was taken; returns when it ended. `now` is the time, if it was read just before.
    fn run(&self, worker: &mut Self::Worker, now: Option<Moment>) -> Moment;

    /// The worker has no time for a while: what it still holds is for others.
    fn put_down(&self, _worker: &mut Self::Worker) {}

    /// Whether there may be something to take.
    fn is_ready(&self) -> bool;

    /// Whether there will never be anything to take again.
    fn is_over(&self) -> bool;

    fn manner(&self) -> Manner;

    /// Whether what a worker keeps is out of date: it takes once more before it sleeps. A change wakes all
    /// afterwards.
    fn is_outdated(&self, _worker: &Self::Worker) -> bool {
        false
    }

    /// Brings it up to date. The user's code may run here.
    fn refresh(&self, _worker: &mut Self::Worker) {}

    /// A worker's loop has panicked, which none of the above may do: it looks for work no more, and what it had taken
    /// is lost. Must not panic.
    fn worker_broke(&self, payload: Box<dyn Any + Send>);
}

/// The workers of one source.
#[derive(Debug)]
pub(crate) struct Workers {
    sleep: Sleep,
    parkers: Box<[Parker]>,
    window: SpinWindow,
    threads: Threads,
}

impl Workers {
    /// Starts the threads. Each waits for [`start`](Self::start).
    pub(crate) fn new(
        spec: &Spec<'_>,
        stray_panic: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let threads = Threads::new(spec, stray_panic)?;
        let sleep = if threads.is_real() {
            Sleep::all_searching(spec.threads)
        } else {
            Sleep::all_sleeping(spec.threads)
        };
        let parkers = (0..spec.threads).map(|_| Parker::default()).collect();
        Ok(Self { sleep, parkers, window: SpinWindow::new(), threads })
    }

    /// Lets the threads work on a source, which owns these workers. To be called once.
    pub(crate) fn start<S: Source>(&self, source: &Arc<S>, of: fn(&S) -> &Self) {
        let (source, broken) = (Arc::clone(source), Arc::clone(source));
        self.threads.start(
            move |index| of(&source).work(&*source, index),
            move |payload| {
                broken.worker_broke(payload);
                // The others may have relied on it to look.
                of(&broken).wake_all();
            },
        );
    }

    fn wake(&self, worker: usize) {
        if !self.threads.run_simulated(worker) {
            self.parkers[worker].wake();
        }
    }

    /// There is work.
    #[inline]
    pub(crate) fn notify(&self) {
        if let Some(worker) = self.sleep.notify() {
            self.wake(worker);
        }
    }

    /// Wakes all: the source is over, or its manner or handler has changed.
    pub(crate) fn wake_all(&self) {
        self.sleep.wake_all(|worker| self.wake(worker));
    }

    /// Wakes all if some are busy: they may wait for something that they have given to rayon.
    pub(crate) fn help(&self) {
        if self.sleep.are_busy(self.parkers.len()) {
            self.wake_all();
        }
    }

    /// What one thread does from its start to its end. In a simulation a thread ends where it would sleep and begins
    /// anew when it is woken. In one that steps it ends after each piece of work, too; true if it is to begin anew.
    fn work<S: Source>(&self, source: &S, index: usize) -> bool {
        let parker = &self.parkers[index];
        parker.thread.get_or_init(current_thread);
        let mut worker = source.worker(index);
        let mut searches = true;
        let mut helped = Moment::now();
        self.window.is_needed(helped.as_nanos(), source.manner().longest);
        // The last reading of the clock, if nothing has been done since.
        let mut now = None;
        let mut busy = 0_u32;
        // It has taken something since it was woken.
        let mut has_taken = false;
        loop {
            match source.take(&mut worker) {
                Found::Work { more } => {
                    self.found(source, &mut searches, more);
                    has_taken = true;
                    let ended = source.run(&mut worker, now);
                    if !self.threads.is_real() && crate::testing::is_stepped() {
                        source.put_down(&mut worker);
                        // As one that is woken does.
                        self.sleep.search();
                        return true;
                    }
                    now = Some(ended);
                    if ended.nanos_since(helped) >= HELP_EVERY {
                        helped = ended;
                        now = None;
                        source.put_down(&mut worker);
                        self.threads.help();
                    }
                }
                Found::Busy => {
                    now = None;
                    busy += 1;
                    if busy.is_multiple_of(BUSY_LOOKS) {
                        yield_now()
                    } else {
                        crate::clock::pause()
                    }
                }
                Found::Nothing => {
                    now = None;
                    if source.is_over() {
                        break;
                    }
                    if !searches {
                        searches = true;
                        self.sleep.search();
                    }
                    if source.is_outdated(&worker) {
                        self.relied_on_by_nobody(source, || source.refresh(&mut worker));
                        continue;
                    }
                    if self.search(source, &worker) {
                        continue;
                    }
                    // Who was woken and found nothing was woken to help.
                    if !has_taken || self.threads.have_given() {
                        self.help_rayon(source);
                    }
                    has_taken = false;
                    if !self.fall_asleep(source, index, &worker) {
                        return false;
                    }
                }
            }
        }
        if searches {
            let none = self.sleep.found(|| false);
            debug_assert!(none.is_none());
        }
        // Who has found the source over may be the first to know.
        self.wake_all();
        false
    }

    /// A worker has taken something: another is woken if there is more and nobody looks.
    fn found<S: Source>(&self, source: &S, searches: &mut bool, more: bool) {
        let next = if std::mem::take(searches) {
            self.sleep.found(|| more || source.is_ready())
        } else if more && self.parkers.len() > 1 {
            self.sleep.notify()
        } else {
            None
        };
        if let Some(next) = next {
            self.wake(next);
        }
        if source.manner().forks && self.sleep.has_sleepers() {
            self.wake_all();
        }
    }

    /// Looks for work as long as that pays; false if there is none.
    fn search<S: Source>(&self, source: &S, worker: &S::Worker) -> bool {
        let Manner { longest, forks } = source.manner();
        let began = Moment::now();
        let mut window = self.window.window(longest, began.as_nanos());
        if forks && self.sleep.are_busy(self.parkers.len()) {
            window = window.max(HELP_FOR);
        }
        let help_every = if forks { 1 } else { HELP_EVERY_LOOKS };
        let mut looks = 0_u32;
        let mut late = false;
        let mut now = began;
        while now.nanos_since(began) < window || longest == u64::MAX {
            if source.is_ready() || source.is_over() {
                self.window.looked(now.nanos_since(began));
                return true;
            }
            crate::clock::pause();
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(help_every) {
                self.help_rayon(source);
                if source.is_outdated(worker) {
                    return true;
                }
            }
            let before = Moment::now();
            crate::clock::yield_now();
            now = Moment::now();
            if now.nanos_since(before) > LATE && longest != u64::MAX {
                late = true;
                break;
            }
            if source.manner().longest != longest {
                break;
            }
        }
        if longest > 0 {
            if late {
                self.window.bar(now.as_nanos())
            } else {
                self.window.looked(now.nanos_since(began));
                self.window.gives_up(began.as_nanos())
            }
        }
        source.is_ready()
    }

    /// Runs what handlers have given to rayon.
    fn help_rayon<S: Source>(&self, source: &S) {
        self.relied_on_by_nobody(source, || self.threads.help());
    }

    /// Runs what may take long, on a worker that searches. Meanwhile it does not count as searching, so that nobody
    /// relies on it.
    fn relied_on_by_nobody<S: Source>(&self, source: &S, run: impl FnOnce()) {
        if let Some(next) = self.sleep.found(|| source.is_ready()) {
            self.wake(next);
        }
        run();
        self.sleep.search();
    }

    /// Sleeps until there is work; false if this is a simulation, and the worker sleeps now.
    fn fall_asleep<S: Source>(&self, source: &S, index: usize, worker: &S::Worker) -> bool {
        let manner = source.manner();
        if !self.sleep.fall_asleep(index, || {
            source.is_ready()
                || source.is_over()
                || source.manner() != manner
                || source.is_outdated(worker)
        }) {
            return true;
        }
        if !self.threads.is_real() {
            return false;
        }
        loop {
            let nap = (manner.forks && self.sleep.are_busy(self.parkers.len())).then_some(NAP);
            if self.parkers[index].sleep(nap) {
                break;
            }
            if self.sleep.stay_awake(index) {
                return true;
            }
        }
        self.window.is_needed(Moment::now().as_nanos(), manner.longest);
        true
    }

    /// How many threads are alive.
    pub(crate) fn alive(&self) -> usize {
        self.threads.alive()
    }

    /// Waits until all threads have ended; false if the deadline comes first. The source must be over.
    pub(crate) fn join(&self, deadline: Instant) -> bool {
        self.threads.join(deadline)
    }

    /// Lets go of the pool, whose threads end when their loops have.
    pub(crate) fn release(&self) {
        self.threads.release();
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

#[cfg(all(test, loom))]
mod model;
