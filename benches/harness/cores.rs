//! Which cores a thread may run on, so that the one that brings messages on time has a core of its own:
//! otherwise a worker that is woken onto that core waits there, for milliseconds, while the producer
//! spins.
//!
//! A thread starts where the one that started it may run. So the measuring thread goes to the
//! [`others`], builds the contender there, and then goes [`apart`]. Where there is one core only, or the
//! system does not let itself be told, both do nothing.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where this process may run, asked before any thread was told where to.
fn allowed() -> &'static Vec<usize> {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    })
}

/// The calling thread runs on the first core only.
pub(crate) fn apart() {
    run_on(&allowed()[..1.min(allowed().len())]);
}

/// The calling thread, and those that it starts, run on all but the first core.
pub(crate) fn others() {
    run_on(&allowed()[1.min(allowed().len())..]);
}

/// The calling thread, and those that it starts, run anywhere.
pub(crate) fn anywhere() {
    run_on(allowed());
}

fn run_on(cores: &[usize]) {
    if allowed().len() < 2 {
        return;
    }
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    // A refusal leaves the thread where it was, which only makes the figures noisier.
    let _ = sched_setaffinity(None, &set);
}
