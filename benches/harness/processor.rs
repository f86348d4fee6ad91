//! Processor time, from the system's clocks, which count it to the nanosecond.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What all threads of this process have used so far, those that have ended included.
pub(crate) fn of_process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// What the calling thread has used so far.
pub(crate) fn of_thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().expect("processor time is not negative")
}
