//! What a flow does when there is too much to do, and when a handler panics.

use std::time::Duration;

/// What a flow does with a message for which there is no capacity.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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
    /// The oldest queued message of its own peer is dropped for it, and counted
    /// ([`Outcome::DroppedOldest`](crate::Outcome::DroppedOldest)). If another submitter is quicker to take the place,
    /// the next is dropped, up to five. If the peer has none, or that was in vain, the new one is dropped.
    DropOldest,
    /// It takes the place of the oldest queued message of its own peer that it
    /// [supersedes](crate::MessageHandler::supersedes): adverts, votes, heights, of which the last says all. That one,
    /// and others of that peer that it supersedes, are counted as [`Outcome::Superseded`](crate::Outcome::Superseded).
    /// The new one runs when the oldest of them would have run. So it may pass messages that it does not supersede, and
    /// a key whose messages come fast still gets its turn.
    ///
    /// If it supersedes none it waits, as with [`Wait`](Self::Wait): this policy takes out only what a later message
    /// says as well. A peer's 1 024 oldest queued messages are compared. Those that wait, and a run of up to 32 that a
    /// worker has taken up, are not. While another thread compares a message of the same peer, nothing is compared.
    ///
    /// A newer message may pass an older one of its key that waits, which then runs after it. That happens only to a
    /// submitter that has several calls pending for one peer. A handler that cannot bear it looks which is newer.
    ///
    /// While there is capacity nothing is compared either, and messages that supersede each other gather. So give such
    /// a flow a small [quota](crate::FlowConfig::with_peer_quota), a few more than a peer has keys, and a
    /// [quantum](crate::FlowConfig::with_quantum) of a few messages.
    KeepLatest,
}

/// What a flow does with what a peer has queued when it departs.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Departure {
    /// It is cancelled: it does not start, and is counted as [`Outcome::Cancelled`](crate::Outcome::Cancelled). A
    /// departed peer takes no more of the flow's time.
    #[default]
    Cancel,
    /// It runs before `on_peer_down` is called: every message that was answered as admitted is handled, or comes to
    /// another outcome of its own. These are at most as many as the peer's
    /// [quota](crate::FlowConfig::with_peer_quota).
    ///
    /// `on_peer_down` comes when the last of them has finished in all such flows, however long that takes. Until then
    /// the peer cannot connect anew: that is refused as
    /// [`TooManyWaiters`](crate::RefusalReason::TooManyWaiters). Submitters that wait are refused at once.
    Drain,
}

/// What a flow does when a handler panics. With each policy the panic is contained and counted, and the worker goes on.
///
/// The engine logs at most one panic a second for each flow. The process's panic hook is called for every panic. Rust's
/// own hook writes to standard error, which takes some microseconds, or a millisecond with `RUST_BACKTRACE`. Where a
/// peer may find a message that makes a callback panic, set a hook that writes less ([`std::panic::set_hook`]), or give
/// the handler a [`Quarantine`](crate::ChannelConfig::with_quarantine).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Nothing more.
    #[default]
    Contain,
    /// The flow admits nothing more, and [`MessageHandler::failed`](crate::MessageHandler::failed) or
    /// [`Gossip::on_flow_failed`](crate::Gossip::on_flow_failed) is called, once.
    ///
    /// What is queued still runs, and the flow cannot be opened again. The method that is called decides whether to end
    /// the process or to build another handler.
    FailFast,
}

/// When an event handler puts a peer into quarantine, and for how long.
///
/// The handler refuses the peer's messages before it decodes them
/// ([`EventError::Quarantined`](crate::EventError::Quarantined)). The quarantine ends when the `term` is over or
/// [`lift_quarantine`](crate::AsyncTransportEventHandlerImpl::lift_quarantine) is called. What the peer has queued
/// still runs.
///
/// A handler remembers the panics of at most [`MAX_PANIC_TABLE`](crate::MAX_PANIC_TABLE) peers. Beyond that it forgets
/// the peer whose panic is the longest ago. It forgets peers in quarantine last.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "super::forms::QuarantineForm", into = "super::forms::QuarantineForm")
)]
pub struct Quarantine {
    pub(crate) panics: u32,
    pub(crate) window: Duration,
    pub(crate) term: Duration,
}

impl Quarantine {
    /// A quarantine of an hour after `panics` panics, 1 or more, within `window`. The window may have any length and
    /// begins with the first panic; with a window of zero the panics must come at the same moment. A quarantine that
    /// has begun goes on if the policy changes.
    #[must_use]
    pub const fn after(panics: u32, window: Duration) -> Self {
        Self { panics, window, term: Duration::from_secs(60 * 60) }
    }

    /// Sets the term: any duration; an hour by default. Raise it where each panic costs much, lower it where honest
    /// peers may provoke one.
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
