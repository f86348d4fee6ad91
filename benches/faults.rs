//! Trouble: panics, stops, futures that are dropped, changes and hostile memory, each against what it
//! must not do.
//!
//! - `panics`: one handler in a hundred panics, with the panic hook and without, beside handlers that
//!   return an error instead. What does a panic cost, and are all threads alive afterwards?
//! - `stops`: a handler is built, given a hundred messages or none, and shut down, over and over. How long
//!   does the stop take, and does one hang?
//! - `dropped futures`: futures of calls are dropped before they are polled, after, or once they have
//!   waited. Afterwards all permits must be there: as many messages as the bound allows are admitted at
//!   once, while no handler returns.
//! - `changes`: a thousand configurations at random while messages flow; none may be lost.
//! - `memory`: peers that fill a flow with the largest chunks while no handler returns; what is live then, by a
//!   counting allocator, beside [`FlowConfig::worst_case_bytes`](gossip_engine::FlowConfig::worst_case_bytes).
//!
//! The counting allocator is there in all cases, and makes each allocation a few nanoseconds dearer, with
//! panics and without.
//!
//! All but the times are asserted: the program ends with an error if one of them does not hold.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]
#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

#[path = "faults/changed.rs"]
mod changed;
#[allow(dead_code, reason = "no contender runs here")]
mod contenders;
#[path = "faults/dropped.rs"]
mod dropped;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;
#[path = "faults/memory_flood.rs"]
mod memory_flood;
#[path = "faults/panics.rs"]
mod panics;
#[path = "faults/replica.rs"]
mod replica;
#[path = "faults/stops.rs"]
mod stops;

use std::{alloc::System, io, time::Duration};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use self::harness::output;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// For whatever must not take for ever.
const DEADLINE: Duration = Duration::from_secs(60);

fn main() -> io::Result<()> {
    let quick = output::is_quick();
    let size = |full, few| if quick { few } else { full };
    // Before the others leave free memory behind, in which the resident growth would hide.
    let memory = memory_flood::row();
    let mut rows = panics::rows(size(1_000_000, 20_000), size(9, 1));
    rows.extend(stops::rows(size(10_000, 100)));
    rows.push(dropped::row(size(1_000_000, 10_000)));
    rows.push(changed::row(size(1_000, 100)));
    rows.push(memory);
    for row in &rows {
        println!("{row}");
    }
    output::publish("faults", rows)
}
