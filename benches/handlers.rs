//! What a flow does for handlers that need more than one message at a time on a thread of the flow, and for transports
//! that go by readiness.
//!
//! - **departure**: a peer submits messages and hangs up at once. How many of them are handled before the program hears
//!   that the peer has gone.
//! - **slots**: handlers that only begin the work, in tasks of a tokio runtime. How many tasks there are at a time, and
//!   how long all of them take.
//! - **batches**: handlers whose call costs much beside a message. How many messages a second are handled when a call
//!   takes many, and how long a message takes where there is little to do.
//! - **readiness**: a tower service of one peer. What is shed where the flow is full, and what a message costs.
//!
//! Each part compares ways to use the engine with each other. In each round the counts of the flow have to add up, and
//! every message has to have been handled exactly once where nothing is cancelled, or the round is void.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "handlers/batches.rs"]
mod batches;
#[allow(dead_code, reason = "the harness knows them, and none runs here")]
mod contenders;
#[path = "handlers/departure.rs"]
mod departure;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;
#[path = "handlers/readiness.rs"]
mod readiness;
#[path = "handlers/slots.rs"]
mod slots;

use std::{error::Error, time::Duration};

use gossip_engine::{FlowSnapshot, FlowWorker};

use self::harness::output;

/// How long a flow may take to end before its round is void.
const DEADLINE: Duration = Duration::from_secs(60);

/// Ends a flow whose messages have all been handled, and returns what it has counted.
///
/// # Panics
///
/// If the counts do not add up, or say that a message was not admitted or not handled.
fn counted<M: Send + 'static>(flow: &FlowWorker<M>, messages: usize) -> FlowSnapshot {
    let report = flow.shutdown(DEADLINE);
    assert!(report.is_clean(), "void: {report:?}");
    let counts = flow.snapshot();
    counts.verify(flow.name()).expect("void: the counts do not add up");
    let found = (counts.admitted, counts.handled(), counts.held);
    assert_eq!(found, (messages as u64, messages as u64, 0), "void: admitted, handled, held");
    counts
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut rows = departure::measure();
    rows.extend(slots::measure()?);
    rows.extend(batches::measure());
    rows.extend(readiness::measure());
    output::publish("handlers", rows)?;
    Ok(())
}
