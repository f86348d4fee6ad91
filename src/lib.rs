//! Dispatches gossip messages from a replica's network transport to its gossip protocol.
//!
//! A transport hands every event to this engine: payloads from peers, some of them malicious, and peers that come and
//! go. The engine decodes the payloads, sorts the messages into five *flows* by their type, bounds each flow, and runs
//! the replica's [`Gossip`] callbacks on threads of the flow's own. Within a flow each peer has a bounded *lane*; lanes
//! are served in turn, by time. A program with other messages names its own flows, by an [`Engine`]. The crate has no
//! network, no async runtime and no unsafe code of its own.
//!
//! | | |
//! |---|---|
//! | [`Gossip`] | what a replica implements: the callbacks |
//! | [`AsyncTransportEventHandlerImpl`] | the face to the transport, a `tower` service |
//! | [`Engine`] | flows, messages and peers of a program's own; the event handler is one of five flows |
//! | [`FlowWorker`] | one flow: its bound, a lane for each peer, its threads, its counters |
//! | [`ChannelConfig`], [`FlowConfig`] | limits, threads, policies; what differs from the Internet Computer |
//! | [`AdvertBroadcaster`] | what the replica's own side calls to announce an artifact |
//! | [`P2PThreadJoiner`] | the timer that calls `on_gossip_timer`, by the Internet Computer's name for it |
//! | [`MetricsRegistry`] | what is counted, readable while messages flow; [`Outcome`] names the counters |
//! | [`wire`], [`Codec`] | the built-in messages as protobuf; message types of a replica's own |
//!
//! # Example
//!
#![cfg_attr(feature = "wire", doc = "```")]
#![cfg_attr(not(feature = "wire"), doc = "```ignore")]
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! use std::time::Duration;
//! use gossip_engine::{
//!     ArtifactDestination, ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl, ChannelConfig, FlowType,
//!     Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage, IntegrityHash, MetricsRegistry, NodeId,
//!     TransportEvent, TransportMessage, wire,
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
//!     fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
//!         self.adverts.fetch_add(1, Ordering::Relaxed);
//!     }
//!     fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
//!     fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
//!     fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
//!     fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (replica, registry) = (Arc::new(Replica::default()), MetricsRegistry::new());
//! let own_id = NodeId::new([0; 32]);
//! let mut handler =
//!     AsyncTransportEventHandlerImpl::new(own_id, &registry, ChannelConfig::default(), Arc::clone(&replica))?;
//!
//! let peer_id = NodeId::new([7; 32]);
//! let payload = wire::encode(&GossipMessage::Advert(GossipAdvert {
//!     artifact_id: ArtifactId::new([1; 32]),
//!     size: 1_000,
//!     integrity_hash: IntegrityHash::new([2; 32]),
//!     attributes: Default::default(),
//! }));
//! futures_executor::block_on(async {
//!     // Resolves when `on_peer_up` has returned.
//!     handler.call(TransportEvent::PeerUp(peer_id)).await?;
//!     // Resolves when the message is admitted: that is the back pressure.
//!     handler.call(TransportEvent::Message(TransportMessage { peer_id, payload })).await
//! })?;
//! assert!(handler.shutdown(Duration::from_secs(10)).is_clean());
//! assert_eq!(replica.adverts.load(Ordering::Relaxed), 1);
//! assert_eq!(registry.snapshot().flow(FlowType::Advert).handled(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Bounds hold**: a flow's and a peer's messages in flight, and those that wait ([`FlowConfig`]); in bytes, to
//!   within one message.
//! - **Peers take turns**, equal in time or by [weight](FlowWorker::set_peer_weight); by default a peer holds
//!   [one thread](FlowConfig::with_peer_threads) at the most, and its messages run in order.
//! - **Flows do not delay each other**: each has lanes and threads of its own.
//! - **Every event has one counted [`Outcome`]**, or is malformed, unknown or of a peer in quarantine. The counts
//!   [add up](MetricsSnapshot::verify).
//! - **Nothing rests**: a thread that may run a queued message runs it, and a submitter that waits is let in when there
//!   is capacity. Among brief handlers a thread lets messages come together for at most 5 µs, and lets waiting
//!   submitters in within 10 µs. If a handler turns out long just then, they are let in within [50 ms](WATCH_PERIOD).
//! - **Futures may be dropped** at any moment; a message that waits is dropped with its future, and counted.
//! - **Departures are clean**: when `on_peer_down` starts, nothing that the peer sent before starts any more
//!   ([`Gossip`]). What was queued is cancelled, or has run ([`Departure`]).
//! - **Panics are contained**: those of callbacks, wakers, `Drop`s and log subscribers ([`PanicPolicy`]).
//! - **A handler may use rayon**, and may hold a lock meanwhile: no handler ever runs on top of another
//!   ([`with_forking_handlers`](FlowConfig::with_forking_handlers)).
//! - **A shutdown takes bounded time** and reports what it left
//!   ([`shutdown`](AsyncTransportEventHandlerImpl::shutdown)).
//!
//! It promises neither delivery nor order between flows. It promises freshness only where a
//! [maximum age](FlowConfig::with_max_age) is set. A message that finds capacity takes no lock, except a peer's first
//! and one that finds the inbox full. A thread may be preempted while it moves messages into the lanes, or between
//! reserving and filling a slot of the inbox. It then delays its own flow until it runs again.
//!
//! # Limits
//!
//! | what | limit | set by |
//! |---|---|---|
//! | messages in flight, per flow | Advert 100 000, Request 100, Chunk 100, Retransmission 1 000, Transport 1 000 | [`FlowConfig::new`], up to [`MAX_INFLIGHT_REQUESTS`] |
//! | a peer's, per flow | a quarter of that, at most 1 024; Transport 8 | [`FlowConfig::with_peer_quota`] |
//! | their bytes | none | [`FlowConfig::with_max_bytes`], [`FlowConfig::with_peer_max_bytes`] |
//! | submitters that wait, per peer and flow | 64 | [`FlowConfig::with_max_waiters`], up to [`MAX_WAITERS`] |
//! | peers with a lane, per flow | 4 096 | [`FlowConfig::with_max_peers`], up to [`MAX_PEERS`] |
//! | flows of an engine | [`MAX_FLOWS`] | fixed |
//! | threads per flow | 3 | [`FlowConfig::with_threads`], up to [`MAX_THREADS_PER_FLOW`] |
//! | peers whose panics are remembered | [`MAX_PANIC_TABLE`] | fixed |
//! | the replica's own adverts, sent and not yet broadcast | 100 000 | [`AdvertBroadcaster::with_max_inflight`] |
//! | bytes of a payload, by type | [`wire::max_payload_bytes`] | fixed, or your own [`Codec`] |
//! | unknown fields of a payload | [`wire::MAX_UNKNOWN_FIELDS`] | fixed |
//!
//! Threads are called `P2P_Advert_Thread` and so on ([`FlowName`]), `P2P_Broadcast_Thread`, `P2P_OnTimer_Thread` and
//! `P2P_Watch_Thread`.
//!
//! # Features
//!
//! | feature | | what it adds |
//! |---|---|---|
//! | `wire` | default | [`wire`], its `prost`, and the built-in messages, which an [`Engine`] of other messages does without |
//! | `pinning` | | [`FlowConfig`]'s `with_core_affinity`: a flow's threads on cores of their own |
//! | `prometheus` | | [`MetricsRegistry`] is a collector of `prometheus-client` |
//! | `serde` | | [configurations](ChannelConfig), policies, ids and names are read and written, [snapshots](MetricsSnapshot) are written |
//!
//! Without `wire`, [`Gossip`], the event handler and the [`AdvertBroadcaster`] take messages and a [`Codec`] of the
//! replica's own, which their types then name.

