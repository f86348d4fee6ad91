//! The one place that names the standard library's atomics, or loom's or shuttle's in their stead.
//!
//! The types are aliases, so that the lint that keeps atomics out of the other modules lets these
//! through. Queues and wakers are here too: loom cannot see into crossbeam's, so under `--cfg loom`
//! a stand-in takes their place that is made of loom's atomics and has the same weak points. Under
//! `--cfg shuttle` they are the real ones, and what they do is one step.

use std::sync::{PoisonError, TryLockError};

#[cfg(not(any(loom, shuttle)))]
#[expect(clippy::disallowed_types, reason = "the aliases that every other module uses")]
mod real {
    pub(crate) use std::sync::atomic::{Ordering, fence};

    pub(crate) use std::sync::MutexGuard;
    pub(crate) use std::thread::{
        Thread, current as current_thread, park, park_timeout, yield_now,
    };
    pub(crate) use std::thread_local;

    pub(crate) use crossbeam::queue::ArrayQueue;

    pub(crate) type Condvar = std::sync::Condvar;
    pub(crate) type RawMutex<T> = std::sync::Mutex<T>;

    pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;
    pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;
    pub(crate) type AtomicUsize = std::sync::atomic::AtomicUsize;
}

/// A count that orders nothing and is nobody's signal; neither loom nor shuttle need look at it.
#[expect(clippy::disallowed_types, reason = "the alias that every other module uses")]
pub(crate) type Tally = std::sync::atomic::AtomicU64;

/// A mutex for what is off the message path, or that is only ever tried there. A panic under it poisons nothing:
/// what it guards is plain data that each step leaves whole.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(RawMutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RawMutex::new(value))
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock if nobody holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

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
