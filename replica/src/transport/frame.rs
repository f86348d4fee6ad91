//! Frames on a stream: the tag that names the stream's flow, then length-prefixed payloads.
//!
//! A stream is one byte ([`tag_of`] its flow), then frames: a length of four bytes, big-endian, and
//! that many bytes of payload. [`FrameDecoder`] reads them without a network, from pieces cut
//! anywhere. What it reads is untrusted: it looks at the length before anything else, and an announced
//! length alone allocates no more than [`FIRST_ALLOCATION_BYTES`]; from there the buffer grows with
//! what has arrived, to at most twice that. A payload that is whole has a buffer of its own length, so
//! that a small message never keeps a large packet alive.

use bytes::{Buf as _, Bytes};
use gossip_engine::{FlowType, wire};

/// Bytes before each payload.
pub const HEADER_BYTES: usize = 4;

/// What a frame of any announced length allocates before its payload arrives.
pub const FIRST_ALLOCATION_BYTES: usize = 16 << 10;

/// The flows that have a stream; the Transport flow carries no payloads.
pub const STREAM_FLOWS: [FlowType; 4] =
    [FlowType::Advert, FlowType::Request, FlowType::Chunk, FlowType::Retransmission];

/// The first byte of the stream that says hello: a frame of feature bits, in protocols from `gossip/2` on.
pub const HELLO_TAG: u8 = tag_of(FlowType::Transport);

/// The first byte of a flow's stream: the number of its body in the protobuf schema. 0 for the Transport
/// flow, which has none.
#[must_use]
pub const fn tag_of(flow: FlowType) -> u8 {
    match flow {
        FlowType::Transport => 0,
        FlowType::Advert => 1,
        FlowType::Request => 2,
        FlowType::Chunk => 3,
        FlowType::Retransmission => 4,
    }
}

/// The flow of a stream that begins with this byte.
#[must_use]
pub fn flow_of_tag(tag: u8) -> Option<FlowType> {
    STREAM_FLOWS.into_iter().find(|flow| tag_of(*flow) == tag)
}

/// The header of a frame with a payload of this length.
///
/// # Errors
///
/// [`FrameError`] if no peer would take the frame.
pub fn header(flow: FlowType, length: usize) -> Result<[u8; HEADER_BYTES], FrameError> {
    check_length(flow, length)?;
    let length = u32::try_from(length).map_err(|_| too_long(flow, length))?;
    Ok(length.to_be_bytes())
}

/// Why a stream is no sequence of frames. The stream cannot be read on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// No message is empty.
    #[error("an empty frame")]
    Empty,
    /// The frame announces more than a message of this flow may have.
    #[error("a frame of {length} bytes in the {flow} flow, over the limit of {limit}")]
    TooLong {
        /// The flow of the stream.
        flow: FlowType,
        /// What the frame announces, in bytes.
        length: usize,
        /// What it may announce, in bytes.
        limit: usize,
    },
}

fn check_length(flow: FlowType, length: usize) -> Result<(), FrameError> {
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length > wire::max_payload_bytes(flow) {
        return Err(too_long(flow, length));
    }
    Ok(())
}

fn too_long(flow: FlowType, length: usize) -> FrameError {
    FrameError::TooLong { flow, length, limit: wire::max_payload_bytes(flow) }
}

/// Reads the frames of one stream from pieces of any size.
///
/// ```
/// use bytes::Bytes;
/// use gossip_engine::FlowType;
/// use gossip_replica::transport::frame::FrameDecoder;
///
/// let mut decoder = FrameDecoder::new(FlowType::Request);
/// assert_eq!(decoder.decode(&mut Bytes::from_static(&[0, 0, 0, 2, b'h']))?, None);
/// assert_eq!(decoder.decode(&mut Bytes::from_static(b"i"))?, Some(Bytes::from_static(b"hi")));
/// assert!(decoder.is_between_frames());
/// # Ok::<(), gossip_replica::transport::frame::FrameError>(())
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    flow: FlowType,
    state: State,
}

#[derive(Debug)]
enum State {
    Header {
        bytes: [u8; HEADER_BYTES],
        filled: usize,
    },
    /// `payload` has fewer than `length` bytes.
    Payload {
        payload: Vec<u8>,
        length: usize,
    },
}

const START: State = State::Header { bytes: [0; HEADER_BYTES], filled: 0 };

impl FrameDecoder {
    /// At the beginning of a frame of this flow, behind the tag.
    #[must_use]
    pub fn new(flow: FlowType) -> Self {
        Self { flow, state: START }
    }

    /// Takes bytes off the front of `input` until a payload is whole. `None`: `input` is used up.
    ///
    /// # Errors
    ///
    /// [`FrameError`], as soon as the length of a frame is known; what follows it makes no sense.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        loop {
            match &mut self.state {
                State::Header { bytes, filled } => {
                    let taken = (HEADER_BYTES - *filled).min(input.len());
                    input.copy_to_slice(&mut bytes[*filled..*filled + taken]);
                    *filled += taken;
                    if *filled < HEADER_BYTES {
                        return Ok(None);
                    }
                    let length = u32::from_be_bytes(*bytes) as usize;
                    check_length(self.flow, length)?;
                    self.state = State::Payload { payload: Vec::new(), length };
                }
                State::Payload { payload, length } => {
                    let taken = (*length - payload.len()).min(input.len());
                    reserve(payload, taken, *length);
                    payload.extend_from_slice(&input[..taken]);
                    input.advance(taken);
                    if payload.len() < *length {
                        return Ok(None);
                    }
                    let payload = std::mem::take(payload);
                    self.state = START;
                    return Ok(Some(payload.into()));
                }
            }
        }
    }

    /// Whether the stream may end here.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header { filled: 0, .. })
    }
}

#[cfg(any(test, fuzzing))]
impl FrameDecoder {
    /// How many bytes it holds for the payload that it reads.
    pub(crate) fn allocated(&self) -> usize {
        match &self.state {
            State::Header { .. } => 0,
            State::Payload { payload, .. } => payload.capacity(),
        }
    }

    /// How many bytes that payload is to have.
    pub(crate) fn announced(&self) -> usize {
        match &self.state {
            State::Header { .. } => 0,
            State::Payload { length, .. } => *length,
        }
    }
}

/// Doubles the buffer as it fills: few copies for an honest peer, no gift to one that only announces.
/// It never grows beyond `length`, so that a whole payload fits its buffer exactly.
fn reserve(payload: &mut Vec<u8>, more: usize, length: usize) {
    let needed = payload.len() + more;
    if needed > payload.capacity() {
        let capacity = needed.max(2 * payload.capacity()).max(FIRST_ALLOCATION_BYTES).min(length);
        payload.reserve_exact(capacity - payload.len());
    }
}

#[cfg(test)]
mod tests;
