//! Reads one stream of a peer and hands its messages to the handler, one at a time.
//!
//! The next bytes are read when the handler has taken the message before them. So a full flow stops
//! its own stream: QUIC's window of that stream fills, the peer's writer waits, and no other stream of
//! the connection notices. What is held is the piece last read ([`READ_BYTES`]) and one frame.
//!
//! Requests are not read while too many of their answers wait to be sent ([`ANSWERS_MARK`]): a peer that asks and
//! does not read has nothing read for it, and waits itself.
//!
//! A message of a later version is skipped and counted, and the stream goes on. So is a whole stream with a tag
//! that only a later version knows. Any other payload that is no message of the stream's flow ends the connection.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
};

use bytes::Bytes;
use gossip_engine::{
    FlowType, NodeId, Submitted, TransportMessage,
    wire::{self, DecodeError},
};
use quinn::{ReadError, RecvStream};
use tokio::task::consume_budget;

use super::{
    breach::{Breach, STOP_UNKNOWN},
    counters::Counters,
    frame::{FrameDecoder, HELLO_TAG, flow_of_tag},
    handler::{Handler, Refusal, deliver},
    hello::{HelloDecoder, HelloError},
    limits::{ANSWERS_MARK, MAX_HELLO_BYTES, MAX_UNKNOWN_STREAMS, READ_BYTES},
    outbound::Backlog,
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

/// Which streams of a connection there have been already.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// A bit for each tag that we know.
    tags: Arc<AtomicU8>,
    unknown: Arc<AtomicU32>,
}

impl Seen {
    fn claim(&self, tag: u8) -> bool {
        let bit = 1 << tag;
        // Relaxed: only one claim of a bit can find it clear, in whatever order.
        self.tags.fetch_or(bit, Relaxed) & bit == 0
    }
}

/// What the readers of one connection share.
#[derive(Clone, Debug)]
pub(super) struct Inbound<H> {
    pub(super) peer: NodeId,
    pub(super) handler: H,
    pub(super) counters: Arc<Counters>,
    pub(super) seen: Seen,
    /// The answers to the peer's requests that are not yet sent.
    pub(super) answers: Arc<Backlog>,
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
        if tag == HELLO_TAG {
            return self.read_hello(stream).await;
        }
        let Some(flow) = flow_of_tag(tag) else {
            return self.skip_stream(tag, stream);
        };
        if !self.seen.claim(tag) {
            return Err(Breach::SecondStream(flow).into());
        }
        let mut decoder = FrameDecoder::new(flow);
        while let Some(mut piece) = read(&mut stream, READ_BYTES).await? {
            if piece.is_empty() {
                return Ok(());
            }
            while let Some(payload) = decoder.decode(&mut piece)? {
                if flow == FlowType::Request && self.answers.is_over(ANSWERS_MARK) {
                    self.counters.held_requests.increment();
                    self.answers.until_within(ANSWERS_MARK).await;
                }
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

    /// What comes behind a hello is for a later version.
    async fn read_hello(self, mut stream: RecvStream) -> Result<(), Fault> {
        if !self.seen.claim(HELLO_TAG) {
            return Err(Breach::from(HelloError::Second).into());
        }
        let mut decoder = HelloDecoder::default();
        loop {
            let piece = read(&mut stream, MAX_HELLO_BYTES).await?;
            let piece = piece.ok_or(Breach::from(HelloError::Truncated))?;
            if piece.is_empty() {
                return Ok(());
            }
            if let Some(hello) = decoder.decode(&piece).map_err(Breach::from)? {
                self.counters.hellos.increment();
                let (features, common) = (hello.features, hello.common_features());
                tracing::debug!(peer = %self.peer, features, common, "hello");
                // It fails if there is nothing behind it.
                let _ = stream.stop(STOP_UNKNOWN);
                return Ok(());
            }
        }
    }

    /// A later version may have streams that we do not know. They are not read, and the peer learns that.
    fn skip_stream(self, tag: u8, mut stream: RecvStream) -> Result<(), Fault> {
        // Relaxed: a count orders nothing.
        if self.seen.unknown.fetch_add(1, Relaxed) >= MAX_UNKNOWN_STREAMS {
            return Err(Breach::UnknownTags(tag).into());
        }
        // It fails if the peer has ended it.
        let _ = stream.stop(STOP_UNKNOWN);
        let count = self.counters.unknown_streams.increment_and_get();
        if count.is_power_of_two() {
            tracing::info!(peer = %self.peer, tag, count, "skipped a stream");
        }
        Ok(())
    }

    /// Returns what is unknown in a message of a later version, which has not been handled.
    async fn hand_over(
        &mut self,
        stream: FlowType,
        payload: Bytes,
    ) -> Result<Option<DecodeError>, Fault> {
        // A peer that always has more to read, and a handler that is never full, would keep a thread
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
        match deliver(&mut self.handler, message).await {
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
