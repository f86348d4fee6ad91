//! Dispatches gossip messages from a replica's network transport to its gossip protocol: bounded per
//! flow, never blocking, nothing lost in silence.
//!
//! A replica's transport hands every event to this engine: payloads from peers, some of them
//! malicious, and peers that come and go. The engine decodes the payloads, sorts the messages into
//! *flows* by their type, bounds each flow, and runs the replica's [`Gossip`] callbacks on threads of
//! the flow's own. It has no network, no async runtime and no unsafe code of its own.
//!
//! # The parts
//!
//! | | |
//! |---|---|
//! | [`Gossip`] | what a replica implements: the callbacks |
//! | [`AsyncTransportEventHandlerImpl`] | the face to the transport, a `tower` service |
//! | [`FlowWorker`] | one flow: its bound, its threads, its counters |
//! | [`ChannelConfig`] | how large and how wide each flow is |
//! | [`AdvertBroadcaster`] | what the replica's own side calls to announce an artifact |
//! | [`P2PThreadJoiner`] | the clock that calls `on_gossip_timer` |
//! | [`MetricsRegistry`] | what is counted, readable while messages flow |
//! | [`wire`] | the built-in messages as protobuf |
//! | [`Codec`] | for message types of a replica's own |
//!
//! # Example
//!
//! A replica that counts the adverts it is told of, and a transport that brings one:
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! use std::time::Duration;
//! use gossip_engine::{
//!     ArtifactDestination, ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl,
//!     ChannelConfig, FlowType, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest,
//!     GossipMessage, IntegrityHash, MetricsRegistry, NodeId, TransportEvent, TransportMessage, wire,
//! };
//! use tower_service::Service;
//!
//! #[derive(Default)]
//! struct Replica {
//!     adverts: AtomicU64,
//! }
//!
//! impl Gossip for Replica {
//!     type GossipAdvert = GossipAdvert;
//!     type GossipChunkRequest = GossipChunkRequest;
//!     type GossipChunk = GossipChunk;
//!     type GossipRetransmissionRequest = ArtifactFilter;
//!
//!     fn on_gossip_advert(&self, advert: GossipAdvert, peer: NodeId) {
//!         println!("{peer} holds {} of {} bytes", advert.artifact_id, advert.size);
//!         self.adverts.fetch_add(1, Ordering::Relaxed);
//!     }
//!     fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
//!     fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
//!     fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
//!     fn on_peer_up(&self, _: NodeId) {}
//!     fn on_peer_down(&self, _: NodeId) {}
//!     fn on_gossip_timer(&self) {}
//!     fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let replica = Arc::new(Replica::default());
//! let registry = MetricsRegistry::new();
//! let own_id = NodeId::new([0; 32]);
//! let mut handler = AsyncTransportEventHandlerImpl::new(
//!     own_id,
//!     &registry,
//!     ChannelConfig::default(),
//!     Arc::clone(&replica),
//! )?;
//!
//! // What the transport does for each payload that it reads from a peer's stream:
//! let payload = wire::encode(&GossipMessage::Advert(GossipAdvert {
//!     artifact_id: ArtifactId::new([1; 32]),
//!     size: 4096,
//!     integrity_hash: IntegrityHash::new([2; 32]),
//!     attributes: Default::default(),
//! }));
//! let message = TransportMessage { peer_id: NodeId::new([7; 32]), payload };
//! # futures_executor::block_on(async {
//! handler.call(TransportEvent::Message(message)).await
//! # })?;
//!
//! let report = handler.shutdown(Duration::from_secs(60));
//! assert!(report.is_clean());
//! assert_eq!(replica.adverts.load(Ordering::Relaxed), 1);
//! assert_eq!(registry.snapshot().flow(FlowType::Advert).handled, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # How a message goes
//!
//! 1. [`call`](AsyncTransportEventHandlerImpl#method.call) decodes the payload, within limits that
//!    are known before anything is allocated; the bytes of a chunk are not copied.
//! 2. The message takes one of its flow's permits. If there is none, the future of the call waits,
//!    in order of arrival; the transport, which awaits it before it reads on, pushes back on the peer.
//! 3. The message is queued, and a worker is woken if one is missing. Workers are drain jobs on the
//!    flow's rayon pool: one runs messages until the queue is empty, so that under load a message
//!    costs neither an allocation nor a wake-up.
//! 4. The callback runs. Whatever becomes of it, the permit comes back afterwards, and who waits
//!    longest gets it.
//!
//! # What it promises
//!
//! - **Bounded.** A flow never has more messages in flight than configured. Every queue, frame, map
//!   and wait has a limit, and [`ChannelConfig::worst_case_bytes`] adds them up.
//! - **Flows do not meet.** Each has a bound, a queue and threads of its own: one whose handlers are
//!   all stuck delays no other.
//! - **Nothing is lost in silence.** Each event ends as exactly one of malformed, refused, given up by
//!   its caller, handled, panicked or dropped at shutdown, and each has a counter
//!   ([`MetricsSnapshot`] says how they add up).
//! - **No message rests while a worker is free**, and no submitter waits while there is room. Both
//!   protocols are argued beside their code and explored by loom.
//! - **Cancel safe.** The future of a call may be dropped at any moment; it leaks no permit and loses
//!   no wake-up.
//! - **Panics stay where they are.** A callback that panics is caught, counted and logged at most once
//!   a second; its permit comes back and its worker lives on.
//! - **Nothing starts after a shutdown has returned**, apart from what its report names as running.
//! - **Order.** Peers come and go in the order of the calls, if each call is awaited before the next
//!   one of that peer. Adverts are broadcast in the order in which they were sent. Messages of other
//!   flows run in no particular order, unless the flow has one thread.
//!
//! # What it does not promise
//!
//! - **Fairness between peers within a flow.** Permits go to callers in order of arrival. A transport
//!   that has one call pending per peer and flow, as it should, gives each peer that waits its turn;
//!   a peer whose transport offers many at once gets more turns.
//! - **Textbook lock-freedom.** There is no mutex, no condition variable and no spinning lock on the
//!   message path. But a thread that is preempted between reserving a slot of a queue and filling it,
//!   or while it serves those who wait, delays its own flow until it runs again. It never delays
//!   another flow.
//! - **Delivery.** Admitted means that the callback will run, unless the flow is shut down first. What a
//!   peer missed is for the protocol to ask for again.
//! - **Bounds in bytes.** Limits count messages; the worst case is their number times the largest
//!   message of the flow.
//!
//! # Limits
//!
//! | what | limit | set by |
//! |---|---|---|
//! | messages in flight, per flow | 100 000, 100, 100, 1 000, 1 000 | [`FlowConfig::with_max_inflight_requests`], up to [`MAX_INFLIGHT_REQUESTS`] |
//! | threads per flow | [`P2P_PER_FLOW_THREADS`] | [`FlowConfig::with_threads`], up to [`MAX_THREADS_PER_FLOW`] |
//! | submitters that wait, per flow | [`DEFAULT_WAITERS`] | [`FlowConfig::with_max_waiters`], up to [`MAX_WAITERS`] |
//! | own adverts on their way out | [`MAX_ADVERT_BUFFER`] | [`AdvertBroadcaster::with_max_inflight`] |
//! | bytes of a payload, by type | [`wire::max_payload_bytes`] | fixed |
//! | a recorded duration | [`MAX_RECORDED`] | fixed |
//! | log lines about panics, per flow | 1 a second | fixed |
//!
//! # Performance
//!
//! A message costs two readings of the clock, a few atomic operations on its flow's permits and queue,
//! and a handful of counters. The engine allocates nothing for a message that finds room and a worker
//! at work; waking a worker allocates rayon's job, and a submitter that waits its place in the line.
//! Idle flows cost no processor time: a drain job that finds nothing ends, and rayon puts its thread
//! to sleep.

