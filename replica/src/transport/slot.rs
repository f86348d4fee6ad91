//! What is known of one listed peer, shared by its task, the acceptor, `send` and the status.
//!
//! It begins when the peer is listed and ends when it is listed no longer. A key that is listed again gets another
//! slot, whose task waits until the one before it has ended, so that its departure comes before the next arrival.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gossip_engine::NodeId;
use tokio::sync::Notify;

use super::{
    address::PeerAddress,
    backoff::Penalty,
    handover::Handover,
    outbound::Link,
    status::{PeerStatus, Status},
    stop::Stop,
};

#[derive(Debug)]
pub(super) struct PeerSlot {
    pub(super) peer: NodeId,
    pub(super) link: Arc<Link>,
    pub(super) handover: Handover,
    pub(super) status: Status,
    /// Set when the peer is listed no longer.
    pub(super) removed: Stop,
    /// Set when its task has ended.
    pub(super) ended: Stop,
    /// There is another address to dial.
    pub(super) moved: Notify,
    address: Mutex<PeerAddress>,
    penalty: Mutex<Penalty>,
}

impl PeerSlot {
    pub(super) fn new(peer: NodeId, address: PeerAddress, penalty: Penalty) -> Self {
        Self {
            peer,
            link: Arc::default(),
            handover: Handover::default(),
            status: Status::default(),
            removed: Stop::new(),
            ended: Stop::new(),
            moved: Notify::new(),
            address: Mutex::new(address),
            penalty: Mutex::new(penalty),
        }
    }

    pub(super) fn address(&self) -> PeerAddress {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes where the peer is dialled. Returns whether it is another address than before.
    pub(super) fn move_to(&self, address: PeerAddress) -> bool {
        let mut current = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == address {
            return false;
        }
        *current = address;
        // Kept for a task that does not wait for it now.
        self.moved.notify_one();
        true
    }

    pub(super) fn penalty(&self) -> MutexGuard<'_, Penalty> {
        self.penalty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> PeerStatus {
        self.status.snapshot(self.peer, self.address().to_string())
    }
}
