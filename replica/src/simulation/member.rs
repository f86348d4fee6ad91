//! What runs in the place of a replica: a real one, or one that does harm.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gossip_engine::{ArtifactDestination, Gossip as _, GossipAdvert, GossipMessage, NodeId};

use super::{
    events::Event, hostile::Hostile, network::id_of, options::Options, port::Port, random::mix,
};
use crate::{catalog::Catalogs, gossip::ReplicaGossip, store::Store};

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Member {
    Replica(Box<ReplicaGossip>),
    Hostile(Box<Hostile>),
}

impl Member {
    /// A replica in this life of its node.
    pub(super) fn replica(
        options: &Options,
        store: &Store,
        clock: &Arc<AtomicU64>,
        port: Port,
        life: u32,
    ) -> Self {
        let (node, network, clock) = (port.node, port.network.clone(), clock.clone());
        let own = if options.own_order { u64::from(node) + 1 } else { 0 };
        let salt = mix(mix(options.seed) ^ mix(own));
        let members = network.lock().neighbours(node).map(id_of).collect();
        let gossip = ReplicaGossip::with_clock(
            options.gossip.clone(),
            store.clone(),
            Catalogs::without_folder(),
            Arc::new(port),
            move |advert, destination| {
                let mut network = network.lock();
                let now = network.events.now;
                let advert = Box::new((advert, destination));
                network.events.at(now, Event::Broadcast { node, life, advert });
                Ok(())
            },
            move || Duration::from_nanos(clock.load(Relaxed)),
            salt,
        );
        let gossip = gossip.expect("the options have been checked");
        // All peers together have a share for each of them in what no catalog names.
        gossip.set_members(members);
        Self::Replica(Box::new(gossip))
    }

    pub(super) fn receive(&mut self, message: GossipMessage, from: NodeId) {
        let gossip = match self {
            Self::Replica(gossip) => gossip,
            Self::Hostile(hostile) => return hostile.receive(message, from),
        };
        match message {
            GossipMessage::Advert(advert) => gossip.on_gossip_advert(advert, from),
            GossipMessage::ChunkRequest(request) => gossip.on_chunk_request(request, from),
            GossipMessage::Chunk(chunk) => gossip.on_gossip_chunk(chunk, from),
            GossipMessage::RetransmissionRequest(filter) => {
                gossip.on_gossip_retransmission_request(filter, from);
            }
        }
    }

    pub(super) fn tick(&mut self) {
        match self {
            Self::Replica(gossip) => gossip.on_gossip_timer(),
            Self::Hostile(hostile) => hostile.tick(),
        }
    }

    pub(super) fn broadcast(&self, advert: GossipAdvert, destination: ArtifactDestination) {
        if let Self::Replica(gossip) = self {
            gossip.broadcast_advert(advert, destination);
        }
    }

    pub(super) fn peer_up(&mut self, peer: NodeId) {
        match self {
            Self::Replica(gossip) => gossip.on_peer_up(peer),
            Self::Hostile(hostile) => hostile.peer_up(peer),
        }
    }

    pub(super) fn peer_down(&mut self, peer: NodeId) {
        match self {
            Self::Replica(gossip) => gossip.on_peer_down(peer),
            Self::Hostile(hostile) => hostile.peer_down(peer),
        }
    }
}
