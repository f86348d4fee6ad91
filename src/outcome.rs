//! What can become of a message: the names under which everything is counted and logged.

use strum::{EnumCount, EnumIter, IntoStaticStr};

use crate::RefusalReason;

/// What became of a message. Each message has exactly one outcome, and each outcome has a counter.
///
/// The static string of an outcome (`handled`, `dropped_oldest`, …) is its name in logs and metric labels.
///
/// ```
/// use gossip_engine::{Outcome, RefusalReason};
///
/// let label: &'static str = Outcome::DroppedOldest.into();
/// assert_eq!(label, "dropped_oldest");
/// assert_eq!(Outcome::from(RefusalReason::Closed), Outcome::Closed);
/// assert!(Outcome::Expired.was_admitted() && !Outcome::Closed.was_admitted());
/// ```
#[derive(
    Clone,
    Copy,
    Debug,
    strum::Display,
    EnumCount,
    EnumIter,
    Eq,
    Hash,
    IntoStaticStr,
    Ord,
    PartialEq,
    PartialOrd,
)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Admitted, and its handler returned.
    Handled,
    /// Admitted, and its handler panicked.
    Panicked,
    /// Admitted, and not started because it was older than the flow's
    /// [maximum age](crate::FlowConfig::with_max_age) by then.
    Expired,
    /// Admitted, and not started because its peer has gone.
    Cancelled,
    /// Admitted, and not started because it was dropped for a newer one:
    /// [`OverloadPolicy::DropOldest`](crate::OverloadPolicy::DropOldest).
    DroppedOldest,
    /// Admitted, and not started because a newer message of its peer has taken its place:
    /// [`OverloadPolicy::KeepLatest`](crate::OverloadPolicy::KeepLatest). It is not
    /// [dropped](Self::was_dropped): the newer one says all that it said, so there is nothing to ask for again.
    Superseded,
    /// Admitted, and not started because the flow was shut down.
    DroppedAtShutdown,
    /// A permit for a message that never came. A [`PeerService`](crate::PeerService) was dropped when it was ready, it
    /// did not ask for its permit in time, its peer has gone, or the flow was closed.
    PermitReleased,
    /// Not admitted, because there was no capacity:
    /// [`OverloadPolicy::DropNewest`](crate::OverloadPolicy::DropNewest), or nothing older was left to
    /// drop.
    DroppedNewest,
    /// Not admitted: its submitter stopped waiting.
    WaitCancelled,
    /// Refused: [`RefusalReason::Closed`].
    Closed,
    /// Refused: [`RefusalReason::Disconnected`].
    Disconnected,
    /// Refused: [`RefusalReason::Full`].
    Full,
    /// Refused: [`RefusalReason::TooManyWaiters`].
    TooManyWaiters,
    /// Refused: [`RefusalReason::TooManyPeers`].
    TooManyPeers,
}

impl Outcome {
    /// Whether a message with this outcome had been admitted, or its permit granted.
    #[must_use]
    pub const fn was_admitted(self) -> bool {
        use Outcome::{
            Cancelled, DroppedAtShutdown, DroppedOldest, Expired, Handled, Panicked,
            PermitReleased, Superseded,
        };
        matches!(
            self,
            Handled
                | Panicked
                | Expired
                | Cancelled
                | DroppedOldest
                | Superseded
                | DroppedAtShutdown
                | PermitReleased
        )
    }

    /// Whether the message's submitter got an error.
    #[must_use]
    pub const fn was_refused(self) -> bool {
        use Outcome::{Closed, Disconnected, Full, TooManyPeers, TooManyWaiters};
        matches!(self, Closed | Disconnected | Full | TooManyWaiters | TooManyPeers)
    }

    /// Whether the engine has dropped the message because there was too much to do, so that its peer
    /// may be asked for it again. What was [superseded](Self::Superseded) need not be asked for.
    #[must_use]
    pub const fn was_dropped(self) -> bool {
        matches!(self, Self::Expired | Self::DroppedOldest | Self::DroppedNewest)
    }
}

impl From<RefusalReason> for Outcome {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::Closed => Self::Closed,
            RefusalReason::Disconnected => Self::Disconnected,
            RefusalReason::Full => Self::Full,
            RefusalReason::TooManyWaiters => Self::TooManyWaiters,
            RefusalReason::TooManyPeers => Self::TooManyPeers,
        }
    }
}

/// What a flow has done with a message that it has not refused.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Submitted {
    /// It is admitted. It will have one of the outcomes of [admitted](Outcome::was_admitted) messages.
    Admitted,
    /// The flow's [`OverloadPolicy`](crate::OverloadPolicy) has dropped it, and it is counted as this outcome:
    /// [`Outcome::DroppedNewest`]. Its handler will not run.
    Dropped(Outcome),
}
