//! What the victims have counted, all together: in the flows and in the protocol.

use gossip_engine::FlowType;
use gossip_replica::{gossip::GossipSnapshot, replica::Replica, transport::frame::STREAM_FLOWS};

pub(crate) const FLOWS: [FlowType; 4] = STREAM_FLOWS;

type Field = fn(&GossipSnapshot) -> u64;

/// What the protocol turns down, by the names of its counters.
pub(crate) const PROTOCOL: [(&str, Field); 5] = [
    ("adverts_refused", |snapshot| snapshot.fetched.adverts_refused),
    ("chunks_unsolicited", |snapshot| snapshot.fetched.chunks_unsolicited),
    ("chunks_unsent", |snapshot| snapshot.served.chunks_unsent),
    ("adverts_unsent", |snapshot| snapshot.served.adverts_unsent),
    ("retransmissions_deferred", |snapshot| snapshot.served.retransmissions_deferred),
];

/// What has been counted in a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OfFlow {
    /// Frames that the engine took.
    pub(crate) frames: u64,
    /// Messages among them that found no capacity at first.
    pub(crate) waited: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// In the order of [`FLOWS`].
    pub(crate) flows: [OfFlow; FLOWS.len()],
    /// In the order of [`PROTOCOL`].
    pub(crate) protocol: [u64; PROTOCOL.len()],
}

impl Counts {
    /// Since the replicas were started.
    pub(crate) fn of(replicas: &[Replica]) -> Self {
        let mut counts = Self::default();
        for replica in replicas {
            let (transport, engine) = (replica.transport_counters(), replica.metrics());
            for (flow, sum) in FLOWS.iter().zip(&mut counts.flows) {
                sum.frames += transport.flow(*flow).frames_in;
                sum.waited += engine.flow(*flow).waiting_for_peer_permit;
            }
            let snapshot = replica.gossip().snapshot();
            for ((_, field), sum) in PROTOCOL.iter().zip(&mut counts.protocol) {
                *sum += field(&snapshot);
            }
        }
        counts
    }

    /// What has come on top of `earlier`.
    pub(crate) fn since(mut self, earlier: &Self) -> Self {
        for (flow, earlier) in self.flows.iter_mut().zip(&earlier.flows) {
            flow.frames -= earlier.frames;
            flow.waited -= earlier.waited;
        }
        for (count, earlier) in self.protocol.iter_mut().zip(&earlier.protocol) {
            *count -= earlier;
        }
        self
    }

    pub(crate) fn frames(&self) -> u64 {
        self.flows.iter().map(|flow| flow.frames).sum()
    }
}
