//! Doing what the downloads decide: sending requests, writing chunks, verifying artifacts.
//!
//! Every step is the same: decide under the lock, act outside of it, report under the lock, and do what
//! follows from that, until nothing follows.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use gossip_engine::{
    ArtifactDestination, ArtifactFilter, ArtifactId, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, NodeId,
};

use super::{
    ReplicaGossip, State,
    claim::Claim,
    downloads::{Action, AttemptId},
};
use crate::store::{Partial, StoreError};

impl ReplicaGossip {
    /// Changes the state, then does what the downloads want done. An action that panics keeps no other from being
    /// done; the first panic goes on when all are.
    pub(super) fn act<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, mut actions) = {
            let mut state = self.state();
            let result = change(&mut state);
            (result, state.downloads.take_actions())
        };
        let mut first_panic: Option<Box<dyn Any + Send>> = None;
        // Each round's actions come from the one before; attempts that begin and end are finite, since
        // one that ends without success leads to requests, which only a peer can answer.
        while !actions.is_empty() {
            let mut following = Vec::new();
            for action in actions {
                match catch_unwind(AssertUnwindSafe(|| self.perform(action))) {
                    Ok(next) => following.extend(next),
                    Err(panic) => {
                        following.extend(self.give_up(action));
                        first_panic.get_or_insert(panic);
                    }
                }
            }
            actions = following;
        }
        if let Some(panic) = first_panic {
            resume_unwind(panic);
        }
        result
    }

    /// An action has panicked, and its report will not come.
    fn give_up(&self, action: Action) -> Vec<Action> {
        let (Action::Finish { attempt, .. } | Action::Reserve { attempt, .. }) = action else {
            return Vec::new();
        };
        let now = (self.clock)();
        let mut state = self.state();
        state.downloads.disk_failed(attempt, now);
        state.downloads.take_actions()
    }

    fn perform(&self, action: Action) -> Vec<Action> {
        let now = (self.clock)();
        match action {
            Action::Reserve { attempt, claim, owner, resume } => {
                self.reserve(attempt, claim, owner, resume)
            }
            Action::Report { peer, id, fault } => {
                tracing::warn!(%peer, artifact = %id, "peer {fault}");
                Vec::new()
            }
            Action::Request { peer, attempt, id, chunk } => {
                let message = GossipMessage::ChunkRequest(request_of(id, chunk));
                if self.outbox.send(peer, message).is_ok() {
                    return Vec::new();
                }
                let mut state = self.state();
                state.downloads.request_unsent(peer, attempt, chunk, now);
                state.downloads.take_actions()
            }
            Action::AskAdverts { peer } => {
                // From height 0: see the module's head.
                let message = GossipMessage::RetransmissionRequest(ArtifactFilter { height: 0 });
                if self.outbox.send(peer, message).is_ok() {
                    return Vec::new();
                }
                let mut state = self.state();
                state.downloads.ask_unsent(peer, now);
                state.downloads.take_actions()
            }
            Action::Finish { attempt, claim } => self.finish(attempt, claim),
            Action::Discard { attempt, keep } => {
                let partial = self.state().partials.remove(&attempt);
                // Its file is kept or removed here, outside of the lock.
                if keep && let Some(partial) = &partial {
                    partial.keep();
                }
                drop(partial);
                Vec::new()
            }
        }
    }

    /// Reserves the space of an artifact, before the first request of an attempt. With `resume`, it goes on with what
    /// an earlier one has kept.
    fn reserve(
        &self,
        attempt: AttemptId,
        claim: Claim,
        owner: NodeId,
        resume: bool,
    ) -> Vec<Action> {
        if !self.may_begin(attempt, claim, owner) {
            return self.state().downloads.take_actions();
        }
        let partial = {
            let mut state = self.state();
            if !state.downloads.is_running(attempt) {
                return Vec::new();
            }
            self.partial(&mut state, attempt, claim)
        };
        let reserved = match resume {
            true => partial.resume(Some(owner)),
            false => partial.reserve(Some(owner)).map(|()| Vec::new()),
        };
        drop(partial);
        let kept = match reserved {
            Ok(kept) => kept,
            Err(error) => {
                self.refused_by_disk(attempt, claim, &error);
                return Vec::new();
            }
        };
        let come: u64 = kept.iter().map(|range| range.end - range.start).sum();
        if come > 0 {
            let (artifact, size) = (claim.id, claim.size);
            tracing::info!(%artifact, come, size, "goes on with what came before");
        }
        let now = (self.clock)();
        let mut state = self.state();
        state.downloads.space_granted(attempt, &kept, now);
        state.downloads.take_actions()
    }

    /// Takes a chunk, or the error in its place.
    pub(super) fn take_chunk(&self, chunk: GossipChunk, peer: NodeId) {
        let id = chunk.artifact_id;
        let number = chunk.chunk_number;
        if id.as_bytes() != chunk.integrity_hash.as_bytes() {
            self.state().downloads.counters().chunks_invalid += 1;
            return;
        }
        let now = (self.clock)();
        let bytes = match chunk.payload {
            Ok(bytes) => bytes,
            Err(error) => {
                self.act(|state| state.downloads.chunk_error(peer, id, number, error, now));
                return;
            }
        };
        let write = self.act(|state| {
            let write = state.downloads.chunk(peer, id, number, bytes.len(), now)?;
            Some((write, self.partial(state, write.attempt, write.claim)))
        });
        let Some((write, partial)) = write else { return };
        let written = partial.write_at(write.offset, &bytes);
        drop(bytes);
        drop(partial);
        let now = (self.clock)();
        match written {
            Ok(()) => self.act(|state| state.downloads.written(write.attempt, now)),
            Err(error) => self.refused_by_disk(write.attempt, write.claim, &error),
        }
    }

    fn partial(&self, state: &mut State, attempt: AttemptId, claim: Claim) -> Arc<Partial> {
        let begin = || Arc::new(self.store.begin(claim.id, claim.size));
        state.partials.entry(attempt).or_insert_with(begin).clone()
    }

    /// All chunks of an attempt are written: is it the artifact?
    fn finish(&self, attempt: AttemptId, claim: Claim) -> Vec<Action> {
        let partial = {
            let mut state = self.state();
            // Its file must not be made anew if the attempt has ended since this was decided.
            if !state.downloads.is_running(attempt) {
                return Vec::new();
            }
            self.partial(&mut state, attempt, claim)
        };
        let outcome = partial.finish();
        drop(partial);
        let now = (self.clock)();
        let artifact = match outcome {
            Ok(artifact) => artifact,
            Err(StoreError::Mismatch { .. }) => {
                let mut state = self.state();
                state.downloads.mismatch(attempt, now);
                return state.downloads.take_actions();
            }
            Err(error) => {
                self.refused_by_disk(attempt, claim, &error);
                return Vec::new();
            }
        };
        // First, so that its head goes with its advert.
        self.complete_catalog(claim.id);
        self.changes.note();
        let others = {
            let mut state = self.state();
            state.downloads.counters().artifacts += 1;
            let holders = state.downloads.held(claim.id, now);
            // Who advertises it need not hear of it.
            state.answers.peers().filter(|peer| !holders.contains(peer)).collect()
        };
        self.announce(artifact, ArtifactDestination::Replicas(others));
        // Taken after what may panic, or they would be lost with it.
        self.state().downloads.take_actions()
    }

    fn refused_by_disk(&self, attempt: AttemptId, claim: Claim, error: &StoreError) {
        let now = (self.clock)();
        // Where only what peers have announced takes the space, nothing is dropped for this one. Nor is anything for
        // what no catalog names.
        let is_needed = self.catalogs.needs(claim.id, claim.size);
        if is_needed && self.store.space_for(claim.size).is_err() {
            self.note_space(error);
        }
        let no_space = matches!(error, StoreError::NoSpace { .. });
        let news = self.act(|state| {
            if no_space {
                state.downloads.no_space(attempt, now)
            } else {
                state.downloads.disk_failed(attempt, now)
            }
        });
        if news {
            tracing::warn!(
                artifact = %claim.id, size = claim.size, %error, "the store refuses an artifact, which is put off"
            );
        }
    }
}

fn request_of(id: ArtifactId, chunk_number: u32) -> GossipChunkRequest {
    let integrity_hash = IntegrityHash::new(*id.as_bytes());
    GossipChunkRequest { artifact_id: id, integrity_hash, chunk_number }
}
