//! Dispatches gossip messages from a replica's network transport to its gossip protocol: bounded per
//! flow, no thread of the transport ever blocked for want of room, nothing lost in silence.
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
//! | [`FlowWorker`] | one flow: its bound, a lane for each peer, its threads, its counters |
//! | [`ChannelConfig`] | how large and how wide each flow is |
//! | [`AdvertBroadcaster`] | what the replica's own side calls to announce an artifact |
//! | [`P2PThreadJoiner`] | the timer that calls `on_gossip_timer`, by the Internet Computer's name for it |
//! | [`MetricsRegistry`] | what is counted, readable while messages flow |
//! | [`wire`] | the built-in messages as protobuf |
//! | [`Codec`] | for message types of a replica's own |
//! | [`Outcome`] | how a message can end: the names of all counters |
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
//! assert_eq!(registry.snapshot().flow(FlowType::Advert).handled(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # How a message goes
//!
//! 1. [`call`](AsyncTransportEventHandlerImpl#method.call) decodes the payload, within limits that
//!    are known before anything is allocated; the bytes of a chunk are not copied.
//! 2. The message finds its peer's *lane* in the flow, a bounded queue of its own, and is admitted if
//!    the peer is below its quota and the flow below its bound, in messages and, where that is asked for, in
//!    bytes. If not, the flow's [`OverloadPolicy`] decides. The default is that it waits in the lane's line, in
//!    order of arrival; the transport, which awaits the future of the call before it reads on, pushes
//!    back on the peer. A peer over its quota waits alone.
//! 3. The message is queued, and a worker is woken if none would find it. Workers are drain jobs on the
//!    flow's rayon pool: one takes the lanes in turn and runs their messages until none is left, and
//!    lingers while that pays before it gives up, so that neither a load nor a steady trickle costs an
//!    allocation or a wake-up for each message; only messages that come seldom do.
//! 4. The worker looks at it once more: a message that is [too old](FlowConfig::with_max_age), or whose peer
//!    has gone, does not start. Otherwise the callback runs. Whatever becomes of it, the room comes back
//!    afterwards, and whoever returns it lets in the next that waits: lane by lane in turn.
//!
//! # Trouble
//!
//! | what | what happens | what can be chosen |
//! |---|---|---|
//! | more comes than can be run | senders are held back | [`OverloadPolicy`], [`max_age`](FlowConfig::with_max_age), [`Codel`], [bounds in bytes](FlowConfig::with_max_bytes) |
//! | messages were dropped for that | they are counted, and the replica is told: [`on_messages_dropped`](Gossip::on_messages_dropped) | [how often](ChannelConfig::with_drop_notice_interval) |
//! | a callback panics | it is contained, counted and logged | [`PanicPolicy`] |
//! | a callback of a flow does not end | it is logged and counted ([`stuck`](FlowSnapshot::stuck)), once | [after how long](ChannelConfig::with_stuck_handler_timeout) |
//! | a peer goes | what it had queued ends, then `on_peer_down` | |
//! | a peer comes | what it sends starts after `on_peer_up` has ended | |
//! | the load changes | | [`reconfigure`](AsyncTransportEventHandlerImpl::reconfigure), while messages flow |
//! | the replica changes | | [`replace_gossip`](AsyncTransportEventHandlerImpl::replace_gossip) |
//! | the process ends | what was admitted runs until the deadline, the rest is counted | [`shutdown`](AsyncTransportEventHandlerImpl::shutdown) |
//!
//! # What it promises
//!
//! - **Bounded.** A flow never admits a message beyond its bound, nor beyond its peer's quota; a bound in bytes
//!   may be exceeded by two messages. Every queue,
//!   every line and the number of lanes has a limit;
//!   [`ChannelConfig::worst_case_bytes`] adds up the five flows for the built-in messages. The
//!   broadcaster's queue, stacks and histograms come on top.
//! - **Flows do not meet.** Each has a bound, lanes and threads of its own: one whose handlers are
//!   all stuck delays no other. The two exceptions are on purpose: what a peer sends waits for its own
//!   `on_peer_up`, with at most 4 messages of the peer admitted in each flow meanwhile; and its
//!   `on_peer_down` waits for handlers of its messages that run, for 0.1 s at the most.
//! - **Peers take turns.** Within a flow the lanes with messages are served in turn, each for a
//!   [quantum](FlowConfig::with_quantum), and those who wait are let in one from each lane in turn.
//!   However much one peer sends, another's message that is the first of its lane waits for at most
//!   one turn of each other peer.
//! - **Nothing is lost in silence.** Each event is malformed or comes to exactly one [`Outcome`], each end has a
//!   counter, and [`MetricsSnapshot::verify`] checks that they add up: after panics, cancels, departures,
//!   changes and shutdowns as well.
//! - **No message rests while a worker is free**, unless it is withheld, see above, or the worker lets some
//!   come together, for 5 µs at the most ([`WaitStrategy`]); and no submitter waits while there is room. Both
//!   protocols are argued beside their code (`src/flow_worker/claims.rs`, `src/flow_worker/admission/settle.rs`)
//!   and explored by loom and shuttle.
//! - **Cancel safe.** The future of a call may be dropped at any moment; it leaks no permit and loses
//!   no wake-up. An event that still waits is dropped with it and counted: so a `PeerUp` or `PeerDown` belongs in
//!   no `select` and under no timeout.
//! - **Connections.** When `on_peer_down` starts, nothing that its peer sent before starts any more.
//!   What a peer sends after it has come starts when `on_peer_up` has ended. [`Gossip`] says it precisely, and what
//!   a callback that takes longer than 0.1 s changes of it.
//! - **Panics stay where they are.** A callback that panics is caught, counted and logged at most once
//!   a second; its permit comes back and its worker lives on. So is a message that was admitted, or a replica,
//!   whose `Drop` panics. (The process's panic hook is called for each: see [`PanicPolicy`]. With
//!   `panic = "abort"` a panic ends the process, as everywhere.)
//! - **Nothing starts after a shutdown has returned**, apart from what its report names as running.
//! - **Order.** The messages of a peer are admitted in the order of the calls, and taken up in that
//!   order; with several threads, two that are taken up at the same moment may start in either order.
//!   In the Transport flow, and in others that are [told so](FlowConfig::with_order), each also ends
//!   before the next of the same connection begins. Own adverts are broadcast in the order in which they
//!   were sent.
//!
//! # What it does not promise
//!
//! - **Equal shares of processor time.** Turns are equal in time only as far as messages are short: one
//!   whose handler runs longer than the quantum is a turn of its own.
//! - **Order between flows**, apart from a peer's coming and going. A message that is brought without a
//!   `PeerUp` runs like any other.
//! - **Freshness, unless it is asked for.** A lane is first in, first out: with 100 000 adverts of 0.3 ms
//!   queued by many peers for 3 threads, the last one runs after 10 seconds, or with a maximum age not at
//!   all.
//! - **Textbook lock-freedom.** The engine takes no mutex, condition variable or spinning lock on the
//!   message path; rayon takes a sleeping thread's own when a message has to wake it. A thread that is
//!   preempted between reserving a slot of a queue and filling it, or while it serves those who wait,
//!   delays its own flow until it runs again. It never delays another flow.
//! - **Delivery.** Admitted means that the callback will run, unless the flow is shut down, the peer goes or
//!   a policy drops the message first. What a peer missed is for the protocol to ask for again.
//! - **Bounds in bytes, unless they are set.** Without them the worst case is the number of messages, those that
//!   wait included, times the largest message of the flow: [`ChannelConfig::worst_case_bytes`].
//!
//! # Limits
//!
//! | what | limit | set by |
//! |---|---|---|
//! | messages in flight, per flow | Advert 100 000, Request 100, Chunk 100, Retransmission 1 000, Transport 1 000 | [`FlowConfig::with_max_inflight_requests`], up to [`MAX_INFLIGHT_REQUESTS`] |
//! | their bytes, per flow and per peer | none | [`FlowConfig::with_max_bytes`], [`FlowConfig::with_peer_max_bytes`], up to [`MAX_BYTES`] |
//! | threads per flow | 3 | [`FlowConfig::with_threads`], up to [`MAX_THREADS_PER_FLOW`] |
//! | a peer's messages in flight, per flow | a quarter of the flow's, at most 1 024; Transport 8 | [`FlowConfig::with_peer_quota`] |
//! | peers with a lane, per flow | 4 096 | [`FlowConfig::with_max_peers`], up to [`MAX_PEERS`] |
//! | submitters that wait, per peer and flow | 64 | [`FlowConfig::with_max_waiters`], up to [`MAX_WAITERS`] |
//! | peers known by their panics, per flow | 1 024 ([`MAX_SUSPECTS`]) | fixed |
//! | own adverts on their way out | 100 000 | [`AdvertBroadcaster::with_max_inflight`] |
//! | a peer's messages in flight until `on_peer_up` has ended, per flow | 4 | fixed |
//! | bytes of a payload, by type | [`wire::max_payload_bytes`] | fixed; with a [`Codec`] of one's own, by that |
//! | a recorded duration | 60 s ([`MAX_RECORDED`]) | fixed |
//! | log lines about panics, per flow, timer and broadcaster (beside what the process's panic hook writes) | 1 a second | fixed |
//!
//! # Performance
//!
//! A message costs two readings of the clock (one when it is brought, one when its handler has ended,
//! which is when the next one begins; a worker that has idled reads it once more), one lookup, an
//! atomic exchange for each of its two bounds on the way in, and a few on the way through its lane's
//! queue. Nothing is allocated from the call with a decoded message to the handler's end where there is
//! room and a worker is at work, lingers or is parked: a test counts. A message that waits takes a place
//! that was used before, of which a flow keeps 64, or a new one. A peer's first message makes its lane,
//! the first that waits its line; waking a thread that the flow has given back to the pool allocates
//! rayon's job.
//!
//! What a flow's workers do when there is nothing to do is its [`WaitStrategy`]. The default lingers for as
//! long as that pays, up to 200 µs: a message that comes meanwhile is found within about a microsecond, at the
//! cost of a busy core for each worker that lingers. (Where millions come in a second, a worker lets up to 32 of
//! them come together, for 5 µs at the most.) After a few messages that come too seldom for that, workers
//! give their threads back at once.
//! [`WaitStrategy::Park`] costs the least processor time, and a wake-up for each message that
//! finds the workers asleep: the one to take where cores are few or shared. Idle flows cost nothing with either,
//! but for a thread of the handler that looks after them all, twenty times a second.
//!
//! These words are written with each message and shared: by all submitters, the flow's and the lane's
//! count of what has entered, which bound them, the tail of the lane's queue, and the registry's count
//! of events; by all workers of a lane, its count of what has left and the head of its queue. Only the queue's slots are
//! written by both sides.
//!
//! # Features and threads
//!
//! | feature | what it adds |
//! |---|---|
//! | `pinning` | `FlowConfig::with_core_affinity`: the threads of a flow on cores of their own |
//! | `prometheus` | [`MetricsRegistry`] is a `Collector` of `prometheus-client`: every counter, gauge and histogram, under the names that are listed there |
//!
//! Threads are called `P2P_Advert_Thread`, `P2P_Request_Thread`, `P2P_Chunk_Thread`,
//! `P2P_Retransmission_Thread`, `P2P_Transport_Thread` (those of the flows), `P2P_Broadcast_Thread` (own
//! adverts), `P2P_OnTimer_Thread` (the clock) and `P2P_Watch_Thread` (which looks at the flows every
//! [`WATCH_PERIOD`]).
//!
//! `RESULTS.md` in the repository sets the engine beside other designs, and says where it loses.

