//! One connection, from the proof of its key to its peer's departure.
//!
//! ```text
//! queues hung up, writers started -> peer arrives -> readers -> closed, tasks ended -> peer departs
//!                                      └─ ends while the arrival waits: not arrived ─^
//! ```
//!
//! The arrival comes before the first frame is read, and the departure after the last reader has ended, so a handler
//! sees the frames of a connection between the two. An arrival that waits for the handler is given up when the
//! connection ends, the peer is listed no longer, or the transport stops. At most
//! [`MAX_STREAMS`](super::limits::MAX_STREAMS) readers, four writers and a hello run at a time. Ending loses what is
//! queued, counted, and what has arrived and was not yet handed over, as a broken network would.

use std::{fmt, future::Future, sync::Arc};

use gossip_engine::FlowType;
use quinn::{Connection, ConnectionError, RecvStream, TransportErrorCode};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{
    address::canonical,
    breach::{
        Breach, CLOSE_BREACH, CLOSE_FAILED, CLOSE_FULL, CLOSE_REPLACED, CLOSE_SHUTDOWN,
        CLOSE_UNLISTED,
    },
    counters::Counters,
    departure::Departure,
    dial::Dialler,
    handler::{Handler, Refusal},
    hello::{is_oldest, say_hello},
    limits::STEADY_AFTER,
    notices::Notices,
    outbound::{self, Backlog},
    reader::{Fault, Inbound, Seen},
    slot::PeerSlot,
    status::PeerState,
    stop::Stop,
    supervisor::say_surely,
    writer::write_flow,
};

/// What all connections of one peer share.
#[derive(Debug)]
pub(super) struct PeerContext<H> {
    pub(super) slot: Arc<PeerSlot>,
    pub(super) dialler: Dialler,
    pub(super) notices: Notices,
    pub(super) counters: Arc<Counters>,
    pub(super) handler: H,
    pub(super) stop: Stop,
}

/// How a connection has ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The peer has broken the protocol and is cut off.
    Breach(Breach),
    /// A newer connection of the peer waits.
    Replaced,
    /// The transport stops, or the handler takes no more events.
    Stopped,
    /// The peer is listed no longer.
    Removed,
    /// The peer is to be dialled somewhere else.
    Moved,
    /// The handler has no capacity for the peer.
    Full,
    /// A task of the connection has panicked.
    Failed,
    /// The peer has closed it or is silent. Whether it had lasted a while.
    Lost { steady: bool, how: Departure },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breach(breach) => write!(f, "it has broken the protocol: {breach}"),
            Self::Replaced => f.write_str("it has made a newer connection"),
            Self::Stopped => f.write_str("this replica stops"),
            Self::Removed => f.write_str("it is listed no longer"),
            Self::Moved => f.write_str("it has another address"),
            Self::Full => f.write_str("this replica has no capacity for it"),
            Self::Failed => f.write_str("this replica has failed within, on its connection"),
            Self::Lost { how, .. } => how.fmt(f),
        }
    }
}

/// Closes a connection if the task that serves it panics. Its status has the connection as well, which would stay open
/// until the task is started again, and the peer would talk to nobody.
struct ClosedByPanic(Connection);

impl Drop for ClosedByPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close(CLOSE_FAILED, b"failed within");
        }
    }
}

/// A peer that has arrived. It departs when this is dropped, also by a panic or an abort.
struct Arrived<H: Handler> {
    guard: Option<H::Connection>,
    counters: Arc<Counters>,
}

impl<H: Handler> Arrived<H> {
    fn new(guard: H::Connection, counters: &Arc<Counters>) -> Self {
        counters.connections.increment();
        Self { guard: Some(guard), counters: counters.clone() }
    }

    /// Waits until the handler has heard of it, so that the peer's next connection comes after it.
    async fn depart(mut self) {
        if let Some(guard) = self.guard.take() {
            H::close(guard).await;
        }
    }
}

impl<H: Handler> Drop for Arrived<H> {
    fn drop(&mut self) {
        self.counters.disconnections.increment();
    }
}

