//! What stands in for the atomics, wakers and queues when loom explores the interleavings.
//!
//! The queue has what a proof must not overlook in crossbeam's: an entry takes two steps to push,
//! reserved and then published, and is counted from the first; a pop of a reserved entry waits for
//! it. Nothing in it synchronises more than crossbeam's queues do, so a missing fence shows.

use std::collections::VecDeque;

pub(crate) use loom::{
    sync::{
        Condvar, Mutex as RawMutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::{Thread, current as current_thread, park, yield_now},
};
pub(crate) use std::thread_local;

/// A nap is as long as it takes others to run.
pub(crate) fn park_timeout(_: std::time::Duration) {
    yield_now();
}

/// A model pushes at most this often to one queue; slots are not used again.
const SLOTS: usize = 6;

/// The slots of a queue, without its bound.

#[derive(Debug)]
struct Slots<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    published: [AtomicBool; SLOTS],
    // Touched by the owner of a slot only, after the slot's own hand-over; a lock that loom does not
    // see adds no order to a model.
    values: std::sync::Mutex<VecDeque<Option<T>>>,
}

impl<T> Slots<T> {
    fn new() -> Self {
        Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            published: std::array::from_fn(|_| AtomicBool::new(false)),
            values: std::sync::Mutex::new((0..SLOTS).map(|_| None).collect()),
        }
    }

    fn push(&self, value: T) {
        let slot = self.tail.fetch_add(1, Ordering::AcqRel);
        assert!(slot < SLOTS, "the model pushes too often");
        self.values.lock().unwrap()[slot] = Some(value);
        self.published[slot].store(true, Ordering::Release);
    }

    fn pop(&self) -> Option<T> {
        loop {
            let slot = self.head.load(Ordering::Relaxed);
            if slot == SLOTS || !self.published[slot].load(Ordering::Acquire) {
                fence(Ordering::SeqCst);
                if slot == self.tail.load(Ordering::Relaxed) {
                    return None;
                }
            } else if self
                .head
                .compare_exchange(slot, slot + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return self.values.lock().unwrap()[slot].take();
            }
            loom::thread::yield_now();
        }
    }

    fn len(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        self.tail.load(Ordering::Acquire).saturating_sub(head)
    }
}

/// crossbeam's bounded queue.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    queue: Slots<T>,
    capacity: usize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { queue: Slots::new(), capacity }
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        if self.queue.len() >= self.capacity {
            return Err(value);
        }
        self.queue.push(value);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
