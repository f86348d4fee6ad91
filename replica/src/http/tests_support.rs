//! Readings that no replica has given.

use std::time::SystemTime;

use gossip_engine::{MetricsRegistry, NodeId};

use super::reading::Reading;
use crate::{
    store::StoreStatus,
    transport::{PeerState, PeerStatus},
};

/// Of a replica that has seen nothing yet.
pub(super) fn reading() -> Reading {
    Reading {
        node_id: NodeId::new([0; 32]),
        listen: "127.0.0.1:4100".parse().unwrap(),
        registry: MetricsRegistry::new(),
        metrics: Default::default(),
        transport: Default::default(),
        gossip: Default::default(),
        store: StoreStatus::default(),
        peers: Vec::new(),
        downloads: Vec::new(),
        recent: Vec::new(),
        folders: Default::default(),
        said: Vec::new(),
        awaited: Vec::new(),
        names: Default::default(),
        failed_tasks: 0,
    }
}

pub(super) fn peer(number: u8, state: PeerState) -> PeerStatus {
    PeerStatus {
        node_id: NodeId::new([number; 32]),
        address: format!("replica-{number}.example:4100"),
        state,
        since: SystemTime::UNIX_EPOCH,
        remote: None,
        last_error: None,
        bytes_in: 0,
        bytes_out: 0,
        round_trip: None,
        connections: 0,
    }
}
