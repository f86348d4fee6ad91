//! What a worker does when there is nothing to run, and when its shift is over.

use std::{sync::Arc, time::Duration};

use super::{HELPS, SHIFT, Shift, pause};
use crate::{
    WaitStrategy,
    clock::{Moment, nanos, yield_now},
    flow_worker::{
        core::{Core, Handle},
        parking::Call,
        pool::{Job, Spawn},
    },
    sync::Ordering,
};

/// How often a lingering worker looks at the lanes before it lets others have the processor.
const SPINS: usize = 1;

/// How often a worker that spins looks for something else to do in its pool.
const HELP_EVERY: Duration = Duration::from_micros(100);

/// What came of lingering.
pub(super) enum Linger {
    /// There is something to run, or may be.
    Found,
    /// There is nothing.
    Over,
    /// There is nothing, and the claim is gone to another job.
    Ended,
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// From now on this job finds what is pushed, and nobody need be woken for it.
    pub(super) fn search(&self, shift: &mut Shift<'_, M, H>) {
        shift.wake();
        if !shift.searches {
            shift.searches = true;
            self.claims.search();
        }
    }

    /// Looks for messages as long as the flow's strategy says.
    pub(super) fn linger(&self, shift: &mut Shift<'_, M, H>) -> Linger {
        let strategy = shift.config().wait_strategy();
        let linger = match strategy {
            WaitStrategy::GiveBack | WaitStrategy::Park => return Linger::Over,
            WaitStrategy::Linger(linger) => linger,
            WaitStrategy::Adaptive(longest) => {
                // The reading may be as old as the last handler; whoever looks for a while takes one below.
                let window = self.patience.window(nanos(longest));
                if window == 0 {
                    self.patience.gives_up(self.nanos(shift.now));
                    return Linger::Over;
                }
                Duration::from_nanos(window)
            }
            WaitStrategy::Spin => HELP_EVERY,
        };
        shift.now = Moment::now();
        let began = shift.now;
        let end = began.after(linger);
        let in_vain = loop {
            for _ in 0..SPINS {
                if !self.ready.is_empty() {
                    return Linger::Found;
                }
                pause();
            }
            yield_now();
            // After others may have run, so that their time is not taken for a handler's.
            shift.now = Moment::now();
            let is_changed = shift.config().wait_strategy() != strategy;
            if self.admission.is_closed() || is_changed {
                break false;
            }
            if shift.now >= end {
                break true;
            }
        };
        if !self.spins(shift.config().wait_strategy()) {
            if in_vain && matches!(strategy, WaitStrategy::Adaptive(_)) {
                self.patience.gives_up(self.nanos(began));
            }
            return Linger::Over;
        }
        // What it runs may take long. Meanwhile this job has no claim, so that nobody relies on it.
        if self.claims.give_back(|| self.ready.is_empty()) {
            return Linger::Found;
        }
        let outside = HELPS.replace(true);
        self.threads.help();
        HELPS.set(outside);
        shift.now = Moment::now();
        if self.claims.claim() { Linger::Found } else { Linger::Ended }
    }

    /// Whether workers never give their threads back.
    pub(super) fn spins(&self, strategy: WaitStrategy) -> bool {
        strategy == WaitStrategy::Spin && !self.admission.is_closed()
    }

    /// Gives the claim of this job back, and sleeps if that is the flow's strategy; true if it has a
    /// claim again and there is something to do.
    pub(super) fn rest(&self, worker: usize, shift: &mut Shift<'_, M, H>) -> bool {
        let is_empty = || self.ready.is_empty();
        // On top of something it would sleep on its time.
        if shift.config().wait_strategy() != WaitStrategy::Park || !shift.at_bottom {
            return self.claims.give_back(is_empty);
        }
        self.parking.lie_down(worker);
        if self.claims.give_back(is_empty) {
            let called = self.parking.get_up(worker);
            if called == Some(Call::Go) {
                // One claim is enough; it goes on looking with the other.
                let _ = self.claims.give_back(|| true);
            }
            return true;
        }
        // After the fence in `give_back`: whoever closes the flow or changes its strategy now finds this
        // worker in its bed. Asking for the strategy lets go of what was before.
        let parks = shift.config().wait_strategy() == WaitStrategy::Park;
        let call = if self.admission.is_closed() || !parks {
            self.parking.get_up(worker)
        } else {
            Some(self.parking.sleep(worker))
        };
        // Its sleep is no handler's time.
        shift.now = Moment::now();
        call == Some(Call::Go)
    }

    /// Gives the claim of this job back and offers what is left to all threads; false if there is
    /// something left and nobody to offer it to, so that this job keeps its claim and goes on.
    pub(super) fn pass_on(self: &Arc<Self>, shift: &mut Shift<'_, M, H>) -> bool {
        // Relaxed: where a job begins orders nothing.
        self.turn.store(shift.turn, Ordering::Relaxed);
        if shift.at_bottom && !self.admission.is_closed() {
            self.run_spawned(shift);
            shift.end = shift.now.after(SHIFT);
            return false;
        }
        let spins = self.spins(shift.config().wait_strategy());
        let is_done = || !spins && self.ready.is_empty();
        if self.claims.pass_on(shift.searches, is_done) || self.offer_rest() {
            return true;
        }
        shift.searches = true;
        shift.end = shift.now.after(SHIFT);
        false
    }

    /// Runs what handlers have spawned on this thread. It may take long: whoever relies on this job to
    /// search, or to be woken by it, relies on others first.
    fn run_spawned(self: &Arc<Self>, shift: &mut Shift<'_, M, H>) {
        shift.wake();
        if shift.searches {
            shift.searches = false;
            if self.claims.found(|| !self.ready.is_empty()) {
                self.start();
            }
        }
        let outside = HELPS.replace(true);
        self.threads.run_spawned();
        HELPS.set(outside);
        shift.now = Moment::now();
    }

    /// Whether this drain job runs at the bottom of its thread's stack, on top of rayon's own loop.
    pub(super) fn is_at_bottom(&self) -> bool {
        let depth = self.threads.stack_depth();
        // Relaxed: it orders nothing.
        depth <= self.bottom.fetch_min(depth, Ordering::Relaxed)
    }

    /// Leaves what is in the lanes to others; false if there are none, and the caller has a claim
    /// again.
    pub(super) fn offer_rest(self: &Arc<Self>) -> bool {
        if self.parking.is_used() && self.claims.claim() {
            if self.parking.call_one() {
                return true;
            }
            // Nobody sleeps, so the threads of the pool hear of the offer.
            let _ = self.claims.give_back(|| true);
        }
        self.threads.offer(Arc::clone(self) as Arc<dyn Job>) || !self.claims.claim()
    }
}
