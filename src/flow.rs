//! The five flows.
//!
//! A flow is a class of messages with a bound, a pool of threads and counters of its own, so that a
//! burst of one class never delays another.

use strum::{Display, EnumCount, EnumIter, IntoStaticStr};

/// The class of a message; each class has a bound, a pool and counters of its own.
///
/// The static string of a flow (`Advert`, `Request`, …) is its name in thread names, logs and
/// metric labels.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    EnumCount,
    EnumIter,
    Eq,
    Hash,
    IntoStaticStr,
    Ord,
    PartialEq,
    PartialOrd,
)]
pub enum FlowType {
    /// Announcements of artifacts: small, many.
    Advert,
    /// Requests for a chunk of an artifact: small, each makes us send a large answer.
    Request,
    /// Chunks of artifacts: large.
    Chunk,
    /// Requests to be sent again the adverts that a filter lets through.
    Retransmission,
    /// Peers that come and go, in their order.
    Transport,
}

impl FlowType {
    /// All flows, in the order of their declaration.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Advert, Self::Request, Self::Chunk, Self::Retransmission, Self::Transport];

    /// The name of the flow, as in thread names, logs and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
