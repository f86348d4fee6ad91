//! Who looks for work and who sleeps, and who wakes whom.
//!
//! Each worker is in one of three states. The first two are counted in one word:
//!
//! ```text
//!              finds nothing                 has looked for long enough
//!    BUSY ───────────────────▶ SEARCHING ──────────────────────────────▶ SLEEPING
//!      ▲                        │    ▲                                      │
//!      └──── takes work ────────┘    └────────── is woken ──────────────────┘
//! ```
//!
//! **BUSY** runs something and looks again when it has ended. **SEARCHING** looks again and again. **SLEEPING** stands
//! in the list of sleepers, until somebody takes it out.
//!
//! # Why work and a free worker never rest together
//!
//! A thread that has made work available ([`Sleep::notify`]) fences and reads the word: if nobody searches and somebody
//! sleeps, it wakes one, who then counts as searching. A worker that goes to sleep changes the word, fences, and looks
//! for work once more. The fences are sequentially consistent: either the notifier sees the sleeper, or the sleeper
//! sees the work. If the notifier saw somebody search, that one looks at the work before it sleeps; or it takes other
//! work and stops searching, and then, as the last who searched, it fences, looks whether there is more, and wakes the
//! next ([`Sleep::found`]).
//!
//! So at most one worker at a time is being woken, and each that finds work wakes the next if there is more: as tokio's
//! and Go's schedulers do it.
//!
//! The list of sleepers is behind a mutex, as in tokio's `idle.rs`: only who goes to sleep or wakes somebody takes it.

use crossbeam::utils::CachePadded;

use crate::sync::{AtomicU64, Mutex, Ordering, fence};

/// One who searches.
const SEARCHING: u64 = 1 << 32;
/// One who sleeps.
const SLEEPING: u64 = 1;

const fn searching(word: u64) -> u64 {
    word >> 32
}

const fn sleeping(word: u64) -> u64 {
    word & (SEARCHING - 1)
}

#[derive(Debug)]
pub(super) struct Sleep {
    word: CachePadded<AtomicU64>,
    sleepers: Mutex<Vec<usize>>,
}

impl Sleep {
    /// So many workers, all of which search.
    pub(super) fn all_searching(workers: usize) -> Self {
        Self {
            word: CachePadded::new(AtomicU64::new(workers as u64 * SEARCHING)),
            sleepers: Mutex::new(Vec::with_capacity(workers)),
        }
    }

    /// So many workers, all of which sleep, as those of a simulation do first.
    pub(super) fn all_sleeping(workers: usize) -> Self {
        Self {
            word: CachePadded::new(AtomicU64::new(workers as u64 * SLEEPING)),
            sleepers: Mutex::new((0..workers).rev().collect()),
        }
    }

    /// There is work; returns a sleeper that is to be woken for it.
    #[inline]
    #[must_use = "the worker counts as searching and is to be woken"]
    pub(super) fn notify(&self) -> Option<usize> {
        // SeqCst: see the head of this file: the work is available before it, who sleeps is read after.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        let word = self.word.load(Ordering::Relaxed);
        if searching(word) > 0 || sleeping(word) == 0 { None } else { self.wake_one() }
    }

    #[cold]
    fn wake_one(&self) -> Option<usize> {
        let mut sleepers = self.sleepers.lock();
        // Another notifier may have been quicker, and its worker will look at this work, too.
        if searching(self.word.load(Ordering::Relaxed)) > 0 {
            return None;
        }
        let worker = sleepers.pop()?;
        self.word.fetch_add(SEARCHING - SLEEPING, Ordering::AcqRel);
        Some(worker)
    }

    /// Wakes all sleepers: `wake` is called with each, under the lock.
    pub(super) fn wake_all(&self, wake: impl FnMut(usize)) {
        let mut sleepers = self.sleepers.lock();
        let count = sleepers.len() as u64;
        self.word.fetch_add(count * SEARCHING - count * SLEEPING, Ordering::AcqRel);
        // The list keeps its memory for those who fall asleep next.
        sleepers.drain(..).for_each(wake);
    }

    /// A busy worker begins to search.
    pub(super) fn search(&self) {
        self.word.fetch_add(SEARCHING, Ordering::AcqRel);
    }

    /// A worker that searched is busy. `has_more` says whether there is work left, for which a sleeper is to be woken
    /// if this was the last who searched.
    #[must_use = "the worker counts as searching and is to be woken"]
    pub(super) fn found(&self, has_more: impl FnOnce() -> bool) -> Option<usize> {
        let before = self.word.fetch_sub(SEARCHING, Ordering::AcqRel);
        if searching(before) > 1 || sleeping(before) == 0 {
            return None;
        }
        self.before_last_look();
        if has_more() { self.wake_one() } else { None }
    }

    /// A worker goes to sleep. False if there is work after all: it searches. True if it is in the list, and must not
    /// go on before it is woken.
    pub(super) fn fall_asleep(&self, worker: usize, is_ready: impl FnOnce() -> bool) -> bool {
        {
            let mut sleepers = self.sleepers.lock();
            sleepers.push(worker);
            // Wraps around nothing: a worker that falls asleep searched.
            self.word.fetch_sub(SEARCHING - SLEEPING, Ordering::AcqRel);
        }
        self.before_last_look();
        !is_ready() || !self.stay_awake(worker)
    }

    /// A worker counts no longer as searching, and looks once more.
    fn before_last_look(&self) {
        // SeqCst: see the head of this file: the word is changed before it, work is looked for after.
        fence(Ordering::SeqCst);
    }

    /// Takes a worker out of the list again; false if somebody has woken it already.
    pub(super) fn stay_awake(&self, worker: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        let Some(place) = sleepers.iter().rposition(|&other| other == worker) else { return false };
        sleepers.swap_remove(place);
        self.word.fetch_add(SEARCHING - SLEEPING, Ordering::AcqRel);
        true
    }

    /// Whether some sleep.
    pub(super) fn has_sleepers(&self) -> bool {
        sleeping(self.word.load(Ordering::Relaxed)) > 0
    }

    /// How many sleep.
    #[cfg(all(test, not(shuttle)))]
    pub(super) fn asleep(&self) -> usize {
        sleeping(self.word.load(Ordering::Relaxed)) as usize
    }

    /// Whether some of `workers` are busy.
    pub(super) fn are_busy(&self, workers: usize) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        searching(word) + sleeping(word) < workers as u64
    }
}
