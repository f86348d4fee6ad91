//! Which cores a thread may run on, so that the one that submits messages on time has a core of its own:
//! otherwise a worker that is woken onto that core waits there, for milliseconds, while the producer
//! spins.
//!
//! A thread starts where the one that started it may run. So the measuring thread goes to the
//! [`others`], builds the contender there, and then goes [`apart`]. Where there is one core only, or the
//! system does not let itself be told, nothing happens, and the figures are noisier.

use std::sync::OnceLock;

/// The calling thread runs on the first core only.
pub(crate) fn apart() {
    if let [first, _, ..] = allowed() {
        system::run_on(&[*first]);
    }
}

/// The calling thread, and those that it starts, run on all but the first core.
pub(crate) fn others() {
    if let [_, others @ ..] = allowed()
        && !others.is_empty()
    {
        system::run_on(others);
    }
}

/// How many cores there are for this process, at least 1.
pub(crate) fn count() -> usize {
    allowed().len().max(1)
}

/// The calling thread runs on this core only, by its place among those that there are.
pub(crate) fn only(core: usize) {
    if let Some(core) = allowed().get(core) {
        system::run_on(&[*core]);
    }
}

/// The calling thread, and those that it starts, run anywhere.
pub(crate) fn anywhere() {
    system::run_on(allowed());
}

/// Where this process may run, asked before any thread was told where to.
fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(system::allowed)
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    pub(super) fn run_on(cores: &[usize]) {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        // Refused, also for no cores at all, it leaves the thread where it was.
        let _ = sched_setaffinity(None, &set);
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn allowed() -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn run_on(_: &[usize]) {}
}
