//! A bound in bytes, which may be none.
//!
//! While there is none, nothing is counted: a message costs one look at the limit. A message that was
//! charged when it entered is taken off when it leaves, whatever the limit is by then, so a bound may
//! come and go while messages flow.

use super::{Attempt, Permits};
use crate::sync::{AtomicU64, Ordering};

/// More than ever are in flight.
const UNLIMITED: u64 = 1 << 42;

/// A bound in bytes; see the head of this room.
#[derive(Debug)]
pub(crate) struct ByteBound {
    permits: Permits,
    left: AtomicU64,
}

impl ByteBound {
    /// `limit` is 1 to 2^40 bytes.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { permits: Permits::new(limit.unwrap_or(UNLIMITED)), left: AtomicU64::new(0) }
    }

    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        self.permits.set_limit(limit.unwrap_or(UNLIMITED));
    }

    /// Whether there is a limit, so that messages are to be charged.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.permits.limit() != UNLIMITED
    }

    fn left(&self) -> u64 {
        // Acquire: as in every bound, who sees bytes left sees what was done before.
        self.left.load(Ordering::Acquire)
    }

    /// Charges so many bytes if the limit has not been reached.
    pub(crate) fn enter(&self, bytes: u32) -> bool {
        self.permits.enter_with(u64::from(bytes), || self.left()) == Attempt::Entered
    }

    /// Charges so many bytes.
    pub(crate) fn force(&self, bytes: u32) {
        self.permits.force(u64::from(bytes));
    }

    /// Takes back what was charged to a message that was not admitted.
    pub(crate) fn retreat(&self, bytes: u32) {
        self.permits.retreat_with(u64::from(bytes));
    }

    /// A message that was charged this is gone. The caller fences and looks for those who wait.
    pub(crate) fn leave(&self, bytes: u32) {
        // Release: pairs with the load in `left`.
        self.left.fetch_add(u64::from(bytes), Ordering::Release);
    }

    /// Whether the limit has not been reached.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_set() || self.permits.has_room(|| self.left())
    }

    /// Bytes charged and not gone.
    pub(crate) fn in_flight(&self) -> usize {
        self.permits.in_flight(|| self.left())
    }

    /// The limit, if there is one.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.is_set().then(|| self.permits.limit())
    }
}
