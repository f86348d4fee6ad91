//! The one place that names the standard library's atomics, or loom's or shuttle's in their stead.
//!
//! The types are aliases, so that the lint that keeps atomics out of the other rooms lets these
//! through. Queues and wakers are here too: loom cannot see into crossbeam's, so under `--cfg loom`
//! a stand-in takes their place that is made of loom's atomics and has the same weak points. Under
//! `--cfg shuttle` they are the real ones, and what they do is one step.

#[cfg(not(any(loom, shuttle)))]
#[expect(clippy::disallowed_types, reason = "the aliases that every other room uses")]
mod real {
    pub(crate) use std::sync::atomic::{Ordering, fence};

    pub(crate) use std::thread::{Thread, current as current_thread, park, yield_now};
    pub(crate) use std::thread_local;

    pub(crate) use atomic_waker::AtomicWaker;
    pub(crate) use crossbeam::queue::ArrayQueue;

    /// Holds a boxed value that threads hand to each other; a swap of a pointer.
    pub(crate) type Slot<T> = crossbeam::atomic::AtomicCell<Option<Box<T>>>;

    pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;
    pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;
    pub(crate) type AtomicUsize = std::sync::atomic::AtomicUsize;
}

/// A count that orders nothing and is nobody's signal; neither loom nor shuttle need look at it.
#[expect(clippy::disallowed_types, reason = "the alias that every other room uses")]
pub(crate) type Tally = std::sync::atomic::AtomicU64;

#[cfg(loom)]
mod model;
#[cfg(shuttle)]
mod scheduled;

#[cfg(loom)]
pub(crate) use model::*;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use real::*;
#[cfg(shuttle)]
pub(crate) use scheduled::*;
