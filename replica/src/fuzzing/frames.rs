//! The readers of a stream, each beside one of a few lines that has all bytes at once.

use bytes::Bytes;
use gossip_engine::{FlowType, wire};

use super::input::Input;
use crate::transport::{
    frame::{
        FIRST_ALLOCATION_BYTES, FrameDecoder, FrameError, HEADER_BYTES, HELLO_TAG, STREAM_FLOWS,
        flow_of_tag, tag_of,
    },
    hello::{Hello, HelloDecoder, HelloError},
    limits::MAX_HELLO_BYTES,
};

/// Into how many pieces of chosen lengths the bytes are cut before the lengths come again.
const MAX_CUTS: usize = 16;

/// What is read of a stream: its frames, and how it goes on.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Read {
    pub(super) frames: Vec<Bytes>,
    pub(super) error: Option<FrameError>,
    /// Whether the stream may end here.
    pub(super) ends_well: bool,
}

/// What a stream is, by its tag, and what was read of it.
#[derive(Debug, Eq, PartialEq)]
pub enum Stream {
    /// It belongs to a flow and has so many frames.
    Frames(usize),
    /// It belongs to a flow, and its frames end in this.
    Refused(FrameError),
    /// It says hello, with these features; `None` if it ends too early.
    Hello(Option<u64>),
    /// It begins as a hello and is none.
    NoHello,
    /// No version so far has such a stream.
    Unknown,
}

/// Reads `bytes` as a stream that arrives in pieces: its tag, a byte for how many lengths of pieces follow, the
/// lengths, the stream behind its tag.
///
/// # Panics
///
/// If the pieces make a difference, or more is held than has arrived and than the limit allows.
pub fn read_stream(bytes: &[u8]) -> Stream {
    let mut input = Input::new(bytes);
    let tag = input.byte();
    let count = input.below(MAX_CUTS);
    let cuts = input.bytes(count);
    let stream = Bytes::copy_from_slice(input.rest());
    let Some(flow) = flow_of_tag(tag) else {
        assert!(STREAM_FLOWS.iter().all(|flow| tag_of(*flow) != tag));
        return if tag == HELLO_TAG { read_hello(stream, cuts) } else { Stream::Unknown };
    };
    assert_eq!(tag_of(flow), tag);
    assert_ne!(tag, HELLO_TAG);
    let expected = at_once(flow, &stream);
    let found = in_pieces(flow, stream, cuts);
    assert_eq!(found, expected, "{flow} cut by {cuts:?}");
    match found.error {
        None => Stream::Frames(found.frames.len()),
        Some(error) => {
            assert!(!error.to_string().is_empty());
            Stream::Refused(error)
        }
    }
}

/// As the reader does it: nothing behind the hello is read.
fn read_hello(mut stream: Bytes, cuts: &[u8]) -> Stream {
    let expected = hello_at_once(&stream);
    let mut decoder = HelloDecoder::default();
    let mut lengths = lengths(cuts, MAX_HELLO_BYTES);
    let mut found = Ok(None);
    while !stream.is_empty() && found == Ok(None) {
        let length = lengths.next().expect("there is one at least").min(stream.len());
        found = decoder.decode(&stream.split_to(length));
        let most = HEADER_BYTES + MAX_HELLO_BYTES + length;
        assert!(decoder.held() <= most, "{} bytes held", decoder.held());
    }
    assert_eq!(found, expected, "cut by {cuts:?}");
    match found {
        Ok(hello) => {
            let common = hello.map_or(0, Hello::common_features);
            let features = hello.map(|hello| hello.features);
            assert_eq!(common & !features.unwrap_or(0), 0, "a feature that the peer does not have");
            Stream::Hello(features)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Stream::NoHello
        }
    }
}

fn hello_at_once(stream: &[u8]) -> Result<Option<Hello>, HelloError> {
    let Some((length, body)) = stream.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    match length as usize {
        8..=MAX_HELLO_BYTES => {
            let body = body.get(..length as usize);
            let features = body.and_then(|body| body.first_chunk());
            Ok(features.map(|features| Hello { features: u64::from_be_bytes(*features) }))
        }
        _ => Err(HelloError::Length(length)),
    }
}

/// The lengths of the pieces. Lengths of 0 only would never get anywhere.
fn lengths(cuts: &[u8], last: usize) -> impl Iterator<Item = usize> {
    cuts.iter().map(|cut| usize::from(*cut)).chain([last]).cycle()
}

pub(super) fn in_pieces(flow: FlowType, mut stream: Bytes, cuts: &[u8]) -> Read {
    let limit = wire::max_payload_bytes(flow);
    let mut decoder = FrameDecoder::new(flow);
    let mut read = Read { ends_well: true, ..Read::default() };
    let mut arrived = 0;
    let mut lengths = lengths(cuts, usize::MAX);
    while !stream.is_empty() {
        let length = lengths.next().expect("there is one at least").min(stream.len());
        let mut piece = stream.split_to(length);
        arrived += length;
        loop {
            let decoded = decoder.decode(&mut piece);
            let allocated = decoder.allocated();
            let announced = decoder.announced();
            assert!(announced <= limit, "{announced} bytes believed, the limit is {limit}");
            assert!(allocated <= announced, "{allocated} bytes held of {announced}");
            assert!(allocated <= FIRST_ALLOCATION_BYTES.max(2 * arrived), "a gift of {allocated}");
            match decoded {
                Ok(Some(frame)) => read.frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    read.error = Some(error);
                    read.ends_well = false;
                    return read;
                }
            }
        }
        assert!(piece.is_empty(), "asks for more, and has not read what there is");
    }
    read.ends_well = decoder.is_between_frames();
    read
}

fn at_once(flow: FlowType, mut rest: &[u8]) -> Read {
    let limit = wire::max_payload_bytes(flow);
    let mut read = Read { ends_well: true, ..Read::default() };
    while let Some((header, body)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let length = u32::from_be_bytes(*header) as usize;
        let error = match length {
            0 => Some(FrameError::Empty),
            _ if length > limit => Some(FrameError::TooLong { flow, length, limit }),
            _ => None,
        };
        if error.is_some() {
            return Read { error, ends_well: false, ..read };
        }
        let Some((frame, after)) = body.split_at_checked(length) else { break };
        read.frames.push(Bytes::copy_from_slice(frame));
        rest = after;
    }
    read.ends_well = rest.is_empty();
    read
}
