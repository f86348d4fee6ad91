//! How one peer stands: written by the task that owns the peer, read by those that show it.
//!
//! ```text
//! Away <-> Connecting -> Connected -> Away or ShutOut
//! ```
//!
//! What is shown decides nothing: no task looks here for what it does next. The connection that is served is kept here
//! for its figures, and so that a list of peers that grows can narrow its windows.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use gossip_engine::NodeId;
use quinn::{Connection, VarInt};

use super::{address::canonical, endpoint::Settings, limits::Windows};

/// How a peer stands with us.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// Who it is.
    pub node_id: NodeId,
    /// Where it listens, as configured.
    pub address: String,
    /// What it is now.
    pub state: PeerState,
    /// Since when, by the wall clock.
    pub since: SystemTime,
    /// Where its connection comes from or goes to; none unless it is connected.
    pub remote: Option<SocketAddr>,
    /// Why it was not reached, or why its last connection ended, in words; none once it is connected again.
    pub last_error: Option<String>,
    /// Bytes of UDP payload that came from it, over all of its connections since the start.
    pub bytes_in: u64,
    /// Bytes of UDP payload that went to it, over all of its connections since the start.
    pub bytes_out: u64,
    /// The round trip as QUIC measures it; none unless it is connected.
    pub round_trip: Option<Duration>,
    /// How many connections were served since the start.
    pub connections: u64,
}

/// What a peer is to us.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PeerState {
    /// There is no connection; the next dial waits for its time.
    Away,
    /// It is being dialled.
    Connecting,
    /// A connection is served.
    Connected,
    /// It broke the protocol, and is left alone for a while.
    ShutOut,
}

/// The status of one peer, as its task keeps it.
#[derive(Debug)]
pub(super) struct Status(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    state: PeerState,
    since: SystemTime,
    last_error: Option<String>,
    /// The connection that is served.
    connection: Option<Connection>,
    /// What it may receive and send ahead.
    windows: Option<Windows>,
    /// Of the connections before it.
    bytes_in: u64,
    bytes_out: u64,
    connections: u64,
}

impl Default for Status {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            state: PeerState::Away,
            since: SystemTime::now(),
            last_error: None,
            connection: None,
            windows: None,
            bytes_in: 0,
            bytes_out: 0,
            connections: 0,
        }))
    }
}

impl Status {
    /// A connection is served from now on, with the windows of now.
    pub(super) fn connected(&self, connection: &Connection, settings: &ArcSwap<Settings>) {
        let mut inner = self.lock();
        inner.retire();
        inner.connection = Some(connection.clone());
        inner.windows = None;
        inner.narrow(settings);
        inner.connections += 1;
        inner.last_error = None;
        inner.enter(PeerState::Connected);
    }

    /// Narrows the windows of the connection that is served, if those of now are smaller.
    pub(super) fn narrow(&self, settings: &ArcSwap<Settings>) {
        self.lock().narrow(settings);
    }

    /// No connection is served any more, or none is yet.
    pub(super) fn set(&self, state: PeerState) {
        let mut inner = self.lock();
        inner.retire();
        inner.enter(state);
    }

    /// Why it is not connected.
    pub(super) fn failed(&self, reason: String) {
        self.lock().last_error = Some(reason);
    }

    /// What is shown of it.
    pub(super) fn snapshot(&self, node_id: NodeId, address: String) -> PeerStatus {
        let inner = self.lock();
        let (mut bytes_in, mut bytes_out) = (inner.bytes_in, inner.bytes_out);
        if let Some(connection) = &inner.connection {
            let stats = connection.stats();
            bytes_in += stats.udp_rx.bytes;
            bytes_out += stats.udp_tx.bytes;
        }
        PeerStatus {
            node_id,
            address,
            state: inner.state,
            since: inner.since,
            remote: inner.connection.as_ref().map(|served| canonical(served.remote_address())),
            last_error: inner.last_error.clone(),
            bytes_in,
            bytes_out,
            round_trip: inner.connection.as_ref().map(Connection::rtt),
            connections: inner.connections,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The windows of now are read here, under the lock, so that the last call has the latest.
    fn narrow(&mut self, settings: &ArcSwap<Settings>) {
        let Some(connection) = &self.connection else { return };
        let now = settings.load().windows;
        // Never wider again: QUIC would give the difference anew each time, and not take it back.
        if self.windows.is_none_or(|windows| now.stream < windows.stream) {
            connection.set_receive_window(VarInt::from_u32(now.receive));
            connection.set_send_window(now.send.into());
            self.windows = Some(now);
        }
    }

    fn enter(&mut self, state: PeerState) {
        if self.state != state {
            self.state = state;
            self.since = SystemTime::now();
        }
    }

    fn retire(&mut self) {
        if let Some(connection) = self.connection.take() {
            let stats = connection.stats();
            self.bytes_in += stats.udp_rx.bytes;
            self.bytes_out += stats.udp_tx.bytes;
        }
    }
}
