//! What stands in for the atomics, wakers and queues when shuttle schedules the threads.
//!
//! shuttle runs one thread at a time and switches only where its own operations begin, and so here: an
//! operation of a queue, a slot or a waker is the real one, in one step, with a switch before it. So it
//! explores in which order whole operations come, for many more of them than loom can, and nothing
//! weaker: it treats every ordering as sequentially consistent and a fence as nothing, no weak
//! exchange fails without reason, and no slot of a queue is ever seen reserved and not yet published. A
//! missing fence and a halved operation are for loom to find.

use std::{cell::Cell, time::Duration};

pub(crate) use shuttle::{
    sync::{
        Condvar, Mutex as RawMutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::{Thread, current as current_thread, park, yield_now},
};

/// A nap is as long as it takes others to run.
pub(crate) fn park_timeout(_: std::time::Duration) {
    yield_now();
}

/// Another thread may run here.
pub(crate) fn switch() {
    // shuttle has no time; what is left of a sleep is the switch, without the word that this thread
    // has nothing to do.
    shuttle::thread::sleep(Duration::ZERO);
}

/// A number below `end`, as the schedule says: the same when it is replayed.
pub(crate) fn random(end: usize) -> usize {
    use shuttle::rand::Rng;
    shuttle::rand::thread_rng().gen_range(0..end)
}

/// A cell of each thread. shuttle's threads are all one to the standard library.
pub(crate) struct Local<T: 'static>(&'static shuttle::thread::LocalKey<Cell<T>>);

impl<T> Local<T> {
    pub(crate) const fn new(key: &'static shuttle::thread::LocalKey<Cell<T>>) -> Self {
        Self(key)
    }

    pub(crate) fn get(&self) -> T
    where
        T: Copy,
    {
        self.0.with(Cell::get)
    }

    pub(crate) fn set(&self, value: T) {
        self.replace(value);
    }

    pub(crate) fn replace(&self, value: T) -> T {
        self.0.with(|cell| cell.replace(value))
    }
}

/// The standard library's, of cells.
macro_rules! local_cells {
    ($($(#[$doc:meta])* $seen:vis static $name:ident: Cell<$value:ty> = const { $first:expr };)*) => {$(
        $(#[$doc])*
        $seen static $name: $crate::sync::Local<$value> = {
            shuttle::thread_local! { static KEY: Cell<$value> = $first; }
            $crate::sync::Local::new(&KEY)
        };
    )*};
}
pub(crate) use local_cells as thread_local;

#[derive(Debug)]
pub(crate) struct ArrayQueue<T>(crossbeam::queue::ArrayQueue<T>);

impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(crossbeam::queue::ArrayQueue::new(capacity))
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        switch();
        self.0.push(value)
    }

    pub(crate) fn pop(&self) -> Option<T> {
        switch();
        self.0.pop()
    }

    pub(crate) fn len(&self) -> usize {
        switch();
        self.0.len()
    }
}
