//! Peers that go and come: their lanes end, and what they had queued does not start.
//!
//! # Why nothing of a peer that has gone starts
//!
//! A worker says whose lane it serves, fences, and then looks before each message whether the lane is
//! cancelled. Whoever cancels a lane marks it, fences, and then looks which workers serve it. The fences are
//! sequentially consistent:
//!
//! - If the worker's comes first, whoever cancels sees the worker at the lane, and may wait until the
//!   message that it may be running has ended. When that has ended, the worker fences again; the mark was
//!   set before the wait began, so its next look finds it.
//! - If the canceller's comes first, the worker's look finds the mark.
//!
//! A message of a peer that has gone keeps its room until it is taken out of the queue. Should workers not come
//! to it, whoever needs room [sweeps](Core::sweep), and so does whoever leaves something to sweep while others wait
//! for the flow's room, so that peers that come and go take no room from others.
//!
//! So [`outlast`](Connected::outlast), which is called between the cancelling and the replica's `on_peer_down`,
//! leaves nothing of the peer running and nothing to start. It does not wait for long: a handler that has
//! not ended by [`PATIENCE`] began before, and goes on beside `on_peer_down`.

use std::{sync::Arc, time::Duration};

use super::{
    core::{Core, Handle},
    pool::Spawn,
    welcome::Connected,
};
use crate::{
    NodeId, Outcome,
    clock::{Moment, yield_now},
    metrics::WorkerMetrics,
    sync::{Ordering, fence},
};

/// How long, over all flows, the replica's `on_peer_down` waits for handlers of messages of that peer to end: long beside
/// what a handler should take, short beside what a stuck one does.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// How long one lets others run before one looks again.
const PAUSE: Duration = Duration::from_micros(50);

/// How many messages of peers that have gone whoever needs room takes out at once.
const SWEEP: usize = 64;

/// How often one only yields before that.
const YIELDS: usize = 64;

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// The peer's lane goes when it is unused; what is in it still runs. Of what was lost in it nobody is
    /// told any more.
    pub(super) fn forget(&self, peer: NodeId) {
        if let Some(lane) = self.peers.find(peer).lane() {
            // The mark first: whoever makes the lane unused after the attempt below finds it.
            lane.forget();
            self.peers.retire(lane);
        }
    }

    /// The peer has gone: what it has queued does not start, and those who wait are refused.
    pub(super) fn cancel(self: &Arc<Self>, peer: NodeId) {
        let Some(lane) = self.peers.cancel(peer) else { return };
        // SeqCst, in it: see the head of this room; and part of the proof in `settle`.
        self.settle(&lane);
        if !lane.queue.is_empty() {
            // For the workers to empty it, which they may not have begun to.
            self.cancelled.insert(lane.seat);
            self.list(&lane);
            if self.admission.is_starved() {
                self.sweep();
            }
        }
        self.peers.retire(&lane);
    }

    /// Takes messages of peers that have gone out of their queues, so that what nobody will run does not keep
    /// out what somebody would; true if there were any. Workers do so in their turn, unless all of them
    /// are busy with something else.
    pub(super) fn sweep(self: &Arc<Self>) -> bool {
        let mut swept = 0;
        while swept < SWEEP
            && let Some(seat) = self.cancelled.next(0)
        {
            let lane = self.peers.at(seat).filter(|lane| lane.is_cancelled());
            match lane.as_ref().and_then(|lane| lane.queue.pop()) {
                Some(brought) => {
                    swept += 1;
                    let lane = lane.expect("a message was in it");
                    self.discard(&lane, brought, Outcome::Cancelled);
                }
                // Should another lane have the seat by now, its messages are the workers'.
                None => {
                    self.cancelled.remove(seat);
                    // SeqCst: pairs with that in `list`, after which whoever has pushed puts the lane in.
                    fence(Ordering::SeqCst);
                    if lane.is_some_and(|lane| !lane.queue.is_empty()) {
                        self.cancelled.insert(seat);
                    }
                }
            }
        }
        swept > 0
    }

    fn serves_cancelled(&self, worker: &WorkerMetrics, peer: NodeId) -> bool {
        let lane = worker.seat().and_then(|seat| self.peers.at(seat));
        lane.is_some_and(|lane| lane.peer == peer && lane.is_cancelled())
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Connected for Core<M, H, S> {
    fn release(self: Arc<Self>, peer: NodeId) {
        let part = self.peers.find(peer);
        let Some(lane) = part.lane() else { return };
        if !lane.queue.is_empty() {
            self.list(lane);
        }
        // It has all of its quota now.
        lane.bound(&self.live.load_full().config, self.peers.slots());
        self.settle(lane);
    }

    fn outlast(&self, peer: NodeId, patience: Moment) {
        // SeqCst: see the head of this room.
        fence(Ordering::SeqCst);
        for worker in &self.metrics.workers {
            let finished = worker.count_finished();
            let mut looks = 0;
            while worker.count_finished() == finished
                && self.serves_cancelled(worker, peer)
                && Moment::now() < patience
            {
                looks += 1;
                if looks < YIELDS { yield_now() } else { Moment::sleep(PAUSE) }
            }
        }
    }
}
