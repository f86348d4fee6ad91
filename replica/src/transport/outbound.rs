//! From `send` to a connection's writers: one bounded queue per peer and flow.
//!
//! The list of peers is published whole when it changes, so looking one up takes no lock; a connection
//! hangs its queues into its peer's [`Link`] and takes them out when it ends. A queue is bounded in frames
//! and in bytes by [`queue_limit`], and the bytes count until QUIC has taken them. What is queued when
//! a connection ends is lost, and counted.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use gossip_engine::{FlowType, GossipMessage, NodeId, wire};
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
};

use super::{
    counters::Counters,
    frame::STREAM_FLOWS,
    limits::{QueueLimit, queue_limit},
};
use crate::outbox::{Outbox, SendError};

/// The most frames that a writer takes off its queue at once.
const BATCH_FRAMES: usize = 64;

/// What `send` reaches: the peers that are listed now.
#[derive(Debug)]
pub(super) struct Links {
    peers: ArcSwap<HashMap<NodeId, Arc<Link>>>,
    counters: Arc<Counters>,
}

impl Links {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { peers: ArcSwap::default(), counters }
    }

    /// These peers and no others, from now on.
    pub(super) fn publish(&self, peers: HashMap<NodeId, Arc<Link>>) {
        self.peers.store(Arc::new(peers));
    }

    fn queue(
        &self,
        peer: NodeId,
        flow: FlowType,
        message: &GossipMessage,
    ) -> Result<(), SendError> {
        let not_connected = SendError::NotConnected(peer);
        let peers = self.peers.load();
        let link = peers.get(&peer).ok_or(not_connected)?;
        let queues = link.queues.load();
        queues.as_ref().ok_or(not_connected)?.push(peer, flow, wire::encode(message))
    }
}

impl Outbox for Links {
    fn send(&self, peer: NodeId, message: GossipMessage) -> Result<(), SendError> {
        let flow = message.flow();
        let cells = self.counters.flow(flow);
        self.queue(peer, flow, &message).inspect_err(|error| match error {
            SendError::NotConnected(_) => cells.not_connected.increment(),
            SendError::Full { .. } => cells.full.increment(),
            SendError::TooLarge { .. } => cells.too_large.increment(),
        })
    }

    fn has_capacity(&self, peer: NodeId, flow: FlowType, bytes: usize) -> bool {
        let peers = self.peers.load();
        let Some(link) = peers.get(&peer) else { return false };
        let queues = link.queues.load();
        queues.as_ref().is_some_and(|queues| queues.has_capacity(flow, bytes))
    }
}

/// Where the connection of one peer hangs its queues.
#[derive(Debug, Default)]
pub(super) struct Link {
    queues: ArcSwapOption<Queues>,
}

impl Link {
    /// Lets `send` reach the queues, until the guard is dropped.
    pub(super) fn connect(self: &Arc<Self>, queues: Queues) -> Connected {
        self.queues.store(Some(Arc::new(queues)));
        Connected(self.clone())
    }
}

/// While it lives, `send` reaches the queues of a connection. A guard, so that it ends with the
/// connection's task however that ends.
#[derive(Debug)]
pub(super) struct Connected(Arc<Link>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.queues.store(None);
    }
}

/// The sending ends of a connection's queues, in the order of [`STREAM_FLOWS`].
#[derive(Debug)]
pub(super) struct Queues([Sender; STREAM_FLOWS.len()]);

/// A queue per flow: the sending ends, and the other ends for the writers.
pub(super) fn queues(counters: &Arc<Counters>) -> (Queues, Vec<Queue>) {
    let mut receivers = Vec::with_capacity(STREAM_FLOWS.len());
    let senders = STREAM_FLOWS.map(|flow| {
        let (sender, receiver) = queue(flow, queue_limit(flow), counters.clone());
        receivers.push(receiver);
        sender
    });
    (Queues(senders), receivers)
}

impl Queues {
    /// What has been queued in a flow and is not yet with QUIC.
    ///
    /// # Panics
    ///
    /// For the Transport flow, which has no queue.
    pub(super) fn backlog(&self, flow: FlowType) -> Arc<Backlog> {
        let sender = self.0.iter().find(|sender| sender.flow == flow);
        sender.expect("a flow with a stream").backlog.clone()
    }

    fn push(&self, peer: NodeId, flow: FlowType, payload: Bytes) -> Result<(), SendError> {
        let sender = self.0.iter().find(|sender| sender.flow == flow);
        sender.ok_or(SendError::NotConnected(peer))?.push(peer, payload)
    }

