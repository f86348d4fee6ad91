//! The network as a replica sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gossip_engine::{FlowType, GossipMessage, NodeId};

use super::network::{Network, node_of};
use crate::outbox::{Outbox, SendError};

/// The network, which the replicas' outboxes share with the world.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Network>>);

impl Shared {
    pub(super) fn new(network: Network) -> Self {
        Self(Arc::new(Mutex::new(network)))
    }

    /// For a step: no callback of a replica is called meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Network> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outbox of one replica.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) node: u32,
    pub(super) network: Shared,
}

impl Outbox for Port {
    fn send(&self, peer: NodeId, message: GossipMessage) -> Result<(), SendError> {
        self.network.lock().send(self.node, node_of(peer), message)
    }

    fn has_capacity(&self, peer: NodeId, flow: FlowType, bytes: usize) -> bool {
        self.network.lock().has_capacity(self.node, node_of(peer), flow, bytes)
    }
}
