//! Any bytes, cut anywhere, are frames, a hello, or an error, and never cost more memory than they may.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    gossip_replica::fuzzing::read_stream(data);
});
