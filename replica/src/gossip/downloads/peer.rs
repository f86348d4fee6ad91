//! What is known of one connected peer: what it advertises, what is asked of it, how far to trust it.
//!
//! A request stays until it is answered, or has timed out, even if the chunk has come from another peer
//! meanwhile: the answer is still on its way, and takes its part of the peer's window.
//!
//! It is suspect, and asked last, when it has let a chunk time out, or when too many of its latest answers
//! were late: [`health`](Peer::hit) is the share of those in time, of which each moves an eighth. One true
//! answer among many that are missing does not clear it; several in a row do, or time.
//!
//! Bounded by [`GossipOptions`](crate::gossip::GossipOptions): the adverts remembered and the chunks
//! outstanding; and by [`MAX_BLAMES`] and [`MAX_LATE`]. All of it goes when the peer goes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use gossip_engine::{ArtifactId, NodeId};

use super::{AttemptId, order::Place, pace::Pace};

/// How many lies of one peer are remembered. One that has told as many is not listened to until the
/// oldest are forgotten.
pub(super) const MAX_BLAMES: usize = 256;
/// How many chunks that have timed out are remembered, so that their answers are still welcome.
pub(super) const MAX_LATE: usize = 64;
/// For how long a lie is remembered. Not for ever: our own disk may have been at fault.
const BLAME_TIME: Duration = Duration::from_secs(600);
/// For how long a peer that has let a chunk time out is asked last, unless it proves better. It doubles if
/// the peer times out again.
const SUSPICION_TIME: Duration = Duration::from_secs(60);
/// How often it doubles.
const MAX_SUSPICIONS: u32 = 4;
/// All answers in time.
const FULL_HEALTH: u32 = 1 << 16;
/// Below it a peer is suspect.
const SICK: u32 = FULL_HEALTH / 2;
/// From here on it is no longer.
const SOUND: u32 = FULL_HEALTH / 4 * 3;

/// Numbers the connections of peers, from 1. A peer that comes again is another one.
pub(super) type PeerKey = u64;

/// A chunk that a peer has been asked for and has not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) id: ArtifactId,
    pub(super) chunk: u32,
    /// For which attempt. That may be over, or have the chunk from another peer.
    pub(super) attempt: AttemptId,
    /// When it was asked, or when the peer answered last something asked before.
    pub(super) silent_since: Duration,
    /// Whether it is late.
    pub(super) late: bool,
    /// How many bytes have been taken for it from what may come twice, to ask a second peer.
    pub(super) doubled: u64,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: NodeId,
    /// What it advertises and this replica lacks, each with its place in the queue if it waits there.
    pub(super) adverts: BTreeMap<ArtifactId, Option<Place>>,
    /// What waits for this peer's turn, in order.
    pub(super) queue: BTreeMap<Place, ArtifactId>,
    /// Whether it is in the ring of those whose turn comes.
    pub(super) listed: bool,
    /// It has no turn before.
    pub(super) turns_from: Duration,
    /// In the order of asking.
    pub(super) requests: BTreeMap<u64, Request>,
    /// The same by chunk.
    pub(super) asked: BTreeMap<(ArtifactId, u32), u64>,
    /// What has timed out, oldest first.
    late: VecDeque<(ArtifactId, u32, AttemptId)>,
    pub(super) pace: Pace,
    /// How many chunks may be outstanding now. A time-out halves it, as does an answer that was dropped here, so that a
    /// peer is asked for no more than it can deliver and we can take in time. What it delivers makes it grow again.
    window: usize,
    delivered: usize,
    health: u32,
    suspicions: u32,
    /// It does not answer in time, or not often enough.
    silent_until: Duration,
    /// It has lied about something.
    liar_until: Duration,
    /// It is asked nothing before.
    pub(super) rest_until: Duration,
    /// What it has lied about, until when that counts.
    blamed: BTreeMap<ArtifactId, Duration>,
    /// What of its has been reported to the operator.
    reported: BTreeSet<ArtifactId>,
    /// Whether an advert has been refused for want of capacity since it was last asked for all.
    pub(super) refused: bool,
    pub(super) asked_at: Duration,
    pub(super) ask_at: Duration,
    /// When its timer is due.
    pub(super) wake_at: Option<Duration>,
    /// From which attempt on it is looked for something to ask, if there is nothing among the oldest.
    pub(super) cursor: AttemptId,
}

