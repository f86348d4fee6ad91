//! Any cut of the bytes gives the same frames, and no announcement is believed.

use bytes::Bytes;
use gossip_engine::{FlowType, wire};
use proptest::prelude::*;

use super::{
    FIRST_ALLOCATION_BYTES, FrameDecoder, FrameError, STREAM_FLOWS, flow_of_tag, header, tag_of,
};

fn framed(flow: FlowType, payload: &[u8]) -> Vec<u8> {
    [&header(flow, payload.len()).unwrap()[..], payload].concat()
}

fn decode_all(decoder: &mut FrameDecoder, mut piece: Bytes) -> Result<Vec<Bytes>, FrameError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut piece)? {
        frames.push(frame);
    }
    assert!(piece.is_empty());
    Ok(frames)
}

#[test]
fn tags_are_distinct_and_known() {
    for flow in STREAM_FLOWS {
        assert_eq!(flow_of_tag(tag_of(flow)), Some(flow));
    }
    let known = (0..=u8::MAX).filter(|tag| flow_of_tag(*tag).is_some()).count();
    assert_eq!(known, STREAM_FLOWS.len());
    assert_eq!(flow_of_tag(tag_of(FlowType::Transport)), None);
}

#[test]
fn limits_are_exact() {
    for flow in STREAM_FLOWS {
        let limit = wire::max_payload_bytes(flow);
        let mut decoder = FrameDecoder::new(flow);
        let whole = Bytes::from(framed(flow, &vec![7; limit]));
        assert_eq!(decode_all(&mut decoder, whole), Ok(vec![Bytes::from(vec![7; limit])]));
        for length in [limit + 1, u32::MAX as usize] {
            let announcement = Bytes::copy_from_slice(&(length as u32).to_be_bytes());
            let expected = FrameError::TooLong { flow, length, limit };
            assert_eq!(decode_all(&mut FrameDecoder::new(flow), announcement), Err(expected));
            assert_eq!(header(flow, length), Err(expected));
        }
        let empty = Bytes::from_static(&[0; 4]);
        assert_eq!(decode_all(&mut FrameDecoder::new(flow), empty), Err(FrameError::Empty));
        assert_eq!(header(flow, 0), Err(FrameError::Empty));
    }
}

#[test]
fn an_announcement_alone_allocates_little() {
    let limit = wire::max_payload_bytes(FlowType::Chunk);
    let mut decoder = FrameDecoder::new(FlowType::Chunk);
    let announcement = header(FlowType::Chunk, limit).unwrap();
    assert_eq!(decoder.decode(&mut Bytes::copy_from_slice(&announcement)), Ok(None));
    assert_eq!(decoder.allocated(), 0);
    let mut arrived = 0;
    while arrived + 1000 < limit {
        assert_eq!(decoder.decode(&mut Bytes::from_static(&[0; 1000])), Ok(None));
        arrived += 1000;
        assert!(decoder.allocated() <= FIRST_ALLOCATION_BYTES.max(2 * arrived));
    }
    assert!(!decoder.is_between_frames());
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_frames(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let flow = FlowType::Request;
        let bytes: Bytes = payloads.iter().flat_map(|payload| framed(flow, payload)).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut decoder = FrameDecoder::new(flow);
        let (mut frames, mut from) = (Vec::new(), 0);
        for cut in cuts {
            frames.extend(decode_all(&mut decoder, bytes.slice(from..cut)).unwrap());
            from = cut;
        }
        prop_assert_eq!(frames, payloads);
        prop_assert!(decoder.is_between_frames());
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(pieces: Vec<Vec<u8>>) {
        for flow in STREAM_FLOWS {
            let mut decoder = FrameDecoder::new(flow);
            let mut arrived = 0;
            for piece in &pieces {
                arrived += piece.len();
                let Ok(frames) = decode_all(&mut decoder, piece.clone().into()) else { break };
                for frame in frames {
                    prop_assert!((1..=wire::max_payload_bytes(flow)).contains(&frame.len()));
                }
                prop_assert!(decoder.allocated() <= FIRST_ALLOCATION_BYTES.max(2 * arrived));
            }
        }
    }
}
