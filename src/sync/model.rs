//! What stands in for the atomics, wakers and queues when loom explores the interleavings.
//!
//! The queue has what a proof must not overlook in crossbeam's: an entry takes two steps to push,
//! reserved and then published, and is counted from the first; a pop of a reserved entry waits for
//! it. Nothing in it synchronises more than crossbeam's queues do, so a missing fence shows.

use std::collections::VecDeque;

pub(crate) use loom::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    thread::{Thread, current as current_thread, park, yield_now},
};
pub(crate) use std::thread_local;

/// loom's, with the signature of the `atomic-waker` crate.
#[derive(Debug)]
pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(loom::future::AtomicWaker::new())
    }

    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.0.register_by_ref(waker);
    }

    pub(crate) fn wake(&self) {
        self.0.wake();
    }

    pub(crate) fn take(&self) -> Option<std::task::Waker> {
        self.0.take_waker()
    }
}

/// A slot whose swap is a swap of loom's.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    full: AtomicBool,
    // As in `ArrayQueue`: a lock that loom does not see adds no order to a model.
    value: std::sync::Mutex<Option<Box<T>>>,
}

impl<T> Slot<T> {
    pub(crate) fn new(value: Option<Box<T>>) -> Self {
        Self { full: AtomicBool::new(value.is_some()), value: std::sync::Mutex::new(value) }
    }

    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.full.swap(false, Ordering::AcqRel);
        self.value.lock().unwrap().take()
    }

    pub(crate) fn store(&self, value: Option<Box<T>>) {
        *self.value.lock().unwrap() = value;
        self.full.swap(true, Ordering::AcqRel);
    }
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

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
