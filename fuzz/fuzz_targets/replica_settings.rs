//! Any bytes are a configuration within the documented ranges, or an error that says where.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    gossip_replica::fuzzing::read_settings(data);
});
