//! Who goes next, as the seed says.
//!
//! ```text
//!                 ┌──▶ a worker that was woken runs one message
//!  step ── seed ──┼──▶ a task that was woken is polled
//!                 └──▶ what is due is looked after: drops, stuck handlers, the timer
//! ```
//!
//! A handler that lets time pass has others step on top of it, [`MAX_DEPTH`] deep at most. A thread that waits has them
//! step until its wait is over.

use std::{
    any::Any,
    cell::RefCell,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use super::{clock, random::Random, tasks::Tasks, threads};
use crate::{WATCH_PERIOD, flow_worker::as_another_thread, panics::contain};

/// How deep handlers and tasks have others step while they take their time.
const MAX_DEPTH: usize = 4;

/// Others take fewer steps than this in the middle of a handler or a task, before each moment of its time and after the
/// last.
const MEANWHILE: usize = 8;

/// A thread waits for so many moments at which nobody has anything to do: for an hour, by the watch's period.
const MAX_IDLE_MOMENTS: usize = 72_000;

thread_local! {
    static CURRENT: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// What a simulation that steps knows.
pub(super) struct State {
    pub(super) random: Random,
    pub(super) tasks: Tasks,
    /// Steps that are below the caller.
    pub(super) depth: usize,
    /// A task has panicked, maybe in the middle of a handler, whose panics are contained.
    failed: Option<Box<dyn Any + Send>>,
}

/// The stepping of the simulation on this thread, as long as it lives.
pub(super) struct Stepping(());

impl Stepping {
    pub(super) fn begin(seed: u64) -> Self {
        let (random, tasks) = (Random::new(seed), Tasks::default());
        CURRENT.set(Some(State { random, tasks, depth: 0, failed: None }));
        Self(())
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        let state = CURRENT.take();
        if std::thread::panicking() {
            // What is left of a run that has failed would fail again.
            mem::forget(state);
        }
    }
}

/// Uses what is known. The user's code must not run in it.
pub(super) fn state<R>(use_it: impl FnOnce(&mut State) -> R) -> R {
    CURRENT.with_borrow_mut(|state| use_it(state.as_mut().expect("a simulation steps")))
}

/// Whether a simulation on this thread says who goes next.
pub(crate) fn is_stepped() -> bool {
    // A thread-local of the user's may be dropped after it.
    CURRENT.try_with(|state| state.borrow().is_some()).unwrap_or(false)
}

/// One goes on whose turn it is; false if there is none.
pub(super) fn step() -> bool {
    let now = clock::now();
    let (workers, due) = (threads::count_woken(), threads::count_due(now));
    let chosen = state(|state| {
        let count = workers + due + state.tasks.count_woken();
        (count > 0).then(|| {
            state.depth += 1;
            state.random.below(count)
        })
    });
    let Some(choice) = chosen else { return false };
    if choice < workers {
        threads::run_one(choice);
    } else if let Some(task) = (choice - workers).checked_sub(due) {
        as_another_thread(|| poll(task));
    } else {
        threads::look_one(now, choice - workers);
    }
    state(|state| state.depth -= 1);
    true
}

fn poll(choice: usize) {
    let Some(task) = state(|state| state.tasks.take_woken(choice)) else { return };
    match catch_unwind(AssertUnwindSafe(|| task.poll())) {
        Ok(Some(pending)) => state(|state| state.tasks.put_back(pending)),
        Ok(None) => {}
        Err(payload) => {
            // The first counts.
            let later = state(|state| match state.failed {
                Some(_) => Some(payload),
                None => state.failed.replace(payload),
            });
            contain(|| drop(later));
        }
    }
}

/// Fails the run if a task has, outside of handlers and tasks.
pub(super) fn raise() {
    let failed = state(|state| if state.depth == 0 { state.failed.take() } else { None });
    if let Some(payload) = failed {
        resume_unwind(payload);
    }
}

/// A handler or a task takes its time until then: others step meanwhile.
pub(super) fn take_until(until: Duration) {
    if state(|state| state.depth) >= MAX_DEPTH {
        clock::go_to(until);
        return;
    }
    // Ends: time goes on each time.
    loop {
        let steps = state(|state| state.random.below(MEANWHILE));
        // Ends early if there is nobody left.
        let _ = (0..steps).all(|_| step());
        if clock::now() >= until {
            return;
        }
        pass_until(until);
    }
}

/// A thread waits, and has waited for so many idle moments: others go on, or time does if there are none. False outside
/// of simulations that step.
///
/// # Panics
///
/// If nobody has anything to do for an hour.
pub(crate) fn run_others(idle: &mut usize) -> bool {
    if !is_stepped() {
        return false;
    }
    if !step() {
        *idle += 1;
        assert!(*idle < MAX_IDLE_MOMENTS, "a thread waits for something that never happens");
        pass_until(clock::now() + WATCH_PERIOD);
    }
    raise();
    true
}

/// Lets time pass until something is to be looked after, or until then.
pub(super) fn pass_until(time: Duration) {
    let look = threads::next_look(clock::now());
    clock::go_to(look.map_or(time, |look| look.min(time)));
}
