//! Every number that bounds the transport, and what QUIC is told of them.
//!
//! The most memory that one connection takes, with a peer that does its worst:
//!
//! | what                                         | bytes    |
//! |----------------------------------------------|----------|
//! | received and not yet read ([`RECEIVE_WINDOW`]) | 4 MiB    |
//! | one frame per flow being read or handed over | 2.1 MiB  |
//! | sent and not yet acknowledged ([`SEND_WINDOW`]) | 2 MiB, and the frame that crosses the limit |
//! | queued to be sent ([`queue_limit`])          | 8.3 MiB  |
//!
//! Together about 19 MiB, so that 42 connection ends in one process stay below 800 MiB when all their
//! peers attack at once. Honest peers leave these windows almost empty. A connection that is not
//! served, because its key is not proven yet or another one of the same peer still is, takes
//! [`UNSERVED_RECEIVE_WINDOW`] and QUIC's own few KiB.

use std::{sync::Arc, time::Duration};

use gossip_engine::FlowType;
use quinn::VarInt;

use super::frame::STREAM_FLOWS;

/// How long a connection is silent before a ping keeps it alive.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a peer may be silent before it counts as gone: several pings lost in a row.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest idle timeout that can be asked for.
pub const MAX_IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// The shortest idle timeout that can be asked for.
pub const MIN_IDLE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a connection may take from its first packet until both ends serve it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The guess of a round trip before the first is measured. QUIC repeats the first packet of a
/// connection after three of them, which is how soon a peer that was not there yet is found.
pub const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);

/// How many connections from known addresses may be between their first packet and the proof of their key.
pub const MAX_HANDSHAKES: usize = 64;
/// How many of them from one known address: a replica that restarts, and its attempts before that.
pub const KNOWN_HANDSHAKES: usize = 4;
/// How many connections from all other addresses may be unproven.
pub const MAX_STRANGER_HANDSHAKES: usize = 32;
/// How many of them from one IPv4 address or one IPv6 network of 64 bits.
pub const STRANGER_HANDSHAKES: usize = 4;
/// How many first packets QUIC keeps until the door looks at them. It drops more, as if they were lost, so this covers
/// a flood for as long as the door may have to wait for a processor.
pub const MAX_UNANSWERED: usize = 1024;
/// What QUIC buffers for all connections that nobody has answered yet, in bytes.
pub const MAX_UNANSWERED_BYTES: u64 = 1 << 20;

/// How far ahead of a stream's reader a peer may send, in bytes.
pub const STREAM_RECEIVE_WINDOW: u32 = 1 << 20;
/// How far ahead of all readers of a connection a peer may send, in bytes: the sum of its streams, so
/// that three flows whose readers stand still leave the fourth its whole window.
pub const RECEIVE_WINDOW: u32 = STREAM_RECEIVE_WINDOW * STREAM_FLOWS.len() as u32;
/// How much a peer may send, in bytes, until its connection is served.
pub const UNSERVED_RECEIVE_WINDOW: u32 = 64 << 10;
/// How much may be under way to a peer, in bytes.
pub const SEND_WINDOW: u64 = 2 << 20;
/// The largest piece that a reader takes off a stream at once, in bytes.
pub const READ_BYTES: usize = 64 << 10;

/// The shortest upper bound of a wait before a peer is dialled again.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest upper bound of a wait before a peer is dialled again.
pub const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// How long a connection has to last for the waits to begin anew.
pub const STEADY_AFTER: Duration = Duration::from_secs(10);
/// How long a peer is shut out after its first break of the protocol; each further one doubles it.
pub const FIRST_PENALTY: Duration = Duration::from_secs(1);
/// The longest time that a peer is shut out, and so the shortest between its lines in the log.
pub const LAST_PENALTY: Duration = Duration::from_secs(60);
/// For how long after its penalty a peer has to behave for it to be forgotten.
pub const PENALTY_FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// The least time between two connections that one peer makes us serve.
pub const CONNECTION_SPACING: Duration = Duration::from_millis(50);
/// How long to wait before a peer's departure is announced again to a handler that had no room.
pub const DEPARTURE_RETRY: Duration = Duration::from_millis(50);

/// How long a name may take to be resolved.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many names are resolved at a time. The system's resolver cannot be interrupted: one that has taken too long
/// keeps its thread and its place until it answers, so that names do not take the threads that the store works on.
pub const MAX_LOOKUPS: usize = 16;
/// How many addresses of one name are tried.
pub const MAX_ADDRESSES: usize = 8;
/// How long each of a name's addresses is tried while there is another one.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the larger id of two leaves the first word to the smaller, so that they seldom dial at the same time.
pub const HEAD_START: Duration = Duration::from_millis(250);
/// How long after its start a dial that has met nobody yet is still expected to.
pub const FRESH_DIAL: Duration = Duration::from_secs(1);
/// How long an end that has closed its own dial may take to be understood: longer than packets overtake each other.
pub const CROSSING_WAIT: Duration = Duration::from_millis(250);
/// The pause before a task that has panicked is started again; each further one doubles it.
pub const FIRST_RESTART: Duration = Duration::from_millis(100);
/// The longest pause before a task that has panicked is started again.
pub const LAST_RESTART: Duration = Duration::from_secs(10);
/// The least time between two lines in the log of a kind that a peer, or anybody, can cause at will.
pub const NOTICE_INTERVAL: Duration = Duration::from_secs(60);
/// How many connections in a row that did not last make a peer one that comes and goes.
pub const FLAPS: u32 = 5;
/// How often within [`NOTICE_INTERVAL`] a key has to change its place to and fro to be taken for that of two replicas.
pub const KEY_CONTESTS: u32 = 3;
/// The most peers that a replica has.
pub const MAX_PEERS: usize = 16_384;

/// What one flow queues for one peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimit {
    /// The most frames.
    pub frames: usize,
    /// The most bytes of payload.
    pub bytes: usize,
}

/// What one flow queues for one peer.
///
/// Adverts come in bursts, as the answer to a retransmission request. Chunks are bounded to what a
/// peer asks for at once; the bytes leave room for 32 of them at 128 KiB or two of the largest.
#[must_use]
pub const fn queue_limit(flow: FlowType) -> QueueLimit {
    match flow {
        FlowType::Advert => QueueLimit { frames: 16_384, bytes: 2 << 20 },
        FlowType::Request => QueueLimit { frames: 256, bytes: 256 << 10 },
        FlowType::Chunk => QueueLimit { frames: 32, bytes: 6 << 20 },
        FlowType::Retransmission => QueueLimit { frames: 16, bytes: 16 << 10 },
        FlowType::Transport => QueueLimit { frames: 0, bytes: 0 },
    }
}

/// The limits in QUIC's terms, for a connection that is not served yet; the same for both ends.
pub(super) fn quic(idle_timeout: Duration) -> Arc<quinn::TransportConfig> {
    let mut config = quinn::TransportConfig::default();
    // Two pings may get lost before a short timeout ends the connection.
    let keep_alive_interval = KEEP_ALIVE_INTERVAL.min(idle_timeout / 3);
    config
        .max_idle_timeout(Some(idle_timeout.try_into().expect("the options bound it")))
        .keep_alive_interval(Some(keep_alive_interval))
        .initial_rtt(INITIAL_ROUND_TRIP)
        .max_concurrent_uni_streams(VarInt::from_u32(STREAM_FLOWS.len() as u32))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(UNSERVED_RECEIVE_WINDOW))
        .send_window(SEND_WINDOW);
    Arc::new(config)
}
