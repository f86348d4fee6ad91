//! Gossip engine.
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
