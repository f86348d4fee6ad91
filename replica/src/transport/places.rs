//! Who may be between its first packet and the proof of its key: few from anywhere, and always the listed ones.
//!
//! ```text
//! first packet ── known address ─────────────> place ── proof or time-out ──> free
//!             └── stranger ──> retry token ──> place
//! ```
//!
//! A known address is one that a listed peer's name stands for, port and all: a replica dials from the socket that
//! it listens on. It has [`KNOWN_HANDSHAKES`] places of its own, of which only the first is had without the proof that
//! somebody receives there. All others prove that first, have [`STRANGER_HANDSHAKES`] for each IPv4 address or IPv6
//! network of 64 bits, and [`MAX_STRANGER_HANDSHAKES`] together, so that no crowd of them takes a known one's place.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gossip_engine::NodeId;

use super::{
    address::canonical,
    limits::{KNOWN_HANDSHAKES, MAX_HANDSHAKES, MAX_STRANGER_HANDSHAKES, STRANGER_HANDSHAKES},
};

/// How a first packet is answered.
#[derive(Debug)]
pub(super) enum Entry {
    /// It may prove its key.
    Enter(Place),
    /// It has to show first that it receives at its address.
    ShowAddress,
    /// There is no place; it comes again.
    Full,
}

/// The places, and the addresses that have some of their own.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many are taken, by who took them.
    taken: HashMap<Holder, usize>,
    known_taken: usize,
    strangers_taken: usize,
    /// How many peers are to be found at an address.
    known: HashMap<SocketAddr, usize>,
    /// Where each peer is to be found.
    addresses: HashMap<NodeId, Vec<SocketAddr>>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Holder {
    Known(SocketAddr),
    Stranger(IpAddr),
}

impl Places {
    /// A first packet has come. `shown`: its sender receives at its address.
    pub(super) fn enter(self: &Arc<Self>, from: SocketAddr, shown: bool) -> Entry {
        let from = canonical(from);
        let mut inner = self.lock();
        let known = inner.known.contains_key(&from);
        let holder = if known { Holder::Known(from) } else { Holder::Stranger(network(from.ip())) };
        let taken = inner.taken.get(&holder).copied().unwrap_or(0);
        if !shown && (!known || taken > 0) {
            return Entry::ShowAddress;
        }
        let full = if known {
            taken >= KNOWN_HANDSHAKES || inner.known_taken >= MAX_HANDSHAKES
        } else {
            taken >= STRANGER_HANDSHAKES || inner.strangers_taken >= MAX_STRANGER_HANDSHAKES
        };
        if full {
            return Entry::Full;
        }
        *inner.taken.entry(holder).or_default() += 1;
        *inner.total(holder) += 1;
        Entry::Enter(Place { places: self.clone(), holder })
    }

    /// Where a listed peer is to be found now.
    pub(super) fn know(&self, peer: NodeId, addresses: &[SocketAddr]) {
        let mut inner = self.lock();
        if inner.addresses.get(&peer).is_some_and(|known| known == addresses) {
            return;
        }
        inner.forget(peer);
        for address in addresses {
            *inner.known.entry(*address).or_default() += 1;
        }
        inner.addresses.insert(peer, addresses.to_vec());
    }

    /// A peer is listed no longer.
    pub(super) fn forget(&self, peer: NodeId) {
        self.lock().forget(peer);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn total(&mut self, holder: Holder) -> &mut usize {
        match holder {
            Holder::Known(_) => &mut self.known_taken,
            Holder::Stranger(_) => &mut self.strangers_taken,
        }
    }

    fn forget(&mut self, peer: NodeId) {
        for address in self.addresses.remove(&peer).unwrap_or_default() {
            if let Some(peers) = self.known.get_mut(&address) {
                *peers -= 1;
                if *peers == 0 {
                    self.known.remove(&address);
                }
            }
        }
    }
}

/// A place of an unproven connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    holder: Holder,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.places.lock();
        *inner.total(self.holder) -= 1;
        if let Some(taken) = inner.taken.get_mut(&self.holder) {
            *taken -= 1;
            // Nothing is kept of those who have gone.
            if *taken == 0 {
                inner.taken.remove(&self.holder);
            }
        }
    }
}

/// What one holder of addresses has of them at least: an IPv4 address, or 64 bits of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests;
