//! A handler from its start to its end: peers that come and go, changes, panics, shutdown.
#![no_main]

use gossip_engine::testing::{Scope, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = run(data, Scope::Lifecycle);
});
