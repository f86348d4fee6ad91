//! Who drains the lanes: the claim protocol that wakes workers without ever losing a message.
//!
//! A *claim* is the right to run one drain job. There are as many as the flow has threads. A drain job
//! *searches* until it has taken a message, and again when it finds no more. A message that is brought
//! wakes a new drain job if a claim is free and nobody searches: who searches will find it.
//!
//! ```text
//!               claimed                 found                 nothing left
//!   ── free ──────────────▶ searching ◀──────────▶ running ──▶ searching ──▶ free
//! ```
//!
//! # Why no message rests in a lane while a claim is free
//!
//! Two sides, of two events each:
//!
//! - *Push*: a submitter pushes a message and puts its lane into the ready set, and then, after its
//!   fence, *looks* at the claims: it takes one if one is free and nobody searches. (If the lane was in
//!   the set already, whoever put it in looks as well, and whoever takes it out looks at the lane.)
//! - *Lower*: a drain job that searches no longer, because it has found something or because it gives
//!   its claim back, says so in the claims, and then, after its fence, *re-checks* the lanes.
//!
//! The fences are sequentially consistent, so one comes first.
//!
//! - If the submitter's fence comes first, the re-check sees the message, and the drain job goes on to
//!   it, or wakes another, or leaves it to one that searches.
//! - If the drain job's fence comes first, the look sees it lowered. Then the submitter takes a claim,
//!   unless all are taken, or others still search.
//!
//! A submitter that leaves a message to one that searches relies on that one's lowering, which is yet
//! to come. One that stops searching leaves it to others that search without a re-check of its own:
//! their lowering is later in the order of the word, and the last of them re-checks. When all claims
//! are taken, every drain job has its search and its lowering before it. So in all cases a drain job
//! looks at the lanes after the push.
//!
//! So a drain job that searches must look at the lanes before anything that may take long: it runs
//! nobody else's code between its search and its lowering. And a claim must mean a thread: two drain jobs
//! on one stack would be one, which is why a job on top of a handler passes its claim on.
//!
//! Finding must come before lowering: a drain job takes its message first, so that its re-check asks
//! whether there is *more*, and a trickle wakes one worker and not all.
//!
//! A drain job that has run for long enough *passes on*: it lowers its claim, re-checks, and if there
//! is something offers the lanes to every thread of the flow. Whoever accepts takes a claim first. So
//! between a pass and its acceptance a message may be in a lane with no claim taken; but every
//! thread has the offer before it, and only one that has another drain job below may decline.
//!
//! How many claims may be taken can change. One more is a lowering by whoever changes it, who then fences
//! and re-checks the lanes. One less is given back by a drain job between two turns, if more are taken
//! than may be: the others have their search and their lowering before them.
//!
//! Claims can be *withheld*: a flow that begins with all of them taken by nobody queues what is
//! admitted and runs nothing. Handing them out later is a lowering followed by the re-check, so it
//! needs no argument of its own.

use crate::sync::{AtomicUsize, Ordering, fence};

const CLAIM: usize = 1;
const SEARCHER: usize = 1 << 16;

const fn taken(word: usize) -> usize {
    word % SEARCHER
}

const fn searching(word: usize) -> usize {
    word / SEARCHER
}

/// What has become of a claim that may have been one too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Surplus {
    /// It was not.
    None,
    /// It is given back.
    Gone,
    /// It was given back and taken again, and the job searches.
    Again,
}

/// The claims of one flow.
#[derive(Debug)]
pub(super) struct Claims {
    /// Claims that are taken, and how many of their holders search. With one claim nobody need know
    /// whether its holder searches, so it is not written then: a steady flow of one worker writes
    /// nothing here.
    word: AtomicUsize,
    /// How many claims may be taken; may change.
    limit: AtomicUsize,
    /// How many there are at the most: the flow's threads.
    threads: usize,
}

impl Claims {
    /// `limit` claims, 1 to 2^15, all free or all withheld.
    pub(super) fn new(limit: usize, withheld: bool) -> Self {
        debug_assert!((1..SEARCHER / 2).contains(&limit));
        Self {
            word: AtomicUsize::new(if withheld { limit } else { 0 }),
            limit: AtomicUsize::new(limit),
            threads: limit,
        }
    }

    /// What a drain job adds to the word while it searches.
    #[inline]
    fn searcher(&self) -> usize {
        if self.threads == 1 { 0 } else { SEARCHER }
    }

    /// A message has been pushed and its lane put into the set, and the caller has fenced since; true
    /// means that it must start a drain job.
    #[must_use]
    #[inline]
    pub(super) fn claim_if_unseen(&self) -> bool {
        self.claim_if(|word| searching(word) == 0)
    }

