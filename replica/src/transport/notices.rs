//! What the log says of one peer: each change once, and little of a peer that changes all the time.
//!
//! A peer that comes and goes [`FLAPS`] times without staying is said to do so, and its arrivals and departures are not
//! said any more until it stays. A key that moves to and fro between two addresses, or that somebody else uses beside
//! us, is said at most once in [`NOTICE_INTERVAL`].

use std::{fmt, net::SocketAddr};

use gossip_engine::NodeId;
use tokio::time::Instant;

use super::{
    limits::{FLAPS, KEY_CONTESTS, NOTICE_INTERVAL},
    seldom::Seldom,
};

/// How many places of a key are remembered.
const PLACES: usize = 4;

#[derive(Debug)]
pub(super) struct Notices {
    peer: NodeId,
    /// Why it was not reached, as it was said last.
    unreachable: Option<String>,
    short_connections: u32,
    last_short: Option<Instant>,
    flapping: Seldom,
    /// Where connections came from that gave way to one from elsewhere.
    left: Vec<SocketAddr>,
    contested: Contests,
    /// We are thrown out for somebody else with our key.
    thrown_out: Contests,
}

/// How often something has happened with less than [`NOTICE_INTERVAL`] between.
#[derive(Debug)]
struct Contests {
    count: u32,
    last: Option<Instant>,
    said: Seldom,
}

impl Contests {
    fn new() -> Self {
        Self { count: 0, last: None, said: Seldom::new(NOTICE_INTERVAL) }
    }

    /// Whether to say it now.
    fn again(&mut self, now: Instant) -> bool {
        if self.last.is_none_or(|last| now > last + NOTICE_INTERVAL) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
        self.count >= KEY_CONTESTS && self.said.due(now).is_some()
    }
}

impl Notices {
    pub(super) fn new(peer: NodeId) -> Self {
        Self {
            peer,
            unreachable: None,
            short_connections: 0,
            last_short: None,
            flapping: Seldom::new(NOTICE_INTERVAL),
            left: Vec::new(),
            contested: Contests::new(),
            thrown_out: Contests::new(),
        }
    }

    /// It was not reached.
    pub(super) fn unreachable(&mut self, reason: &str) {
        if self.unreachable.as_deref() != Some(reason) {
            self.unreachable = Some(reason.to_owned());
            tracing::info!(peer = %self.peer, %reason, "cannot reach a peer; trying on");
        }
    }

    pub(super) fn up(&mut self, remote: SocketAddr, dialled: bool) {
        self.unreachable = None;
        if self.short_connections < FLAPS {
            let by = if dialled { "us" } else { "it" };
            tracing::info!(peer = %self.peer, %remote, dialled_by = by, "a peer is up");
        }
    }

    /// Its connection has ended; `stayed`: it had lasted for a while.
    pub(super) fn down(&mut self, reason: &dyn fmt::Display, stayed: bool) {
        let now = Instant::now();
        let quiet = self.last_short.is_none_or(|last| now > last + NOTICE_INTERVAL);
        let flapped = self.short_connections >= FLAPS;
        if stayed || quiet {
            self.short_connections = 0;
        }
        if stayed && flapped {
            tracing::info!(peer = %self.peer, "a peer that came and went has stayed for a while");
        }
        if !stayed {
            self.short_connections = self.short_connections.saturating_add(1);
            self.last_short = Some(now);
        }
        if self.short_connections < FLAPS {
            tracing::info!(peer = %self.peer, %reason, "a peer is down");
        } else if let Some(times) = self.flapping.due(now) {
            tracing::warn!(peer = %self.peer, times, last = %reason, "a peer comes and goes");
        }
    }

    /// A connection from `old` gives way to a newer one from `new`.
    pub(super) fn replaced(&mut self, old: SocketAddr, new: SocketAddr) {
        if old == new {
            return;
        }
        // One that moves, or that a router gives another port, does not return to where it was.
        let returned = self.left.contains(&new);
        if !self.left.contains(&old) {
            if self.left.len() == PLACES {
                self.left.remove(0);
            }
            self.left.push(old);
        }
        if returned && self.contested.again(Instant::now()) {
            tracing::warn!(
                peer = %self.peer, here = %old, there = %new,
                "another replica uses the key of a peer: connections from two places replace each other"
            );
        }
    }

    /// The peer has closed a connection for a newer one of our key.
    pub(super) fn thrown_out(&mut self) {
        if self.thrown_out.again(Instant::now()) {
            tracing::warn!(
                peer = %self.peer,
                "another replica uses this key: a peer has closed our connections for newer ones that are not ours"
            );
        }
    }
}
