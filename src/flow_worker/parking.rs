//! Where workers sleep without giving their threads back to the pool.
//!
//! A worker that gives its thread back is woken through the pool: that allocates a job, and the pool's
//! threads look for work for a while before they sleep. A flow may have its workers sleep here instead
//! ([`WaitStrategy::Park`](crate::WaitStrategy::Park)).
//!
//! ```text
//!            lie down          give the claim back          called: go, with a claim
//!   awake ─────────────▶ in bed ────────────────▶ asleep ──────────────────────────▶ awake
//!     ▲                    │ something after all       └──▶ called: leave
//!     └──── get up ────────┘
//! ```
//!
//! A bed is taken before the claim is given back. So whoever takes that claim next, to wake a worker
//! for a message, finds somebody in bed: he takes it out of the set of sleepers, which hands his
//! claim over, and calls it. Nobody is called twice, because only one takes it out; a worker that
//! gets up by itself takes itself out, or waits for the call of the one who did.
//!
//! There are as many claims as threads, and a sleeper has no claim. So if nobody is in bed, a thread
//! of the pool is free for every claim that is taken, or will be as soon as it lies down and is called.

use std::sync::OnceLock;

use super::lane_set::LaneSet;
use crate::sync::{AtomicUsize, Ordering, Thread, current_thread, park};

const SILENCE: usize = 0;
const GO: usize = 1;
const LEAVE: usize = 2;

/// What a worker is called for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Call {
    /// To drain the lanes; the caller's claim is the worker's.
    Go,
    /// To give its thread back; it has no claim.
    Leave,
}

#[derive(Debug)]
struct Bed {
    thread: OnceLock<Thread>,
    call: AtomicUsize,
}

/// A bed for each worker of a flow.
#[derive(Debug)]
pub(super) struct Parking {
    sleepers: LaneSet,
    beds: Box<[Bed]>,
}

impl Parking {
    pub(super) fn new(workers: usize) -> Self {
        let bed = |_| Bed { thread: OnceLock::new(), call: AtomicUsize::new(SILENCE) };
        Self { sleepers: LaneSet::new(workers), beds: (0..workers).map(bed).collect() }
    }

    /// The calling worker lies down. It holds a claim still, gives it back next, and then either
    /// [gets up](Self::get_up) or [sleeps](Self::sleep).
    pub(super) fn lie_down(&self, worker: usize) {
        // Its own thread is the only one that ever sets it, so nobody waits for another here.
        self.beds[worker].thread.get_or_init(current_thread);
        self.sleepers.insert(worker);
    }

    /// The calling worker does not sleep after all; what it has been called for meanwhile, if it has.
    pub(super) fn get_up(&self, worker: usize) -> Option<Call> {
        (!self.sleepers.remove(worker)).then(|| self.sleep(worker))
    }

    /// Sleeps until the calling worker, which has lain down, is called.
    pub(super) fn sleep(&self, worker: usize) -> Call {
        loop {
            // Acquire: pairs with the Release in `call`.
            match self.beds[worker].call.swap(SILENCE, Ordering::Acquire) {
                SILENCE => park(),
                GO => return Call::Go,
                _ => return Call::Leave,
            }
        }
    }

    /// Calls a sleeper, if there is one, and hands the caller's claim over to it.
    pub(super) fn call_one(&self) -> bool {
        // Ends: whoever is found and not taken was taken by another, of whom there are few.
        while let Some(worker) = self.asleep() {
            if self.sleepers.remove(worker) {
                self.call(worker, GO);
                return true;
            }
        }
        false
    }

    /// Whether somebody may be asleep.
    pub(super) fn is_used(&self) -> bool {
        self.asleep().is_some()
    }

    /// Somebody in bed. Bed by bed: the bits above them are set a moment later, by a worker that may be preempted
    /// between the two, and whoever has the claim of one that sleeps must find it.
    fn asleep(&self) -> Option<usize> {
        self.sleepers.iter().next()
    }

    /// Tells all sleepers to leave. Who lies down later must look whether it may.
    pub(super) fn call_all_to_leave(&self) {
        for worker in 0..self.beds.len() {
            if self.sleepers.remove(worker) {
                self.call(worker, LEAVE);
            }
        }
    }

    fn call(&self, worker: usize, call: usize) {
        let bed = &self.beds[worker];
        // Release: what the caller has done is seen by the one who wakes.
        bed.call.swap(call, Ordering::Release);
        if let Some(thread) = bed.thread.get() {
            thread.unpark();
        }
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
