//! The seams where no simulation can run: each says so, and is compiled out.

use std::time::Duration;

pub(crate) mod clock {
    use std::time::{Duration, Instant};

    #[cfg(not(any(loom, shuttle)))]
    #[inline(always)]
    pub(crate) fn read() -> Option<Duration> {
        None
    }

    #[inline(always)]
    pub(crate) fn instant() -> Option<Instant> {
        None
    }

    #[inline(always)]
    pub(crate) fn pass(_: Duration) -> bool {
        false
    }
}

#[inline(always)]
pub(crate) fn is_on() -> bool {
    false
}

#[inline(always)]
pub(crate) fn is_stepped() -> bool {
    false
}

#[inline(always)]
pub(crate) fn run_others(_: &mut usize) -> bool {
    false
}

pub(crate) fn watch(_: Duration, _: impl FnMut() -> bool + 'static) {}

/// There are none of these. Shuttle has threads of its own.
#[cfg(not(shuttle))]
#[derive(Debug)]
pub(crate) enum Simulated {}

#[cfg(not(shuttle))]
impl Simulated {
    pub(crate) fn begin(_: usize) -> Option<Self> {
        None
    }

    pub(crate) fn start(&self, _: impl Fn(usize) -> bool + 'static) {
        match *self {}
    }

    pub(crate) fn run(&self, _: usize) {
        match *self {}
    }

    pub(crate) fn have_ended(&self) -> bool {
        match *self {}
    }

    pub(crate) fn threads(&self) -> usize {
        match *self {}
    }
}