mod advert_broadcaster;
mod clock;
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
mod outcome;
mod panics;
mod permits;
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
pub mod simulation;
mod sync;
mod timer;
mod watch;
pub mod wire;

pub use advert_broadcaster::{AdvertBroadcaster, AdvertDropped, DropReason, MAX_ADVERT_BUFFER};
pub use codec::{Codec, MessageOf, WireCodec};
pub use config::{
    ChannelConfig, Codel, ConfigError, DEFAULT_DROP_NOTICE_INTERVAL, DEFAULT_LINGER, DEFAULT_PEERS,
    DEFAULT_QUANTUM, DEFAULT_QUOTA, DEFAULT_STUCK_HANDLER_TIMEOUT, DEFAULT_WAITERS, FlowConfig,
    MAX_AGE, MAX_BYTES, MAX_INFLIGHT_REQUESTS, MAX_LINGER, MAX_PEERS, MAX_QUANTUM, MAX_SUSPECTS,
    MAX_THREADS_PER_FLOW, MAX_WAITERS, Order, OverloadPolicy, P2P_PER_FLOW_THREADS, PanicPolicy,
    Quarantine, WaitStrategy,
};
pub use event::{EventError, RefusalReason, TransportEvent, TransportMessage};
pub use event_handler::{AsyncTransportEventHandlerImpl, CallFuture};
pub use flow::FlowType;
pub use flow_worker::{Execute, FlowWorker, MessageHandler, Refused, Submitter, queue_delay};
pub use gossip::{DynGossip, Gossip, GossipArc};
pub use latency::{LatencySnapshot, MAX_RECORDED};
pub use lifecycle::{BuildError, FlowReport, ShutdownReport};
pub use message::{
    ArtifactDestination, ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk,
    GossipChunkRequest, GossipMessage, IntegrityHash, NodeId, ParseIdError,
};
pub use metrics::{DestinationKind, FlowSnapshot, LedgerError, MetricsRegistry, MetricsSnapshot};
pub use outcome::Outcome;
pub use timer::{P2P_TIMER_DURATION_MS, P2PThreadJoiner};
pub use watch::WATCH_PERIOD;

/// Compiles and runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
