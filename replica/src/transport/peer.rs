//! The life of one peer: one task that serves its connections one after the other.
//!
//! ```text
//! away ── time to dial ──> connecting ── served ──> connected ── ended ──> away
//!  ├── the peer dials us ──────┴───────────────────────^
//!  └── shut out (both ways) until the penalty ends
//! ```
//!
//! Both ends dial, so that a peer that cannot be dialled is met because it dials. Because one task serves all
//! connections of a peer, the departure of an old connection always comes before the arrival of the next. A peer has
//! at most two connections at a time: one that is served or dialled, and one of its own that waits.
//!
//! **One connection.** An end closes its own dial before it serves another connection of the peer. So a connection
//! that the peer has made and leaves open for longer than [`CROSSING_WAIT`] is the one that the peer wants: it
//! replaces one that we dialled and that the peer has forgotten. One that the peer dialled itself is replaced by the
//! next at once.
//!
//! **Dials that cross.** That of the smaller id is kept:
//!
//! | we are  | the peer's connection comes while we dial                                                  |
//! |---------|--------------------------------------------------------------------------------------------|
//! | smaller | it waits while our dial is fresh or has met the peer, and is served if that leads nowhere  |
//! | larger  | it is served after [`CROSSING_WAIT`], unless the peer serves ours or closes its own before |
//!
//! The wait of the larger id is for this: the smaller one may have served the other connection a moment ago, and then
//! both would close what the other keeps. The larger hears of it within the wait, since the smaller has decided before
//! its own dial was proven.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use quinn::{Connection, RecvStream};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    backoff::Backoff,
    breach::CLOSE_SHUT_OUT,
    connection::{Outcome, PeerContext},
    handler::Handler,
    limits::{CONNECTION_SPACING, CROSSING_WAIT, FRESH_DIAL, HEAD_START},
    slot::PeerSlot,
    status::PeerState,
};

/// A connection to be served.
struct Proven {
    connection: Connection,
    /// The peer's first stream, if we dialled.
    first: Option<RecvStream>,
}

impl Proven {
    fn dialled((connection, first): (Connection, RecvStream)) -> Self {
        Self { connection, first: Some(first) }
    }
}

impl<H: Handler> PeerContext<H> {
    /// Keeps a connection with the peer until the transport stops or the peer is listed no longer.
    pub(super) async fn keep(mut self) {
        // What it was may be left from before a panic.
        self.slot.status.set(PeerState::Away);
        let mut backoff = Backoff::new();
        loop {
            let (stop, removed) = (self.stop.clone(), self.slot.removed.clone());
            let proven = tokio::select! {
                biased;
                () = stop.wait() => return,
                () = removed.wait() => return,
                proven = self.next_connection(&mut backoff) => proven,
            };
            let dialled = proven.first.is_some();
            let slot = self.slot.clone();
            let replaced = async {
                if dialled { superseded(&slot).await } else { slot.handover.filled().await }
            };
            let moved =
                async { if dialled { slot.moved.notified().await } else { pending().await } };
            let remote = proven.connection.remote_address();
            match self.serve(proven.connection, proven.first, replaced, moved).await {
                Outcome::Breach(_) => self.slot.penalty().impose(Instant::now()),
                Outcome::Lost { steady: true, .. } => backoff.reset(),
                Outcome::Moved => {
                    backoff.reset();
                    self.slot.moved.notify_one();
                }
                Outcome::Replaced => {
                    if let Some(new) = self.slot.handover.remote() {
                        self.notices.replaced(remote, new);
                    }
                }
                Outcome::Lost { .. }
                | Outcome::Stopped
                | Outcome::Removed
                | Outcome::Full
                | Outcome::Failed => {}
            }
            tokio::select! {
                () = stop.wait() => return,
                () = removed.wait() => return,
                () = sleep(CONNECTION_SPACING) => {}
            }
        }
    }

