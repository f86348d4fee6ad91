//! What a writer puts on a stream is what a decoder reads.

use bytes::Bytes;
use gossip_engine::FlowType;
use proptest::prelude::*;

use super::{COPIED_BYTES, pieces};
use crate::transport::frame::FrameDecoder;

proptest! {
    #[test]
    fn what_is_written_is_read(lengths in prop::collection::vec(
        prop_oneof![1..100usize, COPIED_BYTES - 1..COPIED_BYTES + 2, 60_000..70_000usize],
        0..20,
    )) {
        let flow = FlowType::Chunk;
        let frames: Vec<_> = (lengths.iter().enumerate())
            .map(|(place, length)| Bytes::from(vec![place as u8; *length]))
            .collect();
        let mut decoder = FrameDecoder::new(flow);
        let mut read = Vec::new();
        for mut piece in pieces(flow, &frames) {
            prop_assert!(!piece.is_empty());
            while let Some(frame) = decoder.decode(&mut piece).unwrap() {
                read.push(frame);
            }
        }
        prop_assert!(decoder.is_between_frames());
        prop_assert_eq!(read, frames);
    }
}
