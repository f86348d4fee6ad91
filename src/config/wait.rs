//! What a flow's workers do when there is nothing to run.

use std::time::Duration;

use super::DEFAULT_SPIN_WINDOW;

/// What a flow's worker does when there is nothing to run. It keeps its thread whatever it does, and an idle flow
/// allocates nothing when the next message wakes it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// It looks for the next message, for this long at the most, before it sleeps, and learns for how long that pays:
    /// zero to [`MAX_SPIN_WINDOW`](crate::MAX_SPIN_WINDOW). It yields to other threads of the system meanwhile.
    ///
    /// A flow begins with the longest time, and all of its threads share what it learns. When a message finds the
    /// workers asleep, the flow looks how long ago the last of them had begun to look. If that is within the longest,
    /// looking longer would have found the message, and the time is doubled, to 10 µs at the least. Otherwise it is
    /// halved, and is zero when it would be below 10 µs. It is the rule by which Linux's KVM polls for processors with
    /// nothing to do. Where other programs want the core, which a late yield tells, it does not look at all for 20 ms.
    Adaptive(Duration),
    /// It sleeps at once: the least processor time, and a wake-up for each message that finds the workers asleep. For
    /// machines whose cores are few or shared.
    Park,
    /// It never sleeps: for flows whose threads have cores of their own. It uses all of the core's time.
    Spin,
}

impl Default for WaitStrategy {
    /// Adaptive, [`DEFAULT_SPIN_WINDOW`](crate::DEFAULT_SPIN_WINDOW) at the most.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl WaitStrategy {
    pub(super) const DEFAULT: Self = Self::Adaptive(DEFAULT_SPIN_WINDOW);
}
