//! What a flow does when there is too much to do, and when a handler panics.

use std::time::Duration;

/// What a flow does with a message for which there is no capacity.
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
    /// The oldest queued message of its own peer is dropped for it, and counted
    /// ([`Outcome::DroppedOldest`](crate::Outcome::DroppedOldest)). If the peer has none, the new one is dropped.
    DropOldest,
}

/// What a flow does when a handler panics. The panic is contained and counted in any case, and the worker
/// lives on.
///
/// The engine logs at most one panic a second for each flow. The process's panic hook is called for every one, and the
/// one that Rust comes with writes a message to standard error, with `RUST_BACKTRACE` a long one: some microseconds,
/// or a millisecond. Where a peer may find a message that makes a callback panic, set a hook that writes less
/// ([`std::panic::set_hook`]), or give the handler a [`Quarantine`](crate::ChannelConfig::with_quarantine).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Nothing more.
    #[default]
    Contain,
    /// The flow admits nothing more, and [`MessageHandler::failed`](crate::MessageHandler::failed) or
    /// [`Gossip::on_flow_failed`](crate::Gossip::on_flow_failed) is called, once.
    ///
    /// What is queued still runs, and the flow cannot be opened again: whoever is called decides whether the
    /// process ends, or builds another handler.
    FailFast,
}

/// When a peer is put into quarantine by an event handler, and for how long: its messages are refused before they are
/// decoded ([`EventError::Quarantined`](crate::EventError::Quarantined)) until the `term` is over or
/// [`lift_quarantine`](crate::AsyncTransportEventHandlerImpl::lift_quarantine) is called. What it has queued still
/// runs.
///
/// A handler knows at most [`MAX_PANIC_TABLE`](crate::MAX_PANIC_TABLE) peers by the panics of their callbacks; beyond
/// that it forgets the one whose panic is the longest ago, those in quarantine last.
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
