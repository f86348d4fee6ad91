//! Messages, their futures and the jobs that run them, on one thread: each message comes to one end.
#![no_main]

use gossip_engine::testing::{Scope, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = run(data, Scope::Flow);
});
