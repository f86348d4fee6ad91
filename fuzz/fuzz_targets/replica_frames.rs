//! Any bytes, cut anywhere, are frames or an error, and never cost more memory than they may.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = gossip_replica::fuzzing::read_frames(data);
});
