//! What the engine calls, on the flows' threads and on that of the clock.
//!
//! Each callback changes the state under the lock, by `act`, and does the rest outside of it.

use std::collections::BTreeSet;

use gossip_engine::{
    ArtifactDestination, ArtifactFilter, FlowType, Gossip, GossipAdvert, GossipChunk,
    GossipChunkRequest, GossipMessage, NodeId, Outcome,
};

use super::{Claim, ReplicaGossip};

impl Gossip for ReplicaGossip {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, peer: NodeId) {
        self.notice_head(&advert, peer);
        // Most adverts are of artifacts that are held; they need not wait for the lock.
        if self.store.contains(advert.artifact_id) {
            return;
        }
        match Claim::read(&advert, &self.options) {
            Ok(claim) => {
                let now = (self.clock)();
                if !self.may_fetch(claim, peer, now) {
                    return;
                }
                let is_catalog = self.catalogs.is_catalog(claim.id);
                self.act(|state| {
                    // Asked again under the lock: an artifact enters the store before it leaves the
                    // downloads, so one that is in neither is really lacking.
                    if self.store.contains(claim.id) {
                        return;
                    }
                    match is_catalog {
                        true => state.downloads.advert_first(peer, claim, now),
                        false => state.downloads.advert(peer, claim, now),
                    }
                });
            }
            Err(reason) => {
                self.state().downloads.counters().adverts_invalid += 1;
                tracing::debug!(%peer, %reason, "invalid advert");
            }
        }
    }

    fn on_chunk_request(&self, request: GossipChunkRequest, peer: NodeId) {
        self.serve_chunk(&request, peer);
    }

    fn on_gossip_chunk(&self, chunk: GossipChunk, peer: NodeId) {
        self.take_chunk(chunk, peer);
    }

    fn on_gossip_retransmission_request(&self, request: ArtifactFilter, peer: NodeId) {
        let now = (self.clock)();
        self.answer(request.height, peer, now);
    }

    fn on_peer_up(&self, peer: NodeId) {
        let now = (self.clock)();
        self.act(|state| {
            let answered = state.answers.peer_up(peer, now);
            state.served.retransmissions_answered += u64::from(answered);
            state.downloads.peer_up(peer, now);
        });
        self.send_due_adverts(&[peer]);
    }

    fn on_peer_down(&self, peer: NodeId) {
        let now = (self.clock)();
        self.act(|state| {
            state.answers.peer_down(peer);
            state.forget_refused(peer);
            state.downloads.peer_down(peer, now);
        });
    }

    /// For the log, which wants no line for each message. What was lost is asked for in `on_message_dropped`.
    fn on_messages_dropped(&self, flow: FlowType, peer: NodeId, count: u64) {
        tracing::debug!(%flow, %peer, count, "messages dropped");
    }

    /// Asks again for what is lost: a chunk at once, adverts with the next tick, unless this replica knows what they
    /// say. What the peer has asked for is remembered, and answered with the next tick. A request for a chunk is the
    /// peer's to repeat, or to make to another: an answer would cost most when there is least time for it.
    ///
    /// Nothing here touches the disk, for it may be the transport's thread.
    fn on_message_dropped(&self, message: GossipMessage, peer: NodeId, _: Outcome) {
        let now = (self.clock)();
        match message {
            GossipMessage::Advert(advert) => {
                // Not by its id alone: what is held may be a catalog once more.
                if self.is_newer_catalog(&advert) {
                    self.act(|state| state.downloads.ask_soon(peer, now));
                } else if !self.store.contains(advert.artifact_id)
                    && let Ok(claim) = Claim::read(&advert, &self.options)
                {
                    self.act(|state| state.downloads.advert_lost(peer, claim, now));
                }
            }
            GossipMessage::Chunk(chunk) => {
                let GossipChunk { artifact_id: id, chunk_number: number, .. } = chunk;
                self.act(|state| state.downloads.chunk_lost(peer, id, number, now));
            }
            GossipMessage::RetransmissionRequest(filter) => {
                let mut state = self.state();
                state.answers.ask_later(peer, filter.height);
                state.served.retransmissions_deferred += 1;
            }
            GossipMessage::ChunkRequest(_) => {}
        }
    }

    fn on_gossip_timer(&self) {
        let now = (self.clock)();
        let due = self.act(|state| {
            self.notice_found(state, now);
            self.ask_for_losses(state, now);
            state.downloads.tick(now);
            state.served.retransmissions_answered += state.answers.tick(now);
            state.answers.due()
        });
        self.send_due_adverts(&due);
        self.complete_awaited();
        self.look_at_unnamed(now);
        self.drop_retired(now);
    }

    /// Of an artifact the last advert counts, with the size and chunks that it claims. One without the head of a
    /// catalog takes the place of none that may have one.
    fn advert_supersedes(&self, newer: &GossipAdvert, older: &GossipAdvert) -> bool {
        newer.artifact_id == older.artifact_id && newer.attributes.len() >= older.attributes.len()
    }

    fn broadcast_advert(&self, advert: GossipAdvert, dst: ArtifactDestination) {
        // It may have been removed while it waited for its turn.
        if self.catalogs.is_unwanted(advert.artifact_id) {
            return;
        }
        let connected: BTreeSet<NodeId> = self.state().answers.peers().collect();
        match dst {
            ArtifactDestination::AllReplicas => self.tell(&advert, &connected),
            ArtifactDestination::Replicas(peers) => self.tell(&advert, &(&peers & &connected)),
        }
    }
}
