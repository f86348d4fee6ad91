//! Runs the messages that peers send to a server: bounded by kind and by peer, in fair turns, each with one counted
//! outcome.
//!
//! A transport hands every message to this engine, some of them from malicious peers, and awaits it before it reads on.
//! The engine runs the program's handlers on threads of its own. A *flow* is one kind of message, with a bound and
//! threads. Within a flow each peer has a bounded *lane*; lanes are served in turn, by time. The crate has no network,
//! no async runtime and no unsafe code of its own.
//!
//! | | |
//! |---|---|
//! | [`Engine`] | flows, messages and peers of a program's own |
//! | [`FlowWorker`], [`FlowConfig`] | one flow: its bound, a lane for each peer, its threads; limits and policies |
//! | [`MetricsRegistry`] | what is counted, also for [Prometheus](MetricsSnapshot::to_openmetrics) |
//! | [`AsyncTransportEventHandlerImpl`] | the five flows of a replica behind a `tower` service |
//! | [`Gossip`], [`ChannelConfig`] | what a replica implements; what differs from the Internet Computer |
//! | [`AdvertBroadcaster`], [`P2PThreadJoiner`] | a replica's own adverts; its timer, by the Internet Computer's name |
//! | [`wire`], [`Codec`] | the built-in messages as protobuf; message types of a replica's own |
//!
//! The book, `book/src` in the repository, begins with a first hour and says how to link a transport, choose bounds,
//! and test what was linked.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use gossip_engine::{Departure, Engine, FlowConfig, MetricsRegistry};
//!
//! let registry = MetricsRegistry::new();
//! let mut builder = Engine::<String>::builder(&registry);
//! // At most 1 000 votes in flight, 250 of one peer. All of them run, also if it hangs up.
//! let config = FlowConfig::new(1_000).with_departure(Departure::Drain);
//! let votes = builder.flow("votes", config, |peer: &String, vote: u64| {
//!     println!("{peer} votes {vote}");
//! })?;
//! let engine = builder.build()?;
//! # futures_executor::block_on(async {
//! // Resolves when `on_peer_up` has returned. A thread without an executor waits by `wait()`.
//! let bern = engine.connect("bern".to_owned()).await?;
//! // Resolves when the message is admitted: that is the back pressure.
//! votes.execute(bern.id(), 7).await?;
//! bern.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! assert!(engine.shutdown(Duration::from_secs(10)).is_clean());
//! assert_eq!(registry.snapshot().flow("votes").handled(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
//! | messages in flight, per flow | 100 to 100 000 ([`ChannelConfig`]) | [`FlowConfig::new`], up to 2²⁰ |
//! | a peer's, per flow | a quarter of that, at most 1 024; Transport 8 | [`FlowConfig::with_peer_quota`] |
//! | their bytes | none | [`FlowConfig::with_max_bytes`], [`FlowConfig::with_peer_max_bytes`] |
//! | submitters that wait, per peer and flow | 64 | [`FlowConfig::with_max_waiters`], up to 2¹⁶ |
//! | peers with a lane, per flow | 4 096 | [`FlowConfig::with_max_peers`], up to [`FlowConfig::MAX_PEERS`] |
//! | flows of an engine | [`MAX_FLOWS`] | fixed |
//! | threads per flow | 3 | [`FlowConfig::with_threads`], up to [`FlowConfig::MAX_THREADS_PER_FLOW`] |
//! | peers whose panics are remembered | [`MAX_PANIC_TABLE`] | fixed |
//! | messages that are [remembered](FlowWorker::recent) of each thread | 4 095 | fixed |
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
//! | `wire` | default | [`wire`] with `prost`, and the built-in messages; an [`Engine`] of others needs none |
//! | `pinning` | | [`FlowConfig`]'s `with_core_affinity`: a flow's threads on cores of their own |
//! | `metrics` | | `MetricsRegistry::publish`: its metrics in the recorder of the facade `metrics` |
//! | `prometheus` | | [`MetricsRegistry`] is a collector of `prometheus` |
//! | `prometheus-client` | | [`MetricsRegistry`] is a collector of `prometheus-client` |
//! | `serde` | | reads and writes [configurations](ChannelConfig), ids and names; writes [snapshots](MetricsSnapshot) |
//! | `test-util` | | `Simulation`: engines on one thread, in schedules that seeds stand for; for tests only |
//!
//! Without `wire`, [`Gossip`], the event handler and the [`AdvertBroadcaster`] take messages and a [`Codec`] of the
//! replica's own, which their types then name.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod advert_broadcaster;
mod blocking;
mod bridge;
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
#[cfg(not(any(test, fuzzing)))]
#[cfg_attr(docsrs, doc(auto_cfg = false))]
mod testing;
#[cfg(any(test, fuzzing))]
pub mod testing;
mod timer;
mod watch;
#[cfg(feature = "wire")]
pub mod wire;
mod workers;

pub use advert_broadcaster::{AdvertBroadcaster, AdvertDropped, DropReason, MAX_ADVERT_BUFFER};
pub use codec::Codec;
pub use config::{
    ChannelConfig, ConfigError, DEFAULT_PEERS, Departure, FlowConfig, MAX_PANIC_TABLE,
    OverloadPolicy, P2P_PER_FLOW_THREADS, PanicPolicy, Quarantine, WaitStrategy,
};
pub use engine::{Closing, Connecting, Connection, Engine, EngineBuilder, MAX_FLOWS, PeerHandler};
pub use event::{EventError, RefusalReason, TransportEvent, TransportMessage};
pub use event_handler::{AsyncTransportEventHandlerImpl, CallFuture};
pub use flow::{FlowName, FlowType};
pub use flow_worker::{
    Execute, FlowWorker, MAX_BATCH, MAX_WEIGHT, MessageHandler, PeerService, Received,
    RecentMessage, Refused, Slot, Submitter, queue_delay,
};
#[cfg(feature = "wire")]
pub use gossip::{DynGossip, GossipArc};
pub use gossip::{Gossip, MessageOf};
pub use ledger::{
    Advice, DestinationKind, FlowSnapshot, LatencySnapshot, LedgerError, MetricFamily,
    MetricSample, MetricValue, MetricsRegistry, MetricsSnapshot,
};
pub use lifecycle::{BuildError, FlowReport, ShutdownReport};
pub use message::{ArtifactDestination, GossipMessage, NodeId, ParseIdError};
#[cfg(feature = "wire")]
pub use message::{
    ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk, GossipChunkRequest,
    IntegrityHash,
};
pub use outcome::{Outcome, Submitted};
pub use peer_key::PeerKey;
// Its module says nothing of its cfgs, which are of the engine's own tests as well.
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
#[cfg(all(feature = "test-util", not(any(loom, shuttle))))]
pub use testing::Simulation;
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
