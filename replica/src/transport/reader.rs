//! Reads one stream of a peer and hands its messages to the handler, one at a time.
//!
//! The next bytes are read when the handler has taken the message before them. So a full flow stops
//! its own stream: QUIC's window of that stream fills, the peer's writer waits, and no other stream of
//! the connection notices. What is held is the piece last read ([`READ_BYTES`]) and one frame.
//!
//! A message of a later version is skipped and counted, and the stream goes on. Any other payload that is no message
//! of the stream's flow ends the connection.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use bytes::Bytes;
use gossip_engine::{
    FlowType, NodeId, Submitted, TransportEvent, TransportMessage,
    wire::{self, DecodeError},
};
use quinn::{ReadError, RecvStream};
use tokio::task::consume_budget;

use super::{
    breach::Breach,
    counters::Counters,
    frame::{FrameDecoder, flow_of_tag, tag_of},
    handler::{Handler, Refusal, deliver},
    limits::READ_BYTES,
};

/// Why one stream ends its whole connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// The peer's fault.
    Breach(Breach),
    /// The handler takes no more events.
    HandlerClosed,
}

impl<B: Into<Breach>> From<B> for Fault {
    fn from(breach: B) -> Self {
        Self::Breach(breach.into())
    }
}

/// Which flows of a connection have their stream already.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenFlows(Arc<AtomicU8>);

impl OpenFlows {
    fn claim(&self, flow: FlowType) -> Result<(), Breach> {
        let bit = 1 << tag_of(flow);
        // Relaxed: only one claim of a bit can find it clear, in whatever order.
        match self.0.fetch_or(bit, Relaxed) & bit {
            0 => Ok(()),
            _ => Err(Breach::SecondStream(flow)),
        }
    }
}

/// What the readers of one connection share.
#[derive(Clone, Debug)]
pub(super) struct Inbound<H> {
    pub(super) peer: NodeId,
    pub(super) handler: H,
    pub(super) counters: Arc<Counters>,
    pub(super) open_flows: OpenFlows,
}

impl<H: Handler> Inbound<H> {
    /// Runs until the stream or the connection ends.
    pub(super) async fn read_stream(mut self, mut stream: RecvStream) -> Result<(), Fault> {
        let Some(tag) = read(&mut stream, 1).await? else {
            return Err(Breach::NoTag.into());
        };
        let Some(tag) = tag.first().copied() else {
            return Ok(());
        };
        let flow = flow_of_tag(tag).ok_or(Breach::UnknownTag(tag))?;
        self.open_flows.claim(flow)?;
        let mut decoder = FrameDecoder::new(flow);
        while let Some(mut piece) = read(&mut stream, READ_BYTES).await? {
            if piece.is_empty() {
                return Ok(());
            }
            while let Some(payload) = decoder.decode(&mut piece)? {
                let Some(unknown) = self.hand_over(flow, payload).await? else { continue };
                let count = self.counters.flow(flow).unknown_in.increment_and_get();
                // The first, second, fourth, eighth …: the log stays short, whatever all peers send.
                if count.is_power_of_two() {
                    tracing::info!(peer = %self.peer, %flow, reason = %unknown, count, "skipped a message");
                }
            }
        }
        // A peer that has nothing more to say in this flow may say so.
        if decoder.is_between_frames() { Ok(()) } else { Err(Breach::Truncated.into()) }
    }

    /// Returns what is unknown in a message of a later version, which has not been handled.
    async fn hand_over(
        &mut self,
        stream: FlowType,
        payload: Bytes,
    ) -> Result<Option<DecodeError>, Fault> {
        // A peer that always has more to read, and a handler that always has room, would keep a thread
        // of the runtime for themselves. So would a peer whose messages are all skipped.
        consume_budget().await;
        let found = match wire::flow_of(&payload) {
            Ok(found) => found,
            Err(unknown @ DecodeError::Unknown { .. }) => return Ok(Some(unknown)),
            Err(malformed) => return Err(malformed.into()),
        };
        if found != stream {
            return Err(Breach::WrongFlow { stream, found }.into());
        }
        let length = payload.len();
        let message = TransportMessage { peer_id: self.peer, payload };
        let cells = self.counters.flow(stream);
        match deliver(&mut self.handler, TransportEvent::Message(message)).await {
            Ok(submitted) => {
                cells.frames_in.increment();
                cells.bytes_in.add(length);
                if submitted != Submitted::Admitted {
                    cells.dropped_in.increment();
                }
                Ok(None)
            }
            Err(Refusal::Full) => {
                cells.refused_in.increment();
                Ok(None)
            }
            Err(Refusal::Unknown(error)) => Ok(Some(error)),
            Err(Refusal::Malformed(error)) => Err(error.into()),
            Err(Refusal::Closed) => Err(Fault::HandlerClosed),
        }
    }
}

/// The next bytes of the stream. `None`: the stream has ended. Empty: the connection has ended, and
/// says why itself.
async fn read(stream: &mut RecvStream, most: usize) -> Result<Option<Bytes>, Breach> {
    match stream.read_chunk(most, true).await {
        Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
        Err(ReadError::Reset(_)) => Err(Breach::Reset),
        Err(_) => Ok(Some(Bytes::new())),
    }
}
