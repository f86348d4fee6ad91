//! Own adverts before and after the gate opens, and when the broadcaster shuts down: in order, each once.
#![no_main]

use gossip_engine::testing::{Scope, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = run(data, Scope::Broadcaster);
});
