//! Whatever peers, clock and disk do, the replica keeps its limits and stores nothing wrong; and one honest
//! peer is enough afterwards.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    gossip_replica::fuzzing::gossip_with_anybody(data);
});