    fn has_capacity(&self, flow: FlowType, bytes: usize) -> bool {
        self.0.iter().any(|sender| sender.flow == flow && sender.has_capacity(bytes))
    }
}

/// What QUIC has not yet taken of a queue.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    taken: Notify,
}

impl Backlog {
    fn add(&self, bytes: usize, max_bytes: usize) -> bool {
        // Relaxed, here and below: the numbers bound memory and publish nothing; the channel publishes the
        // frame.
        let reserved = self.bytes.fetch_update(Relaxed, Relaxed, |sum| {
            sum.checked_add(bytes).filter(|sum| *sum <= max_bytes)
        });
        let reserved = reserved.is_ok();
        self.frames.fetch_add(usize::from(reserved), Relaxed);
        reserved
    }

    fn remove(&self, frames: usize, bytes: usize) {
        self.frames.fetch_sub(frames, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
        self.taken.notify_one();
    }

    pub(super) fn is_over(&self, mark: QueueLimit) -> bool {
        self.frames.load(Relaxed) > mark.frames || self.bytes.load(Relaxed) > mark.bytes
    }

    /// Waits until it is not over the mark; one may wait at a time.
    pub(super) async fn until_within(&self, mark: QueueLimit) {
        while self.is_over(mark) {
            // A permit is kept from what was taken since the look, so no change is missed.
            self.taken.notified().await;
        }
    }
}

#[derive(Debug)]
struct Sender {
    flow: FlowType,
    frames: mpsc::Sender<Bytes>,
    backlog: Arc<Backlog>,
    max_bytes: usize,
}

fn queue(flow: FlowType, limit: QueueLimit, counters: Arc<Counters>) -> (Sender, Queue) {
    let (sender, frames) = mpsc::channel(limit.frames);
    let backlog = Arc::new(Backlog::default());
    let sender = Sender { flow, frames: sender, backlog: backlog.clone(), max_bytes: limit.bytes };
    (sender, Queue { flow, frames, backlog, taken: Vec::new(), counters })
}

impl Sender {
    fn has_capacity(&self, bytes: usize) -> bool {
        // Relaxed: as in `push`; the answer is a guess in any case.
        let queued = self.backlog.bytes.load(Relaxed);
        self.frames.capacity() > 0
            && queued.checked_add(bytes).is_some_and(|sum| sum <= self.max_bytes)
    }

    fn push(&self, peer: NodeId, payload: Bytes) -> Result<(), SendError> {
        let (flow, length) = (self.flow, payload.len());
        let limit = wire::max_payload_bytes(flow);
        if length > limit {
            return Err(SendError::TooLarge { flow, length, limit });
        }
        if !self.backlog.add(length, self.max_bytes) {
            return Err(SendError::Full { peer, flow });
        }
        self.frames.try_send(payload).map_err(|error| {
            self.backlog.remove(1, length);
            match error {
                TrySendError::Full(_) => SendError::Full { peer, flow },
                TrySendError::Closed(_) => SendError::NotConnected(peer),
            }
        })
    }
}

/// The writer's end of a flow's queue.
#[derive(Debug)]
pub(super) struct Queue {
    flow: FlowType,
    frames: mpsc::Receiver<Bytes>,
    backlog: Arc<Backlog>,
    /// Taken off the queue and not yet written.
    taken: Vec<Bytes>,
    counters: Arc<Counters>,
}

impl Queue {
    pub(super) fn flow(&self) -> FlowType {
        self.flow
    }

    /// Waits for frames and takes some; empty when no more can come.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken before it is done.
    pub(super) async fn take(&mut self) -> &[Bytes] {
        self.frames.recv_many(&mut self.taken, BATCH_FRAMES).await;
        &self.taken
    }

    /// What was taken is with QUIC now.
    pub(super) fn written(&mut self) {
        let bytes = self.taken.iter().map(Bytes::len).sum();
        let cells = self.counters.flow(self.flow);
        cells.frames_out.add(self.taken.len());
        cells.bytes_out.add(bytes);
        self.backlog.remove(self.taken.len(), bytes);
        self.taken.clear();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Closed first: a sender that still holds the queue is told so, and nothing comes after the
        // count.
        self.frames.close();
        let mut lost = self.taken.len();
        while self.frames.try_recv().is_ok() {
            lost += 1;
        }
        self.counters.flow(self.flow).lost.add(lost);
    }
}

#[cfg(test)]
mod tests;