    /// The next connection with the peer, dialled by either end.
    ///
    /// # Cancel safety
    ///
    /// A dial that is under way is closed.
    async fn next_connection(&mut self, backoff: &mut Backoff) -> Proven {
        let smaller = self.dialler.credentials.node_id() < self.slot.peer;
        let slot = self.slot.clone();
        let mut head_start = if smaller { Duration::ZERO } else { HEAD_START };
        loop {
            let penalty = slot.penalty().left(Instant::now());
            slot.status.set(if penalty.is_zero() { PeerState::Away } else { PeerState::ShutOut });
            let due = Instant::now() + penalty.max(backoff.next() + head_start);
            if let Some(connection) = self.wait_until(due).await {
                return Proven { connection, first: None };
            }
            slot.status.set(PeerState::Connecting);
            match self.dial_once(smaller).await {
                Ok(proven) => return proven,
                Err(reason) => {
                    self.counters.failed_dials.increment();
                    self.notices.unreachable(&reason);
                    slot.status.failed(reason);
                }
            }
            // The peer is not there, so nothing crosses until it comes; then it has its own head start.
            head_start = Duration::ZERO;
        }
    }

    /// Waits for the time to dial, which is at once if the peer has moved. Meanwhile the peer may come by itself.
    async fn wait_until(&mut self, due: Instant) -> Option<Connection> {
        let slot = self.slot.clone();
        let shut_out = || !slot.penalty().left(Instant::now()).is_zero();
        loop {
            tokio::select! {
                biased;
                connection = slot.handover.take() => {
                    if shut_out() {
                        self.counters.shut_out.increment();
                        connection.close(CLOSE_SHUT_OUT, b"shut out for a while");
                    } else if connection.close_reason().is_none() {
                        return Some(connection);
                    }
                }
                () = slot.moved.notified(), if !shut_out() => return None,
                () = sleep_until(due) => return None,
            }
        }
    }

    /// Dials, and decides between the dial and a connection that the peer makes meanwhile.
    async fn dial_once(&mut self, smaller: bool) -> Result<Proven, String> {
        let (slot, dialler, began) = (self.slot.clone(), self.dialler.clone(), Instant::now());
        let (address, met) = (slot.address(), AtomicBool::new(false));
        let dial = dialler.dial(slot.peer, &address, &met);
        tokio::pin!(dial);
        loop {
            // The newest that the peer has made stays in its place until we decide for it.
            let crossing = async {
                slot.handover.filled().await;
                let newest = slot.handover.newest();
                let a_while = Instant::now() + CROSSING_WAIT;
                // Relaxed: the dial is polled by this task.
                let until = match (smaller, met.load(Relaxed)) {
                    (true, false) => began + FRESH_DIAL,
                    (true, true) | (false, _) => a_while,
                };
                tokio::select! {
                    () = closed(newest) => false,
                    () = sleep_until(until) => true,
                }
            };
            tokio::select! {
                dialled = &mut dial => return dialled.map(Proven::dialled),
                wanted = crossing => {
                    slot.handover.drop_closed();
                    // Relaxed: see above. Our dial has met the peer, which serves it soon, or ends it, or lets its
                    // time-out pass.
                    if smaller && met.load(Relaxed) {
                        continue;
                    }
                    if wanted && let Some(connection) = slot.handover.try_take() {
                        // Returning closes the dial.
                        return Ok(Proven { connection, first: None });
                    }
                }
                () = slot.moved.notified() => {
                    // Kept for the wait that follows, which ends at once.
                    slot.moved.notify_one();
                    return Err(format!("{address} is left: the peer has moved"));
                }
            }
        }
    }
}

/// Waits until the peer has made a connection in place of one that we dialled, and means it.
async fn superseded(slot: &Arc<PeerSlot>) {
    loop {
        slot.handover.filled().await;
        tokio::select! {
            () = closed(slot.handover.newest()) => slot.handover.drop_closed(),
            () = sleep(CROSSING_WAIT) => return,
        }
    }
}

async fn closed(connection: Option<Connection>) {
    if let Some(connection) = connection {
        connection.closed().await;
    }
}
