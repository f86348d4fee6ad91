//! One direction of a connection: what is queued in it, and the order of its streams.

use std::collections::VecDeque;

use gossip_engine::{FlowType, GossipMessage};

use super::random::{Random, mix};
use crate::transport::{frame::STREAM_FLOWS, limits::queue_limit};

/// What of a message one packet carries, in bytes.
const PACKET_BYTES: u64 = 1_200;
/// How often the packets of a message are lost again before they are let through.
const MAX_LOSSES: usize = 32;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Link {
    /// The number of the connection, if the sender has one.
    pub(super) connection: Option<u64>,
    /// In nanoseconds.
    pub(super) latency: u64,
    /// Whether it is among the turns of the uplink.
    pub(super) listed: bool,
    small: VecDeque<(u64, GossipMessage)>,
    chunks: VecDeque<(u64, GossipMessage)>,
    queues: [Queue; STREAM_FLOWS.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    frames: usize,
    bytes: u64,
    /// When what was sent last in this stream arrives, in nanoseconds.
    arrives: u64,
}

/// What sending a message takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// What passes the uplink, in bytes.
    pub(super) bytes: u64,
    /// How much later it comes because packets were lost, in nanoseconds.
    pub(super) delay: u64,
}

impl Link {
    pub(super) fn new(latency: u64) -> Self {
        Self {
            connection: None,
            latency,
            listed: false,
            small: VecDeque::new(),
            chunks: VecDeque::new(),
            queues: Default::default(),
        }
    }

    /// From now on on this connection, or none. What was queued is gone.
    pub(super) fn reset(&mut self, connection: Option<u64>) {
        let Self { latency, listed, .. } = *self;
        *self = Self { connection, listed, ..Self::new(latency) };
    }

    pub(super) fn has_capacity(&self, flow: FlowType, bytes: u64) -> bool {
        let (queue, limit) = (self.queues[index(flow)], queue_limit(flow));
        queue.frames < limit.frames && queue.bytes + bytes <= limit.bytes as u64
    }

    pub(super) fn push(&mut self, bytes: u64, message: GossipMessage) {
        let queue = &mut self.queues[index(message.flow())];
        queue.frames += 1;
        queue.bytes += bytes;
        match message {
            GossipMessage::Chunk(_) => self.chunks.push_back((bytes, message)),
            _ => self.small.push_back((bytes, message)),
        }
    }

    /// What is sent next.
    pub(super) fn pop(&mut self) -> Option<(u64, GossipMessage)> {
        let (bytes, message) = self.small.pop_front().or_else(|| self.chunks.pop_front())?;
        let queue = &mut self.queues[index(message.flow())];
        queue.frames -= 1;
        queue.bytes -= bytes;
        Some((bytes, message))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.chunks.is_empty()
    }

    /// When something arrives that would without its stream: not before what was sent earlier.
    pub(super) fn in_order(&mut self, flow: FlowType, at: u64) -> u64 {
        let queue = &mut self.queues[index(flow)];
        queue.arrives = queue.arrives.max(at);
        queue.arrives
    }

    /// What it costs to send so many bytes where this part of 2^64 packets is lost.
    pub(super) fn cost(&self, bytes: u64, loss: u64, random: &mut Random) -> Cost {
        let mut cost = Cost { bytes, delay: 0 };
        if loss == 0 {
            return cost;
        }
        let mut lost = random.hits(bytes.div_ceil(PACKET_BYTES), loss);
        for _ in 0..MAX_LOSSES {
            if lost == 0 {
                break;
            }
            cost.bytes += lost * PACKET_BYTES.min(bytes);
            cost.delay += 3 * self.latency;
            lost = random.hits(lost, loss);
        }
        cost
    }
}

/// The latency between two, in nanoseconds from `least` to `most`, the same in both directions.
pub(super) fn latency(seed: u64, a: u32, b: u32, least: u64, most: u64) -> u64 {
    let pair = u64::from(a.min(b)) << 32 | u64::from(a.max(b));
    least + mix(mix(seed ^ 0x1a7e) ^ mix(pair)) % (most - least + 1)
}

fn index(flow: FlowType) -> usize {
    STREAM_FLOWS.iter().position(|known| *known == flow).expect("a message has a stream")
}
