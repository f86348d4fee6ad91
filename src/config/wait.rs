//! What a flow's workers do when there is nothing to run.

use std::time::Duration;

use super::DEFAULT_SPIN_WINDOW;

/// What a flow's worker does when there is nothing to run. It keeps its thread whatever it does, and an idle flow
/// allocates nothing when the next message wakes it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "super::forms::WaitForm", into = "super::forms::WaitForm")
)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// It looks for the next message before it sleeps, for at most this long: zero to
    /// [`MAX_SPIN_WINDOW`](crate::FlowConfig::MAX_SPIN_WINDOW). It learns for how long that pays. It yields to other
    /// threads meanwhile. This is the default.
    ///
    /// A flow begins with the longest time, and all of its threads share what it learns. When a message finds the
    /// workers asleep, the flow looks how long ago the last of them had begun to look. If that is within the longest
    /// time, a longer look would have found the message: the flow doubles the time, to 10 µs at the least. Otherwise it
    /// halves the time, and sets it to zero below 10 µs. By this rule Linux's KVM polls for processors with
    /// nothing to do.
    ///
    /// A yield that comes back late says that other programs want the core. The flow then does not look for 4 ms, and
    /// for twice as long each time that this happens again soon, up to a second.
    Adaptive(Duration),
    /// It sleeps at once: the least processor time, and a wake-up for each message that finds the workers asleep. For
    /// machines whose cores are few or shared.
    Park,
    /// It never sleeps: for flows whose threads have cores of their own. It uses all of the core's time.
    Spin,
}

impl Default for WaitStrategy {
    /// Adaptive, 200 µs at the most.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl WaitStrategy {
    pub(super) const DEFAULT: Self = Self::Adaptive(DEFAULT_SPIN_WINDOW);
}
