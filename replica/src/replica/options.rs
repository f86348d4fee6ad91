//! What may be chosen about a replica, and why it does not start.

use std::{io, path::PathBuf};

use gossip_engine::{BuildError, ChannelConfig, FlowType, MAX_ADVERT_BUFFER, WaitStrategy};

use crate::{
    gossip::{GossipOptions, OptionsError},
    store::{StoreError, StoreOptions},
    transport::{BindError, StartError, TransportOptions},
};

/// What may be chosen about a replica.
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// The protocol's numbers.
    pub gossip: GossipOptions,
    /// The transport's.
    pub transport: TransportOptions,
    /// Bounds and threads of the engine's flows, and how their threads wait: parked, unless said otherwise.
    pub channels: ChannelConfig,
    /// How many adverts of the replica's own may wait to be broadcast. What does not fit is counted by the
    /// engine, and sent with the next tick of the clock.
    pub advert_buffer: usize,
    /// What the store survives, how much it takes, and how fast it is verified.
    pub store: StoreOptions,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            gossip: GossipOptions::default(),
            transport: TransportOptions::default(),
            channels: channels(),
            advert_buffer: MAX_ADVERT_BUFFER,
            store: StoreOptions::default(),
        }
    }
}

/// How many threads take chunks, and how many of them those of one peer. The last chunk of an artifact has it synced,
/// and a disk syncs several files in little more than the time of one. Two are left for the other peers.
const CHUNK_THREADS: usize = 6;
const CHUNK_PEER_THREADS: usize = 4;

/// The engine's defaults, but that workers with nothing to do sleep: a replica shares its machine with its
/// transport, and in the demo with other replicas, and its callbacks use no rayon. Chunks have more threads.
fn channels() -> ChannelConfig {
    use FlowType::{Advert, Chunk, Request, Retransmission, Transport};
    let flows = [Advert, Request, Chunk, Retransmission, Transport];
    let channels = flows.into_iter().fold(ChannelConfig::default(), |channels, flow| {
        let parked = channels.flow(flow).with_wait_strategy(WaitStrategy::Park);
        channels.with_flow(flow, parked)
    });
    let chunks = channels.flow(Chunk).with_threads(CHUNK_THREADS);
    channels.with_flow(Chunk, chunks.with_peer_threads(CHUNK_PEER_THREADS))
}

/// Why a replica does not start. Nothing is left of it, but its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// A number of the protocol cannot be.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The store's folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is known of catalogs cannot be read.
    #[error("cannot read {}: {error}", folder.display())]
    Catalogs {
        /// The folder.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The engine cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The list of peers cannot be.
    #[error(transparent)]
    Start(#[from] StartError),
}
