//! Who is to be woken: gathered under locks, woken when none is held.

use std::task::Waker;

use crate::panics::contain;

/// Who is to be woken when no lock is held: submitters whose wait is over, a worker if one sleeps, and who waits for a
/// lane to be left. The submitters' wakers are the user's code.
#[derive(Debug, Default)]
#[must_use = "those in it wait to be woken"]
pub(crate) struct WakeList {
    wakers: Vec<Waker>,
    /// An item has been queued for which no worker may be looking.
    pub(crate) worker: bool,
    /// A lane is [left](super::Lane::is_left).
    pub(crate) left: bool,
}

impl WakeList {
    /// Takes those who are in another list.
    #[cfg(test)]
    pub(super) fn append(&mut self, other: &mut Self) {
        self.wakers.append(&mut other.wakers);
        self.worker |= std::mem::take(&mut other.worker);
        self.left |= std::mem::take(&mut other.left);
    }

    pub(super) fn add(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }

    /// Wakes the submitters.
    pub(crate) fn wake_submitters(&mut self) {
        for waker in self.wakers.drain(..) {
            contain(|| waker.wake());
        }
    }

    pub(crate) fn has_submitters(&self) -> bool {
        !self.wakers.is_empty()
    }
}
