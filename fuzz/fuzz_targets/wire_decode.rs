//! Any bytes are a message or an error, and what they are is within the limits.
#![no_main]

use bytes::Bytes;
use gossip_engine::{GossipMessage, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let payload = Bytes::copy_from_slice(data);
    let flow = wire::flow_of(&payload);
    match wire::decode(payload.clone()) {
        Ok(message) => {
            assert_eq!(flow, Ok(message.flow()), "the envelope names another flow");
            assert!(data.len() <= wire::max_payload_bytes(message.flow()), "over the limit");
            if let GossipMessage::Chunk(chunk) = &message
                && let Ok(data) = &chunk.payload
                && !data.is_empty()
            {
                assert!(payload.as_ptr_range().contains(&data.as_ptr()), "the data was copied");
            }
            assert_eq!(wire::decode(wire::encode(&message)), Ok(message), "not stable");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // What is wrong with the envelope is found first, whether the body is read or not.
            if let Err(envelope) = flow {
                assert_eq!(envelope, error, "the envelope is read in two ways");
            }
        }
    }
});
