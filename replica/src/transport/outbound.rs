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
use tokio::sync::mpsc::{self, error::TrySendError};

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
    fn push(&self, peer: NodeId, flow: FlowType, payload: Bytes) -> Result<(), SendError> {
        let sender = self.0.iter().find(|sender| sender.flow == flow);
        sender.ok_or(SendError::NotConnected(peer))?.push(peer, payload)
    }

    fn has_capacity(&self, flow: FlowType, bytes: usize) -> bool {
        self.0.iter().any(|sender| sender.flow == flow && sender.has_capacity(bytes))
    }
}

#[derive(Debug)]
struct Sender {
    flow: FlowType,
    frames: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

fn queue(flow: FlowType, limit: QueueLimit, counters: Arc<Counters>) -> (Sender, Queue) {
    let (sender, frames) = mpsc::channel(limit.frames);
    let bytes = Arc::new(AtomicUsize::new(0));
    let sender = Sender { flow, frames: sender, bytes: bytes.clone(), max_bytes: limit.bytes };
    (sender, Queue { flow, frames, bytes, taken: Vec::new(), counters })
}

impl Sender {
    fn has_capacity(&self, bytes: usize) -> bool {
        // Relaxed: as in `push`; the answer is a guess in any case.
        let queued = self.bytes.load(Relaxed);
        self.frames.capacity() > 0
            && queued.checked_add(bytes).is_some_and(|sum| sum <= self.max_bytes)
    }

    fn push(&self, peer: NodeId, payload: Bytes) -> Result<(), SendError> {
        let (flow, length) = (self.flow, payload.len());
        let limit = wire::max_payload_bytes(flow);
        if length > limit {
            return Err(SendError::TooLarge { flow, length, limit });
        }
        // Relaxed: the number bounds memory and publishes nothing; the channel publishes the frame.
        let reserved = self.bytes.fetch_update(Relaxed, Relaxed, |bytes| {
            bytes.checked_add(length).filter(|sum| *sum <= self.max_bytes)
        });
        if reserved.is_err() {
            return Err(SendError::Full { peer, flow });
        }
        self.frames.try_send(payload).map_err(|error| {
            self.bytes.fetch_sub(length, Relaxed);
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
    bytes: Arc<AtomicUsize>,
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
        // Relaxed: see `Sender::push`.
        self.bytes.fetch_sub(bytes, Relaxed);
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
