//! The frame reader, beside a reader of three lines that has all bytes at once.

use bytes::Bytes;
use gossip_engine::{FlowType, wire};

use super::input::Input;
use crate::transport::frame::{
    FIRST_ALLOCATION_BYTES, FrameDecoder, FrameError, HEADER_BYTES, STREAM_FLOWS,
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

/// Reads `bytes` as a stream that arrives in pieces: a byte for its flow, one for how many lengths of
/// pieces follow, the lengths, the stream. Returns how many frames there were, or how the stream was
/// refused.
///
/// # Panics
///
/// If the pieces make a difference, or more is held than has arrived and than the limit allows.
pub fn read_frames(bytes: &[u8]) -> Result<usize, FrameError> {
    let mut input = Input::new(bytes);
    let flow = STREAM_FLOWS[input.below(STREAM_FLOWS.len())];
    let count = input.below(MAX_CUTS);
    let cuts = input.bytes(count);
    let stream = Bytes::copy_from_slice(input.rest());
    let expected = at_once(flow, &stream);
    let found = in_pieces(flow, stream, cuts);
    assert_eq!(found, expected, "{flow} cut by {cuts:?}");
    match found.error {
        None => Ok(found.frames.len()),
        Some(error) => {
            assert!(!error.to_string().is_empty());
            Err(error)
        }
    }
}

pub(super) fn in_pieces(flow: FlowType, mut stream: Bytes, cuts: &[u8]) -> Read {
    let limit = wire::max_payload_bytes(flow);
    let mut decoder = FrameDecoder::new(flow);
    let mut read = Read { ends_well: true, ..Read::default() };
    let mut arrived = 0;
    // Lengths of 0 only would never get anywhere.
    let mut lengths = cuts.iter().map(|cut| usize::from(*cut)).chain([usize::MAX]).cycle();
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
