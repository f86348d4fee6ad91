//! Every number that bounds the transport, and how QUIC is configured by them.
//!
//! The most memory that one connection takes, with a peer that does its worst:
//!
//! | what                                         | bytes    |
//! |----------------------------------------------|----------|
//! | received and not yet read ([`Windows::receive`]) | 16 MiB with 21 peers or fewer, less with more |
//! | sent and not yet acknowledged ([`Windows::send`]) | half of that, and the frame that crosses the limit |
//! | one frame per flow being read or handed over | 2.1 MiB  |
//! | queued to be sent ([`queue_limit`])          | 8.3 MiB  |
//!
//! The windows of a transport's connections share [`WINDOW_BUDGET`], so that all peers that attack at once make
//! it hold so much in windows and 10.4 MiB each beside them: 730 MiB for 21 peers. Honest peers leave the windows
//! almost empty. A connection that is not served, because its key is not proven yet or another one of the
//! same peer still is, takes [`UNSERVED_RECEIVE_WINDOW`] and QUIC's own few KiB.
//!
//! A list that grows narrows the windows of the connections that are there, and one that shrinks widens those of new
//! ones only. What may be under way to a peer is narrowed at once. What a peer may send ahead is narrowed as fast as it
//! uses it up: QUIC cannot take back what it has allowed (RFC 9000, section 4.1). So a peer that has sent less since
//! the list grew than it was allowed before may still send that once. If the list grows by one peer at a time, and
//! all of them hold it back for an attack, they make the transport hold 1.7 GiB in receive windows, once.

use std::{sync::Arc, time::Duration};

use gossip_engine::FlowType;
use quinn::VarInt;

use super::{congestion::Congestion, frame::STREAM_FLOWS};

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
/// How many first packets QUIC keeps until the acceptor looks at them. It drops more, as if they were lost, so this
/// covers a flood for as long as the acceptor may have to wait for a processor.
pub const MAX_UNANSWERED: usize = 1024;
/// What QUIC buffers for all connections that nobody has answered yet, in bytes.
pub const MAX_UNANSWERED_BYTES: u64 = 1 << 20;

/// What the windows of all connections may hold together, in bytes, but for what peers were allowed under a shorter
/// list and have not used. It holds for up to 1 365 peers; each one beyond them adds six of the
/// [smallest windows](MIN_STREAM_WINDOW).
pub const WINDOW_BUDGET: u64 = 512 << 20;
/// The largest window of a stream, in bytes: at a round trip of 100 ms it carries 40 MB a second.
pub const MAX_STREAM_WINDOW: u32 = 4 << 20;
/// The smallest window of a stream, in bytes: at a round trip of 100 ms it carries 650 KB a second.
pub const MIN_STREAM_WINDOW: u32 = 64 << 10;

/// How far ahead of its readers a peer may send, and we ahead of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Windows {
    /// Ahead of a stream's reader, in bytes.
    pub stream: u32,
    /// Ahead of all readers of a connection, in bytes: the sum of the flows' streams, so that three whose
    /// readers stand still leave the fourth its whole window.
    pub receive: u32,
    /// How much may be under way to a peer, in bytes: two windows of a stream, so that what is lost and sent
    /// again does not hold up what is new.
    pub send: u32,
}

impl Windows {
    /// The windows of each connection of a transport with so many peers: an even share of the budget.
    #[must_use]
    pub fn of(peers: usize) -> Self {
        const STREAMS: u32 = STREAM_FLOWS.len() as u32;
        const SHARES: u64 = STREAMS as u64 + 2;
        let share = WINDOW_BUDGET / SHARES / (peers as u64).max(1);
        let stream = share.clamp(MIN_STREAM_WINDOW.into(), MAX_STREAM_WINDOW.into()) as u32;
        Self { stream, receive: STREAMS * stream, send: 2 * stream }
    }
}

/// How much a peer may send, in bytes, until its connection is served.
pub const UNSERVED_RECEIVE_WINDOW: u32 = 64 << 10;
/// How many later datagrams must have arrived for one to count as lost. Networks that use several ways, and radio,
/// let more than QUIC's three overtake; one counted as lost by mistake is sent twice and slows the rest down.
pub const LOSS_REORDERING: u32 = 64;
/// After how many round trips one that later ones have overtaken counts as lost, however few they are.
pub const LOSS_ROUND_TRIPS: f32 = 1.5;
/// How many streams a peer may have open: one for each flow, its hello, and some that a later version may open and
/// we do not know.
pub const MAX_STREAMS: u32 = STREAM_FLOWS.len() as u32 + 4;
/// How many streams that we do not know a peer may open on one connection; each is stopped at once.
pub const MAX_UNKNOWN_STREAMS: u32 = 64;
/// The longest hello, in bytes.
pub const MAX_HELLO_BYTES: usize = 1 << 10;
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
/// The most peers that a replica has: as many as each flow of the engine has lanes for
/// ([`with_max_peers`](gossip_engine::FlowConfig::with_max_peers)). The messages of a peer
/// without a lane are refused.
pub const MAX_PEERS: usize = gossip_engine::DEFAULT_PEERS;

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
/// peer asks for at once; the bytes are enough for 32 of them at 128 KiB or two of the largest.
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

/// While more answers than this wait to be sent to a peer, no more of its requests are read. Half of the queue, so
/// that the answers to what has been read already find a place.
pub const ANSWERS_MARK: QueueLimit = {
    let QueueLimit { frames, bytes } = queue_limit(FlowType::Chunk);
    QueueLimit { frames: frames / 2, bytes: bytes / 2 }
};

/// The limits in QUIC's terms, for a connection that is not served yet; the same for both ends.
pub(super) fn quic(idle_timeout: Duration, windows: Windows) -> Arc<quinn::TransportConfig> {
    let mut config = quinn::TransportConfig::default();
    // Two pings may get lost before a short timeout ends the connection.
    let keep_alive_interval = KEEP_ALIVE_INTERVAL.min(idle_timeout / 3);
    config
        .max_idle_timeout(Some(idle_timeout.try_into().expect("the options bound it")))
        .keep_alive_interval(Some(keep_alive_interval))
        .initial_rtt(INITIAL_ROUND_TRIP)
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(windows.stream))
        .receive_window(VarInt::from_u32(UNSERVED_RECEIVE_WINDOW))
        .send_window(windows.send.into())
        .packet_threshold(LOSS_REORDERING)
        .time_threshold(LOSS_ROUND_TRIPS)
        .congestion_controller_factory(Arc::new(Congestion));
    Arc::new(config)
}

#[cfg(test)]
mod tests;
