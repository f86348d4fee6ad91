//! What a flow's workers do when there is nothing to run.

use std::time::Duration;

use super::DEFAULT_LINGER;

/// What a flow's worker does when there is nothing to run.
///
/// Whichever it is, except [`Spin`](Self::Spin), a worker that has run many brief messages in a row lets some more come
/// together before it looks again, for 5 µs at the most. How many: the least of 32, a fourth of a peer's quota, and a
/// fourth of the flow's bound divided by its threads; where that is less than 8, and in flows that are bounded in
/// bytes, none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// It gives its thread back to the pool at once. The next message costs an allocation and wakes
    /// a thread.
    GiveBack,
    /// It looks for the next message for so long before it gives its thread back: zero to
    /// [`MAX_LINGER`](crate::MAX_LINGER). It yields to other threads of the system meanwhile; it helps no handler that
    /// uses rayon until it has given its thread back.
    Linger(Duration),
    /// It lingers, for this long at the most, and learns for how long that pays: zero to
    /// [`MAX_LINGER`](crate::MAX_LINGER); with zero it gives its thread back at once. It yields, and helps no
    /// handler, as with [`Linger`](Self::Linger).
    ///
    /// A flow begins with the longest time, and all of its threads share what it learns. When a message finds the
    /// workers gone, the flow looks how long ago the last of them had begun to linger. If that is within the
    /// longest, lingering longer would have found the message, and the time is doubled, to 10 µs at the least.
    /// Otherwise it is halved, and is zero when it would be below 10 µs. It is the rule by which Linux's KVM polls for processors
    /// with nothing to do.
    Adaptive(Duration),
    /// It sleeps until there is a message, and keeps its thread. The next message wakes the thread and
    /// allocates nothing, and an idle flow uses no processor time at all; but a thread that sleeps does
    /// not help handlers that use rayon.
    Park,
    /// From its first message on it never gives its thread back: for flows whose threads have cores of their own. It looks for
    /// handlers that use rayon every 100 µs and helps them, and uses all of the core's time. It lets no messages come together: none waits for a worker that has nothing to run.
    Spin,
}

impl Default for WaitStrategy {
    /// Adaptive, [`DEFAULT_LINGER`] at the most.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl WaitStrategy {
    pub(super) const DEFAULT: Self = Self::Adaptive(DEFAULT_LINGER);
}
