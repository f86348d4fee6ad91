//! Serving what is held: chunks to those that ask, adverts to those that have to hear of it.

use std::collections::BTreeSet;
use std::time::Duration;

use gossip_engine::{
    ArtifactDestination, ChunkError, FlowType, GossipAdvert, GossipChunk, GossipChunkRequest,
    GossipMessage, NodeId,
};

use super::{Full, ReplicaGossip, answers::Asked, claim::catalog_advert_of};
use crate::store::{Artifact, StoreError};

/// How many adverts are sent to one peer before it is another's turn; the timer goes on with it.
const ADVERTS_PER_TURN: usize = 1024;

/// A turn of telling a peer adverts. It ends however its sending does, or the peer would be told nothing more.
struct Turn<'a> {
    gossip: &'a ReplicaGossip,
    peer: NodeId,
    /// From which height on it goes on; `None` if all are sent.
    rest: Option<u64>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gossip.state().answers.end_turn(self.peer, self.rest);
    }
}

impl ReplicaGossip {
    pub(super) fn serve_chunk(&self, request: &GossipChunkRequest, peer: NodeId) {
        // Asked before the disk is read: a peer that repeats requests and reads no answer costs no reads.
        // Its time-out repairs what is dropped here, if it is honest.
        let bytes = self.options.chunk_bytes as usize;
        if !self.outbox.has_capacity(peer, FlowType::Chunk, bytes) {
            self.state().served.requests_dropped += 1;
            return;
        }
        let payload = self.read_chunk(request);
        let error = payload.is_err();
        if let (Some(throttle), Ok(payload)) = (&self.throttle, &payload) {
            throttle.wait(payload.len());
        }
        let sent = self.outbox.send(
            peer,
            GossipMessage::Chunk(GossipChunk {
                artifact_id: request.artifact_id,
                integrity_hash: request.integrity_hash,
                chunk_number: request.chunk_number,
                payload,
            }),
        );
        let mut state = self.state();
        let served = &mut state.served;
        match (sent, error) {
            // The peer's time-out repairs it; an answer that says "later" would not get through either.
            (Err(_), _) => served.chunks_unsent += 1,
            (Ok(()), true) => served.chunk_errors += 1,
            (Ok(()), false) => served.chunks += 1,
        }
    }

    fn read_chunk(&self, request: &GossipChunkRequest) -> Result<bytes::Bytes, ChunkError> {
        let id = request.artifact_id;
        let held = self.store.get(id).ok_or(ChunkError::NotFound)?;
        let claim = super::Claim { id, size: held.size, chunk_bytes: self.options.chunk_bytes };
        let same = id.as_bytes() == request.integrity_hash.as_bytes();
        let (offset, length) =
            claim.chunk(request.chunk_number).filter(|_| same).ok_or(ChunkError::NotFound)?;
        self.store.read_chunk(id, offset, length).map_err(|error| match error {
            StoreError::NotHeld(_) | StoreError::OutOfRange { .. } => ChunkError::NotFound,
            error => {
                tracing::debug!(artifact = %id, %error, "cannot serve a chunk");
                if self.store.contains(id) { ChunkError::Unavailable } else { ChunkError::NotFound }
            }
        })
    }

    /// Begins to send a peer the adverts of all artifacts of at least this height.
    pub(super) fn answer(&self, height: u64, peer: NodeId, now: Duration) {
        let begun = {
            let mut state = self.state();
            let asked = state.answers.ask(peer, height, now);
            match asked {
                Asked::Begun => state.served.retransmissions_answered += 1,
                Asked::PutOff => state.served.retransmissions_deferred += 1,
            }
            asked == Asked::Begun
        };
        if begun {
            self.send_due_adverts(&[peer]);
        }
    }

    /// Goes on telling these peers what they have still to hear of, a turn each.
    pub(super) fn send_due_adverts(&self, peers: &[NodeId]) {
        for peer in peers {
            let Some(from) = self.state().answers.take_turn(*peer) else { continue };
            let mut turn = Turn { gossip: self, peer: *peer, rest: Some(from) };
            let artifacts = self.store.list_from(from, ADVERTS_PER_TURN);
            // Nobody is to fetch what will be dropped here.
            let unwanted = self.catalogs.unwanted(artifacts.iter().map(|artifact| artifact.id));
            let mut sent = 0;
            for artifact in &artifacts {
                if unwanted.contains(&artifact.id) {
                    sent += 1;
                    continue;
                }
                let advert = GossipMessage::Advert(self.advert(*artifact));
                if self.outbox.send(*peer, advert).is_err() {
                    break;
                }
                sent += 1;
            }
            let unsent = artifacts.get(sent).map(|artifact| artifact.height);
            // A full turn may not have been all.
            let rest = unsent.or_else(|| {
                artifacts.last().filter(|_| sent == ADVERTS_PER_TURN).map(|last| last.height + 1)
            });
            turn.rest = rest;
            let mut state = self.state();
            state.served.adverts += sent.saturating_sub(unwanted.len()) as u64;
            state.served.adverts_unsent += u64::from(unsent.is_some());
        }
    }

    pub(super) fn advert(&self, artifact: Artifact) -> GossipAdvert {
        let head = self.catalogs.head_of(artifact.id);
        let lack = head.and_then(|head| self.lacks().own(&head));
        let missing = lack.map(|lack| (lack.missing_files, lack.missing_bytes));
        catalog_advert_of(artifact, head.as_ref(), missing, &self.options)
    }

    /// Has an artifact announced. Where there is no capacity for that, its recipients get the advert with the next
    /// tick.
    pub(super) fn announce(&self, artifact: Artifact, destination: ArtifactDestination) {
        let advert = self.advert(artifact);
        if let Err(Full { destination }) = (self.announce)(advert, destination) {
            self.state().answers.unannounced(artifact.height, &destination);
        }
    }

    /// Sends an advert to each of these peers. A peer whose queue is full gets it later.
    pub(super) fn tell(&self, advert: &GossipAdvert, peers: &BTreeSet<NodeId>) {
        let mut missed = Vec::new();
        for peer in peers {
            if self.outbox.send(*peer, GossipMessage::Advert(advert.clone())).is_err() {
                missed.push(*peer);
            }
        }
        // One that is no longer held need not be told.
        let height = self.store.get(advert.artifact_id).map(|artifact| artifact.height);
        let mut state = self.state();
        state.served.adverts += (peers.len() - missed.len()) as u64;
        state.served.adverts_unsent += missed.len() as u64;
        if let Some(height) = height {
            for peer in missed {
                state.answers.missed(peer, height);
            }
        }
    }
}
