//! What is known of one connected peer: what it advertises, what is asked of it, how far to trust it.
//!
//! Bounded by [`GossipOptions`](crate::gossip::GossipOptions): the adverts remembered and the chunks
//! outstanding; and by [`MAX_BLAMES`]. All of it goes when the peer goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use gossip_engine::ArtifactId;

use super::AttemptId;

/// How many lies of one peer are remembered. One that has told as many is not listened to until the
/// oldest are forgotten.
pub(super) const MAX_BLAMES: usize = 256;
/// For how long a lie is remembered. Not for ever: our own disk may have been at fault.
const BLAME_TIME: Duration = Duration::from_secs(600);
/// For how long a peer that has let a chunk time out is asked last.
const SUSPICION_TIME: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Peer {
    /// What it advertises and this replica lacks, each with its place in the queue if it waits there.
    pub(super) adverts: BTreeMap<ArtifactId, Option<u64>>,
    /// What waits for this peer's turn, in order of arrival.
    pub(super) queue: BTreeMap<u64, ArtifactId>,
    /// Whether it is in the ring of those whose turn comes.
    pub(super) listed: bool,
    /// The attempts in which it may be asked, oldest first.
    pub(super) serving: BTreeSet<AttemptId>,
    pub(super) outstanding: usize,
    /// How many chunks may be outstanding now. Halved by a time-out, so that a slow peer is asked no
    /// more than it can deliver in time, and grown again by what it delivers.
    window: usize,
    delivered: usize,
    /// It has let chunks time out, and not delivered one since.
    silent_until: Duration,
    /// It has lied about something.
    liar_until: Duration,
    /// It is asked nothing before.
    pub(super) rest_until: Duration,
    /// What it has lied about, until when that counts.
    blamed: BTreeMap<ArtifactId, Duration>,
    /// Whether an advert has been refused for want of room since it was last asked for all.
    pub(super) refused: bool,
    pub(super) asked_at: Duration,
    pub(super) ask_at: Duration,
}

impl Peer {
    pub(super) fn new(window: usize, now: Duration) -> Self {
        Self {
            adverts: BTreeMap::new(),
            queue: BTreeMap::new(),
            listed: false,
            serving: BTreeSet::new(),
            outstanding: 0,
            window,
            delivered: 0,
            silent_until: Duration::ZERO,
            liar_until: Duration::ZERO,
            rest_until: Duration::ZERO,
            blamed: BTreeMap::new(),
            refused: false,
            asked_at: now,
            ask_at: now,
        }
    }

    /// How many more chunks may be asked of it now.
    pub(super) fn room(&self, now: Duration) -> usize {
        if now < self.rest_until { 0 } else { self.window.saturating_sub(self.outstanding) }
    }

    /// Whether it is to be asked last: it may not answer, or not answer rightly.
    pub(super) fn is_suspect(&self, now: Duration) -> bool {
        now < self.silent_until || now < self.liar_until
    }

    /// It has let chunks time out.
    pub(super) fn time_out(&mut self, now: Duration) {
        self.window = (self.window / 2).max(1);
        self.delivered = 0;
        self.silent_until = now + SUSPICION_TIME;
    }

    /// It has delivered a chunk.
    pub(super) fn deliver(&mut self, max_window: usize) {
        self.silent_until = Duration::ZERO;
        self.delivered += 1;
        if self.delivered >= self.window && self.window < max_window {
            self.window += 1;
            self.delivered = 0;
        }
    }

    /// It has lied about this artifact.
    pub(super) fn blame(&mut self, id: ArtifactId, now: Duration) {
        self.liar_until = now + BLAME_TIME;
        if self.blamed.len() < MAX_BLAMES {
            self.blamed.insert(id, now + BLAME_TIME);
        }
    }

    /// Whether an advert of this artifact by this peer is to be believed.
    pub(super) fn is_believed(&mut self, id: ArtifactId, now: Duration) -> bool {
        if self.blamed.len() >= MAX_BLAMES
            || self.blamed.get(&id).is_some_and(|until| *until <= now)
        {
            self.blamed.retain(|_, until| *until > now);
        }
        self.blamed.len() < MAX_BLAMES && !self.blamed.contains_key(&id)
    }

    /// Puts an advertised artifact at the end of the queue, unless it waits already.
    pub(super) fn enqueue(&mut self, id: ArtifactId, place: u64) {
        if let Some(waiting @ None) = self.adverts.get_mut(&id) {
            *waiting = Some(place);
            self.queue.insert(place, id);
        }
    }

    /// Takes the first of the queue; it stays advertised.
    pub(super) fn dequeue(&mut self) -> Option<ArtifactId> {
        let (_, id) = self.queue.pop_first()?;
        if let Some(waiting) = self.adverts.get_mut(&id) {
            *waiting = None;
        }
        Some(id)
    }

    /// Forgets that it advertises the artifact.
    pub(super) fn retract(&mut self, id: ArtifactId) {
        if let Some(Some(place)) = self.adverts.remove(&id) {
            self.queue.remove(&place);
        }
    }
}
