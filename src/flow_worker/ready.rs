//! Who drains the queue: the claim protocol that wakes workers without ever losing a message.
//!
//! A *claim* is the right to run one drain job. There are as many as the flow may run handlers at
//! the same time. A message that is pushed claims a drain job if a claim is free; if none is, that
//! many drain jobs are active and one of them will find the message.
//!
//! # Why no message rests in the queue while a claim is free
//!
//! Four events, of which each side has two:
//!
//! - *Push*: a submitter pushes a message, then (after its fence) *looks* at the claims and takes one
//!   if it can.
//! - *Lower*: a drain job that found the queue empty gives its claim back, then (after its fence)
//!   *re-checks* the queue and takes a claim again if there is something.
//!
//! Both fences are sequentially consistent, so one comes first.
//!
//! - If the submitter's fence comes first, the re-check sees the message: the drain job takes a claim
//!   again and goes on, unless somebody else has taken the last one since, and whoever did that has a
//!   drain job that has yet to find the queue empty.
//! - If the drain job's fence comes first, the look sees the lowered claim: the submitter takes it,
//!   or somebody else has.
//!
//! In both cases a drain job pops after the push, so the message does not rest.
//!
//! Claims can be *withheld*: a flow that begins with all of them taken by nobody queues what is
//! admitted and runs nothing. Handing them out later is a *lower* followed by the re-check, so it
//! needs no argument of its own.

use crate::sync::{AtomicUsize, Ordering, fence};

/// The claims of one flow.
#[derive(Debug)]
pub(super) struct Claims {
    /// Claims that are taken. Written when a drain job begins or ends, not per message.
    taken: AtomicUsize,
    limit: usize,
}

impl Claims {
    /// `limit` claims, at least 1, all free or all withheld.
    pub(super) fn new(limit: usize, withheld: bool) -> Self {
        debug_assert!(limit >= 1);
        Self { taken: AtomicUsize::new(if withheld { limit } else { 0 }), limit }
    }

    /// The caller has pushed a message; true means that it must start a drain job.
    #[must_use]
    pub(super) fn claim_after_push(&self) -> bool {
        // SeqCst: pairs with the fence in `lower`; the push comes before it, the look after.
        fence(Ordering::SeqCst);
        self.claim()
    }

    /// A drain job found the queue empty and gives its claim back; true means that there is
    /// something after all, the claim is taken again, and the job must go on.
    #[must_use]
    pub(super) fn give_back(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.lower(1);
        !is_empty() && self.claim()
    }

    /// Hands out the claims that were withheld; true means that there is something in the queue
    /// and the caller must start a drain job. To be called once.
    #[must_use]
    pub(super) fn hand_out(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.lower(self.limit);
        !is_empty() && self.claim()
    }

    fn lower(&self, claims: usize) {
        // Release: what the drain job has done is seen by whoever takes the claim.
        let before = self.taken.fetch_sub(claims, Ordering::Release);
        debug_assert!(before >= claims);
        // SeqCst: pairs with the fence in `claim_after_push`; the lowering comes before it, the
        // re-check after.
        fence(Ordering::SeqCst);
    }

    fn claim(&self) -> bool {
        // Relaxed: the fence before it is what makes it see a lowered claim.
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken < self.limit {
            // Acquire: pairs with the Release in `lower`. Relaxed on failure: only the next guess.
            match self.taken.compare_exchange_weak(
                taken,
                taken + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
        false
    }
}

#[cfg(all(test, loom))]
mod model;
