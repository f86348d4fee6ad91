//! The message that all contenders carry, and the ledger that voids a round in which one of them was
//! lost or handled twice.
//!
//! A handler marks the message's slot and counts one call. If there were as many calls as messages
//! and every slot is marked, each message was handled exactly once; neither step is a locked
//! instruction, so that the proof costs little beside what is measured. The `base` contender shows it.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    cell::Cell,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam::utils::CachePadded;
use gossip_engine::NodeId;

use crate::contenders::Handler;

/// How many threads may call handlers at the same time.
const COUNTERS: usize = 64;
/// How long a message may take before its round is void.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the end of a round is looked for.
const LOOK_EVERY: Duration = Duration::from_micros(20);

/// What every contender carries: 96 bytes, of which 8 say which message it is.
pub(crate) struct Message {
    pub(crate) sequence: usize,
    _body: [u64; 11],
}

const _: () = assert!(size_of::<Message>() == 96);

impl Message {
    pub(crate) fn new(sequence: usize) -> Self {
        Self { sequence, _body: black_box([sequence as u64; 11]) }
    }
}

/// Which messages of a round have been handled.
pub(crate) struct Ledger {
    seen: Vec<AtomicU8>,
    calls: [CachePadded<AtomicU64>; COUNTERS],
}

impl Ledger {
    pub(crate) fn new(messages: usize) -> Self {
        Self {
            seen: (0..messages).map(|_| AtomicU8::new(0)).collect(),
            calls: std::array::from_fn(|_| CachePadded::default()),
        }
    }

    /// Notes that a handler was called with this message.
    #[inline]
    pub(crate) fn handled(&self, message: &Message) {
        black_box(message);
        self.mark(message.sequence);
    }

    /// Notes that a handler was called with the message of this number.
    #[inline]
    pub(crate) fn mark(&self, sequence: usize) {
        // Relaxed: the count below is what publishes the mark.
        self.seen[sequence].store(1, Ordering::Relaxed);
        let calls = &self.calls[counter_of_this_thread()];
        // Relaxed: only this thread writes this counter. Were there ever more threads than counters,
        // calls would be missing and the round would be void.
        let before = calls.load(Ordering::Relaxed);
        // Release: whoever reads the count sees the marks behind it.
        calls.store(before + 1, Ordering::Release);
    }

    /// Waits until as many handlers were called as there are messages, and returns when that was, to
    /// a few dozen microseconds.
    ///
    /// # Panics
    ///
    /// If messages are missing after two minutes.
    pub(crate) fn wait(&self) -> Instant {
        self.wait_for(self.seen.len())
    }

    /// Like [`wait`](Self::wait), for so many messages.
    pub(crate) fn wait_for(&self, messages: usize) -> Instant {
        let started = Instant::now();
        loop {
            let now = Instant::now();
            if self.calls() >= messages as u64 {
                return now;
            }
            assert!(now - started < PATIENCE, "void: {} messages handled", self.calls());
            thread::sleep(LOOK_EVERY);
        }
    }

    /// # Panics
    ///
    /// If a message was handled not exactly once. To be called when no handler can run any more.
    pub(crate) fn verify(&self) {
        self.verify_first(self.seen.len());
    }

    /// Like [`verify`](Self::verify), of a round that submitted only so many messages.
    pub(crate) fn verify_first(&self, messages: usize) {
        assert_eq!(self.calls(), messages as u64, "void: handled too often or not at all");
        let submitted = &self.seen[..messages];
        let missing = submitted.iter().position(|seen| seen.load(Ordering::Relaxed) == 0);
        assert_eq!(missing, None, "void: a message was never handled and another one twice");
    }

    fn calls(&self) -> u64 {
        // Acquire: pairs with the store in `handled`.
        self.calls.iter().map(|calls| calls.load(Ordering::Acquire)).sum()
    }
}

/// The handler that does nothing else.
impl Handler for Arc<Ledger> {
    #[inline]
    fn handle(&self, _: NodeId, message: Message) {
        self.handled(&message);
    }
}

/// Threads are numbered as they first call a handler; those of one contender get numbers in a row.
#[inline]
fn counter_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(THREADS.fetch_add(1, Ordering::Relaxed) % COUNTERS);
        }
        own.get()
    })
}
