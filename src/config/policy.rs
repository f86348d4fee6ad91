//! What a flow does when there is too much to do, and when a handler panics.

use std::time::Duration;

/// What a flow does with a message for which there is no room.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OverloadPolicy {
    /// Its submitter waits: the back pressure of a transport that awaits it before it reads on.
    #[default]
    Wait,
    /// It is refused, and its submitter gets it back:
    /// [`RefusalReason::Full`](crate::RefusalReason::Full).
    Refuse,
    /// It is dropped and counted ([`Outcome::DroppedNewest`](crate::Outcome::DroppedNewest)).
    DropNewest,
    /// The oldest queued message of its own peer makes room. If the peer has none and it is the flow that is
    /// full of messages, the flow looks at the next few peers in turn, and the oldest message of the one among them
    /// with the most makes room. It is counted
    /// ([`Outcome::DroppedOldest`](crate::Outcome::DroppedOldest)). If none is queued, the new one is dropped.
    DropOldest,
}

/// Dropping messages from a queue that stands, for flows in which freshness is all: as long as messages
/// of a peer wait for longer than `target`, over a whole `interval` at least, one is dropped from time to
/// time, more often the longer it lasts. A burst that drains within the interval is left alone.
///
/// The algorithm is CoDel's (RFC 8289), applied to each peer's lane. It counts on senders that slow down when
/// messages are lost. Against one that does not, the queue grows all the same: bound it by a
/// [maximum age](crate::FlowConfig::with_max_age).
///
/// ```
/// use std::time::Duration;
/// use gossip_engine::{Codel, FlowConfig, FlowType};
///
/// let fresh = FlowConfig::new(1_000)
///     .with_codel(Some(Codel::new(Duration::from_millis(5), Duration::from_millis(100))));
/// assert!(fresh.validate(FlowType::Advert).is_ok());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Codel {
    pub(crate) target: Duration,
    pub(crate) interval: Duration,
}

impl Codel {
    /// `target` is what a message may wait, above zero; `interval`, at least the target and at most
    /// [`MAX_AGE`](crate::MAX_AGE), is in the order of the time in which the peers react. The RFC
    /// recommends 5 ms and 100 ms for networks.
    #[must_use]
    pub const fn new(target: Duration, interval: Duration) -> Self {
        Self { target, interval }
    }

    /// What a message may wait.
    #[must_use]
    pub const fn target(&self) -> Duration {
        self.target
    }

    /// For how long messages must wait for longer than that before one is dropped.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }
}

/// What a flow does when a handler panics. The panic is contained and counted in any case, and the worker
/// lives on.
///
/// The engine logs at most one panic a second for each flow. The process's panic hook is called for every one, and the
/// one that Rust comes with writes a message to standard error, with `RUST_BACKTRACE` a long one: some microseconds,
/// or a millisecond. Where a peer may find a message that makes a callback panic, set a hook that writes less
/// ([`std::panic::set_hook`]), or a [`Quarantine`](Self::Quarantine).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Nothing more.
    #[default]
    Contain,
    /// A peer on whose messages handlers have panicked so often is put into quarantine.
    Quarantine(Quarantine),
    /// The flow admits nothing more, and [`MessageHandler::failed`](crate::MessageHandler::failed) or
    /// [`Gossip::on_flow_failed`](crate::Gossip::on_flow_failed) is called, once.
    ///
    /// What is queued still runs, and the flow cannot be opened again: whoever is called decides whether the
    /// process ends, or builds another handler.
    FailFast,
}

/// When a peer is put into quarantine in a flow, and for how long: its messages are refused there
/// ([`RefusalReason::Quarantined`](crate::RefusalReason::Quarantined)) until the `term` is over or
/// [`lift_quarantine`](crate::FlowWorker::lift_quarantine) is called. What it has queued still runs.
///
/// A flow knows at most [`MAX_SUSPECTS`](crate::MAX_SUSPECTS) peers by their panics; beyond that it
/// forgets the one whose panic is the longest ago, those in quarantine last.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Quarantine {
    pub(crate) panics: u32,
    pub(crate) window: Duration,
    pub(crate) term: Duration,
}

impl Quarantine {
    /// A term of an hour after so many panics, at least 1, within a window of any length that begins with the
    /// first of them; with a window of zero they must come at the same moment. A quarantine that has begun
    /// goes on if the policy changes.
    #[must_use]
    pub const fn after(panics: u32, window: Duration) -> Self {
        Self { panics, window, term: Duration::from_secs(60 * 60) }
    }

    /// Sets the term: any duration.
    #[must_use]
    pub const fn with_term(mut self, term: Duration) -> Self {
        self.term = term;
        self
    }

    /// How many panics lead to it.
    #[must_use]
    pub const fn panics(&self) -> u32 {
        self.panics
    }

    /// Within how long.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How long it lasts.
    #[must_use]
    pub const fn term(&self) -> Duration {
        self.term
    }
}