mod advert_broadcaster;
mod blocking;
mod clock;
mod codec;
mod config;
mod engine;
mod event;
mod event_handler;
mod flow;
mod flow_worker;
mod gossip;
#[cfg(feature = "serde")]
mod human;
mod ledger;
mod lifecycle;
mod log_limit;
mod message;
mod outcome;
mod panics;
mod peer_key;
mod queue;
mod sync;
#[cfg(any(shuttle, all(any(test, fuzzing), not(loom))))]
pub mod testing;
mod timer;
mod watch;
#[cfg(feature = "wire")]
pub mod wire;
mod workers;

pub use advert_broadcaster::{AdvertBroadcaster, AdvertDropped, DropReason, MAX_ADVERT_BUFFER};
pub use codec::{Codec, MessageOf};
pub use config::{
    ChannelConfig, ConfigError, DEFAULT_DROP_NOTICE_INTERVAL, DEFAULT_PEERS, DEFAULT_QUANTUM,
    DEFAULT_QUOTA, DEFAULT_SPIN_WINDOW, DEFAULT_STUCK_HANDLER_TIMEOUT, DEFAULT_WAITERS, Departure,
    FlowConfig, MAX_AGE, MAX_BYTES, MAX_INFLIGHT_REQUESTS, MAX_PANIC_TABLE, MAX_PEERS, MAX_QUANTUM,
    MAX_SPIN_WINDOW, MAX_THREADS_PER_FLOW, MAX_WAITERS, OverloadPolicy, P2P_PER_FLOW_THREADS,
    PanicPolicy, Quarantine, WaitStrategy,
};
pub use engine::{Closing, Connecting, Connection, Engine, EngineBuilder, MAX_FLOWS, PeerHandler};
pub use event::{EventError, RefusalReason, TransportEvent, TransportMessage};
pub use event_handler::{AsyncTransportEventHandlerImpl, CallFuture};
pub use flow::{FlowName, FlowType};
pub use flow_worker::{
    Execute, FlowWorker, MAX_BATCH, MAX_WEIGHT, MessageHandler, PeerService, Received, Refused,
    Slot, Submitter, queue_delay,
};
pub use gossip::Gossip;
#[cfg(feature = "wire")]
pub use gossip::{DynGossip, GossipArc};
pub use ledger::{DestinationKind, FlowSnapshot, LedgerError, MetricsRegistry, MetricsSnapshot};
pub use ledger::{LatencySnapshot, MAX_RECORDED};
pub use lifecycle::{BuildError, FlowReport, ShutdownReport};
pub use message::{ArtifactDestination, GossipMessage, NodeId, ParseIdError};
#[cfg(feature = "wire")]
pub use message::{
    ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk, GossipChunkRequest,
    IntegrityHash,
};
pub use outcome::{Outcome, Submitted};
pub use peer_key::PeerKey;
pub use timer::{P2P_TIMER_DURATION_MS, P2PThreadJoiner};
pub use watch::WATCH_PERIOD;

/// Compiles and runs the examples of the README and of the book.
#[cfg(all(doctest, feature = "wire"))]
mod book {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../book/src/first-hour.md")]
    struct FirstHour;
    #[doc = include_str!("../book/src/linking.md")]
    struct Linking;
    #[doc = include_str!("../book/src/bounds.md")]
    struct Bounds;
    #[doc = include_str!("../book/src/overload.md")]
    struct Overload;
    #[doc = include_str!("../book/src/async.md")]
    struct Async;
    #[doc = include_str!("../book/src/peers.md")]
    struct Peers;
    #[doc = include_str!("../book/src/observability.md")]
    struct Observability;
    #[doc = include_str!("../book/src/testing.md")]
    struct Testing;
    #[doc = include_str!("../book/src/performance.md")]
    struct Performance;
    #[doc = include_str!("../book/src/internet-computer.md")]
    struct InternetComputer;
}