impl<H: Handler> PeerContext<H> {
    /// Serves a connection to its end, which is also when `replaced` or `moved` is done. `first` is a
    /// stream of the peer's that has been accepted already; there is one if we dialled.
    pub(super) async fn serve(
        &mut self,
        connection: Connection,
        first: Option<RecvStream>,
        replaced: impl Future<Output = ()>,
        moved: impl Future<Output = ()>,
    ) -> Outcome {
        let (since, dialled) = (Instant::now(), first.is_some());
        let _closed = ClosedByPanic(connection.clone());
        // Before the tasks, so that a panic ends them first.
        let arrived;
        let mut tasks = JoinSet::new();
        let (senders, receivers) = outbound::queues(&self.counters);
        for queue in receivers {
            tasks.spawn(write_flow(connection.clone(), queue));
        }
        tasks.spawn(say_hello(connection.clone()));
        let answers = senders.backlog(FlowType::Chunk);
        let connected = self.slot.link.connect(senders);
        let end = match self.arrive(&connection).await {
            Ok(guard) => {
                arrived = Some(Arrived::<H>::new(guard, &self.counters));
                self.counters.older_connections.add(is_oldest(&connection).into());
                self.slot.status.connected(&connection, &self.dialler.settings);
                self.notices.up(canonical(connection.remote_address()), dialled);
                self.run(&connection, first, answers, &mut tasks, replaced, moved).await
            }
            Err(end) => {
                arrived = None;
                end
            }
        };
        self.close(&connection, &end);
        // Waits until they have ended: no frame is handed over after this.
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                self.count_panic(&error);
            }
        }
        drop(connected);
        self.slot.status.set(PeerState::Away);
        self.slot.status.failed(end.to_string());
        if let Some(arrived) = arrived {
            arrived.depart().await;
            self.log_end(&end, since.elapsed() >= STEADY_AFTER);
        }
        end
    }

    /// Waits until the handler has taken the peer's arrival, or the connection is of no use any more.
    async fn arrive(&mut self, connection: &Connection) -> Result<H::Connection, Outcome> {
        tokio::select! {
            biased;
            () = self.stop.wait() => Err(Outcome::Stopped),
            () = self.slot.removed.wait() => Err(Outcome::Removed),
            error = connection.closed() => Err(ended(&error, false)),
            arrived = self.handler.connect(self.slot.peer) => {
                arrived.map_err(|error| match error.into() {
                    Refusal::Closed => Outcome::Stopped,
                    _ => Outcome::Full,
                })
            }
        }
    }

    async fn run(
        // Not shared, so that the handler need not be `Sync`.
        &mut self,
        connection: &Connection,
        first: Option<RecvStream>,
        answers: Arc<Backlog>,
        tasks: &mut JoinSet<Result<(), Fault>>,
        replaced: impl Future<Output = ()>,
        moved: impl Future<Output = ()>,
    ) -> Outcome {
        let since = Instant::now();
        let inbound = Inbound {
            peer: self.slot.peer,
            handler: self.handler.clone(),
            counters: self.counters.clone(),
            seen: Seen::default(),
            answers,
        };
        if let Some(stream) = first {
            tasks.spawn(inbound.clone().read_stream(stream));
        }
        tokio::pin!(replaced, moved);
        let (stopped, removed) = (self.stop.wait(), self.slot.removed.wait());
        tokio::pin!(stopped, removed);
        loop {
            tokio::select! {
                // What a stream has found wrong says more than how the connection ended after it.
                biased;
                Some(ended) = tasks.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(Fault::Breach(breach))) => return Outcome::Breach(breach),
                    Ok(Err(Fault::HandlerClosed)) => return Outcome::Stopped,
                    Err(error) => {
                        self.count_panic(&error);
                        return Outcome::Failed;
                    }
                },
                () = &mut stopped => return Outcome::Stopped,
                () = &mut removed => return Outcome::Removed,
                () = &mut moved => return Outcome::Moved,
                () = &mut replaced => return Outcome::Replaced,
                stream = connection.accept_uni() => match stream {
                    Ok(stream) => { tasks.spawn(inbound.clone().read_stream(stream)); }
                    Err(error) => return ended(&error, since.elapsed() >= STEADY_AFTER),
                },
            }
        }
    }

    /// Counts a stream's task that has panicked; one that was aborted has not.
    fn count_panic(&self, error: &JoinError) {
        if error.is_panic() {
            self.counters.failed_tasks.increment();
            let peer = self.slot.peer;
            // Not the panic's text, which may quote what the peer sent.
            say_surely(
                || tracing::error!(%peer, "a stream's task has panicked; its connection ends"),
            );
        }
    }

    fn close(&self, connection: &Connection, end: &Outcome) {
        let counters = &self.counters;
        match end {
            Outcome::Breach(breach) => {
                counters.cut_offs.increment();
                tracing::warn!(peer = %self.slot.peer, reason = %breach, "cut off a peer that broke the protocol");
                connection.close(CLOSE_BREACH, breach.to_string().as_bytes());
            }
            Outcome::Replaced => {
                counters.replaced.increment();
                connection.close(CLOSE_REPLACED, b"replaced");
            }
            Outcome::Stopped => {
                // The handler may have been the first to know.
                self.stop.set();
                connection.close(CLOSE_SHUTDOWN, b"shut down");
            }
            Outcome::Removed => connection.close(CLOSE_UNLISTED, b"not listed any more"),
            Outcome::Moved => connection.close(CLOSE_REPLACED, b"dialled elsewhere"),
            Outcome::Full => connection.close(CLOSE_FULL, b"no capacity"),
            Outcome::Failed => connection.close(CLOSE_FAILED, b"failed within"),
            Outcome::Lost { .. } => {}
        }
    }

    /// Says in the log why a connection has ended. What we have ended is no flapping.
    fn log_end(&mut self, end: &Outcome, steady: bool) {
        if *end == Outcome::Stopped {
            // One line for the end of the transport is enough, and others say it.
            return;
        }
        let ours = matches!(end, Outcome::Breach(_) | Outcome::Removed | Outcome::Moved);
        self.notices.down(end, steady || ours);
        if let Outcome::Lost { how: Departure::Replaced, .. } = end {
            self.notices.thrown_out();
        }
    }
}

fn ended(error: &ConnectionError, steady: bool) -> Outcome {
    match error {
        // The internal error is quinn's word for an endpoint that is gone, which is our own doing.
        ConnectionError::TransportError(error)
            if error.code != TransportErrorCode::INTERNAL_ERROR =>
        {
            Outcome::Breach(Breach::Quic(error.code))
        }
        _ => Outcome::Lost { steady, how: error.into() },
    }
}
