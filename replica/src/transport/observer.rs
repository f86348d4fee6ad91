//! What there is to see of a transport, from any thread.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    counters::{Counters, TransportCounters},
    members::Slots,
    status::PeerStatus,
};

/// Looks at a transport. It may be kept beyond the transport's end.
#[derive(Clone, Debug)]
pub struct TransportObserver {
    pub(super) local_addr: SocketAddr,
    pub(super) slots: Arc<ArcSwap<Slots>>,
    pub(super) counters: Arc<Counters>,
}

impl TransportObserver {
    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How each listed peer stands, sorted by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let mut peers: Vec<_> = self.slots.load().values().map(|slot| slot.status()).collect();
        peers.sort_by_key(|peer| peer.node_id);
        peers
    }

    /// How many tasks have panicked since [`bind`](super::Transport::bind). Those of peers and of the acceptor were
    /// started again.
    #[must_use]
    pub fn failed_tasks(&self) -> u64 {
        self.counters.failed_tasks.get()
    }

    /// What has happened since [`bind`](super::Transport::bind).
    #[must_use]
    pub fn counters(&self) -> TransportCounters {
        self.counters.snapshot()
    }
}