mod advert_broadcaster;
mod codec;
mod config;
mod event;
mod event_handler;
mod flow;
mod flow_worker;
mod gossip;
mod latency;
mod lifecycle;
mod log_limit;
mod message;
mod metrics;
mod sync;
mod timer;
pub mod wire;

pub use advert_broadcaster::{AdvertBroadcaster, AdvertDropped, DropReason, MAX_ADVERT_BUFFER};
pub use codec::{Codec, MessageOf, WireCodec};
pub use config::{
    ChannelConfig, ConfigError, DEFAULT_WAITERS, FlowConfig, MAX_INFLIGHT_REQUESTS,
    MAX_THREADS_PER_FLOW, MAX_WAITERS, P2P_PER_FLOW_THREADS,
};
pub use event::{EventError, RefusalReason, TransportEvent, TransportMessage};
pub use event_handler::{AsyncTransportEventHandlerImpl, CallFuture};
pub use flow::FlowType;
pub use flow_worker::{Execute, FlowWorker, MessageHandler, Refused};
pub use gossip::{DynGossip, Gossip, GossipArc};
pub use latency::{LatencySnapshot, MAX_RECORDED};
pub use lifecycle::{BuildError, FlowReport, ShutdownReport};
pub use message::{
    ArtifactDestination, ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk,
    GossipChunkRequest, GossipMessage, IntegrityHash, NodeId, ParseIdError,
};
pub use metrics::{DestinationKind, FlowSnapshot, MetricsRegistry, MetricsSnapshot};
pub use timer::{P2P_TIMER_DURATION_MS, P2PThreadJoiner};

/// Compiles and runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