impl Peer {
    pub(super) fn new(name: NodeId, window: usize, now: Duration) -> Self {
        Self {
            name,
            adverts: BTreeMap::new(),
            queue: BTreeMap::new(),
            listed: false,
            turns_from: Duration::ZERO,
            requests: BTreeMap::new(),
            asked: BTreeMap::new(),
            late: VecDeque::new(),
            pace: Pace::default(),
            window,
            delivered: 0,
            health: FULL_HEALTH,
            suspicions: 0,
            silent_until: Duration::ZERO,
            liar_until: Duration::ZERO,
            rest_until: Duration::ZERO,
            blamed: BTreeMap::new(),
            reported: BTreeSet::new(),
            refused: false,
            asked_at: now,
            ask_at: now,
            wake_at: None,
            cursor: 0,
        }
    }

    /// Whether more chunks may be asked of it, once its rest is over.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.len() < self.window.min(self.pace.depth())
    }

    /// Whether more chunks may be asked of it now.
    pub(super) fn has_room(&self, now: Duration) -> bool {
        now >= self.rest_until && self.is_idle()
    }

    /// Until when it is to be asked last: it may not answer, or not answer rightly.
    pub(super) fn suspect_until(&self) -> Duration {
        self.silent_until.max(self.liar_until)
    }

    /// It is asked for a chunk. An older question for the same is forgotten: one answer serves both.
    pub(super) fn ask(&mut self, number: u64, request: Request) {
        if let Some(before) = self.asked.insert((request.id, request.chunk), number) {
            self.requests.remove(&before);
        }
        self.requests.insert(number, request);
    }

    /// It has answered, or is waited for no longer.
    pub(super) fn forget(&mut self, number: u64) -> Option<Request> {
        let request = self.requests.remove(&number)?;
        self.asked.remove(&(request.id, request.chunk));
        Some(request)
    }

    /// It has answered this: what was asked later need not have been answered before.
    pub(super) fn answer(&mut self, number: u64, now: Duration) -> Option<Request> {
        let request = self.forget(number)?;
        self.pace.answered(now.saturating_sub(request.silent_since));
        for (_, later) in self.requests.range_mut(number..) {
            later.silent_since = now;
        }
        Some(request)
    }

    /// Whether it is late with a chunk that it has been asked for.
    pub(super) fn is_late_with(&self, id: ArtifactId, chunk: u32) -> bool {
        self.asked.get(&(id, chunk)).is_some_and(|number| self.requests[number].late)
    }

    /// Remembers what has timed out.
    pub(super) fn remember_late(&mut self, request: Request) {
        if self.late.len() >= MAX_LATE {
            self.late.pop_front();
        }
        self.late.push_back((request.id, request.chunk, request.attempt));
    }

    /// For which attempt it had been asked for a chunk that has timed out; it is forgotten.
    pub(super) fn take_late(&mut self, id: ArtifactId, chunk: u32) -> Option<AttemptId> {
        let at = self.late.iter().rposition(|late| (late.0, late.1) == (id, chunk))?;
        self.late.remove(at).map(|(_, _, attempt)| attempt)
    }

    /// Half as much may be asked of it at once; false if it was one chunk already.
    pub(super) fn shrink_window(&mut self) -> bool {
        let could_shrink = self.window > 1;
        self.window = (self.window / 2).max(1);
        self.delivered = 0;
        could_shrink
    }

    /// It has let so many chunks time out. Many that time out together say no more than one about how
    /// much may be asked of it.
    pub(super) fn time_out(&mut self, count: usize, now: Duration) {
        self.shrink_window();
        self.pace.timed_out();
        for _ in 0..count.min(32) {
            self.health -= self.health / 8;
        }
        self.health = self.health.min(SICK);
        self.silent_until = now + SUSPICION_TIME * (1 << self.suspicions);
        self.suspicions = (self.suspicions + 1).min(MAX_SUSPICIONS);
    }

    /// Another peer was faster, although asked later.
    pub(super) fn miss(&mut self, now: Duration) {
        self.health -= self.health / 8;
        if self.health < SICK {
            self.silent_until = self.silent_until.max(now + SUSPICION_TIME);
        }
    }

    /// It has delivered a chunk.
    pub(super) fn hit(&mut self, max_window: usize) {
        self.health += (FULL_HEALTH - self.health) / 8;
        if self.health >= SOUND {
            self.silent_until = Duration::ZERO;
            self.suspicions = 0;
        }
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

    /// Whether nothing has been reported yet of what it does with this artifact.
    pub(super) fn is_news(&mut self, id: ArtifactId) -> bool {
        self.reported.len() < MAX_BLAMES && self.reported.insert(id)
    }

    /// Puts an advertised artifact into the queue, unless it waits already.
    pub(super) fn enqueue(&mut self, id: ArtifactId, place: Place) {
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