    /// Takes a claim for a drain job, which searches; true means that the caller must start it, or be
    /// it.
    #[must_use]
    pub(super) fn claim(&self) -> bool {
        self.claim_if(|_| true)
    }

    #[inline]
    fn claim_if(&self, wanted: impl Fn(usize) -> bool) -> bool {
        // Relaxed: the fence before it, where one is needed, is what makes it see what was lowered.
        let mut word = self.word.load(Ordering::Relaxed);
        while taken(word) < self.limit() && wanted(word) {
            // Acquire: pairs with the Release in `lower`. Relaxed on failure: only the next guess.
            match self.word.compare_exchange_weak(
                word,
                word + CLAIM + self.searcher(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// A drain job that searched has taken a message; true means that it must start another, for
    /// what `is_more` has found.
    #[must_use]
    pub(super) fn found(&self, is_more: impl FnOnce() -> bool) -> bool {
        if self.threads == 1 {
            return false;
        }
        let now = self.lower(SEARCHER);
        if searching(now) > 0 || taken(now) >= self.limit() {
            // Others are yet to look.
            return false;
        }
        // SeqCst: pairs with the submitter's; the lowering comes before it, the re-check after.
        fence(Ordering::SeqCst);
        is_more() && self.claim_if_unseen()
    }

    /// A drain job that ran has found nothing more, and searches.
    pub(super) fn search(&self) {
        if self.threads > 1 {
            // Relaxed: who sees it leaves a message to this job, which has its lowering before it.
            self.word.fetch_add(SEARCHER, Ordering::Relaxed);
        }
    }

    /// A drain job that searched gives its claim back; true means that there is something after all,
    /// the claim is taken again, and the job must go on searching.
    #[must_use]
    pub(super) fn give_back(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.lower(CLAIM + self.searcher());
        // SeqCst: as in `found`.
        fence(Ordering::SeqCst);
        !is_empty() && self.claim_if_unseen()
    }

    /// A drain job that ran, or `searched`, has run for long enough and gives its claim back; false
    /// means that there is something left, which must be offered to others.
    #[must_use]
    pub(super) fn pass_on(&self, searched: bool, is_empty: impl FnOnce() -> bool) -> bool {
        self.lower(CLAIM + if searched { self.searcher() } else { 0 });
        // SeqCst: as in `found`.
        fence(Ordering::SeqCst);
        is_empty()
    }

    /// Hands out the claims that were withheld; true means that there is something in the lanes and
    /// the caller must start a drain job. To be called once.
    #[must_use]
    pub(super) fn hand_out(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.lower(self.threads);
        // SeqCst: as in `found`.
        fence(Ordering::SeqCst);
        !is_empty() && self.claim_if_unseen()
    }

    /// Returns the word as it is then.
    fn lower(&self, by: usize) -> usize {
        // Release: what the drain job has done is seen by whoever takes the claim.
        let before = self.word.fetch_sub(by, Ordering::Release);
        debug_assert!(taken(before) >= taken(by) && searching(before) >= searching(by));
        before - by
    }

    /// How many claims there are at the most.
    #[inline]
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// How many claims may be taken.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        // Relaxed: who changes it fences, and then looks at the lanes.
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets how many claims may be taken, 1 to as many as there are threads. The caller fences, and starts a
    /// drain job if there is something in the lanes and a claim to be had.
    pub(super) fn set_limit(&self, limit: usize) {
        debug_assert!((1..=self.threads).contains(&limit));
        // Relaxed: as above.
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// A drain job that ran, or `searched`, gives its claim back if more are taken than may be.
    pub(super) fn give_back_surplus(
        &self,
        searched: bool,
        is_empty: impl FnOnce() -> bool,
    ) -> Surplus {
        let by = CLAIM + if searched { self.searcher() } else { 0 };
        // Relaxed: only a first guess, which the exchange checks.
        let mut word = self.word.load(Ordering::Relaxed);
        while taken(word) > self.limit() {
            // Release: as in `lower`. Relaxed on failure: only the next guess.
            match self.word.compare_exchange_weak(
                word,
                word - by,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    // SeqCst: as in `found`; the limit may have been raised again.
                    fence(Ordering::SeqCst);
                    let again = !is_empty() && self.claim_if_unseen();
                    return if again { Surplus::Again } else { Surplus::Gone };
                }
                Err(now) => word = now,
            }
        }
        Surplus::None
    }

    #[cfg(test)]
    pub(super) fn are_free(&self) -> bool {
        self.word.load(Ordering::Relaxed) == 0
    }
}

#[cfg(all(test, loom))]
mod model;
