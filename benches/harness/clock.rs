//! When messages are due, and the handler that notes when it was started.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    hint, iter,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam::queue::SegQueue;
use gossip_engine::NodeId;
use hdrhistogram::Histogram;

use crate::{
    contenders::Handler,
    harness::ledger::{Ledger, Message},
};

/// How long before the first message a contender may still be starting its threads.
pub(crate) const LEAD: Duration = Duration::from_millis(20);
/// How long a handler may take to start before the round is void.
const PATIENCE: Duration = Duration::from_secs(120);
const SIGNIFICANT_DIGITS: u8 = 3;
/// A handler that takes so much longer than its work was stopped by the machine; less is an interrupt.
const STOP: Duration = Duration::from_micros(200);

/// Exponential gaps with this mean; for one seed always the same.
pub(crate) fn poisson(seed: u64, messages: usize, gap: Duration) -> Vec<Duration> {
    let mut state = seed;
    let mut at = LEAD;
    let mut next = || {
        // 53 random bits; 1 is added, so that the logarithm is finite.
        let uniform = ((split_mix(&mut state) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        at += gap.mul_f64(-uniform.ln());
        at
    };
    (0..messages).map(|_| next()).collect()
}

/// One message in each gap.
pub(crate) fn even(messages: usize, gap: Duration) -> Vec<Duration> {
    (1..=messages).map(|number| LEAD + gap.mul_f64(number as f64)).collect()
}

/// SplitMix64, by Steele, Lea and Flood.
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What part of a round's messages, from its beginning on, says nothing about those that follow: with them
/// lanes are made, and memory is touched and threads are woken for the first time.
const UNSETTLED: usize = 10;

/// The messages of a round behind its first tenth, with their numbers.
pub(crate) fn settled<T>(messages: &[T]) -> impl Iterator<Item = (usize, &T)> {
    messages.iter().enumerate().skip(messages.len() / UNSETTLED)
}

/// Returns what the clock says then.
pub(crate) fn spin_until(started: Instant, due: Duration) -> Duration {
    loop {
        let now = started.elapsed();
        if now >= due {
            return now;
        }
        hint::spin_loop();
    }
}

/// Like [`spin_until`], but leaves the core to others; it wakes later by some dozen microseconds.
pub(crate) fn sleep_until(started: Instant, due: Duration) -> Duration {
    // The system may otherwise wait 50 microseconds more, to wake several threads at once.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    loop {
        let now = started.elapsed();
        if now >= due {
            return now;
        }
        thread::sleep(due - now);
    }
}

/// A handler that notes when it was started and then works for a while.
#[derive(Clone)]
pub(crate) struct Stopwatch(Arc<Shared>);

struct Shared {
    started: Instant,
    work: Duration,
    /// For each message, when its handler started: nanoseconds since `started`.
    starts: Vec<AtomicU64>,
    /// When a handler that had been stopped went on, and for how long it had been.
    stops: SegQueue<(Duration, Duration)>,
    ledger: Ledger,
}

impl Stopwatch {
    pub(crate) fn new(messages: usize, work: Duration) -> Self {
        let starts = (0..messages).map(|_| AtomicU64::new(0)).collect();
        let ledger = Ledger::new(messages);
        let stops = SegQueue::new();
        Self(Arc::new(Shared { started: Instant::now(), work, starts, stops, ledger }))
    }

    /// What the schedule is relative to.
    pub(crate) fn started(&self) -> Instant {
        self.0.started
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Runs the message of this number.
    pub(crate) fn run(&self, sequence: usize) {
        let shared = &*self.0;
        let start = shared.started.elapsed();
        // Relaxed: the ledger's count publishes it.
        shared.starts[sequence].store(start.as_nanos() as u64, Ordering::Relaxed);
        if !shared.work.is_zero() {
            let end = start + shared.work;
            let now = spin_until(shared.started, end);
            if now - end >= STOP {
                shared.stops.push((now, now - end));
            }
        }
        shared.ledger.mark(sequence);
    }

    /// The longest that handlers, which do nothing but read the clock, did not run within such a `window`, in
    /// all. Whether a worker was stopped between two of them is not known. To be asked once.
    pub(crate) fn stopped_within(&self, window: Duration) -> Duration {
        let mut stops: Vec<_> = iter::from_fn(|| self.0.stops.pop()).collect();
        stops.sort_unstable();
        let within = |from: usize| {
            let until = stops[from].0 + window;
            stops[from..]
                .iter()
                .take_while(|(end, _)| *end <= until)
                .map(|(_, length)| *length)
                .sum()
        };
        (0..stops.len()).map(within).max().unwrap_or_default()
    }

    /// When the handler of this message started; zero if it has not.
    pub(crate) fn start_of(&self, sequence: usize) -> Duration {
        // Relaxed: as in `run`, or the caller looks again.
        Duration::from_nanos(self.0.starts[sequence].load(Ordering::Relaxed))
    }

    /// Waits until the handlers of the first so many messages have started.
    ///
    /// # Panics
    ///
    /// If they have not after two minutes.
    pub(crate) fn wait_for_first(&self, messages: usize) {
        let until = Instant::now() + PATIENCE;
        for sequence in 0..messages {
            while self.start_of(sequence).is_zero() {
                assert!(Instant::now() < until, "void: message {sequence} does not start");
                thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// From when each message was due to when its handler started.
    pub(crate) fn latencies(&self, due: &[Duration]) -> Histogram<u64> {
        self.latencies_of(due.iter().copied().enumerate())
    }

    /// Like [`latencies`](Self::latencies), of some messages by their numbers.
    pub(crate) fn latencies_of(
        &self,
        due: impl IntoIterator<Item = (usize, Duration)>,
    ) -> Histogram<u64> {
        let mut histogram = Histogram::new(SIGNIFICANT_DIGITS).expect("the precision is in range");
        for (sequence, due) in due {
            let latency = self.start_of(sequence).saturating_sub(due).as_nanos() as u64;
            histogram.record(latency).expect("it grows as needed");
        }
        histogram
    }
}

impl Handler for Stopwatch {
    fn handle(&self, _: NodeId, message: Message) {
        hint::black_box(&message);
        self.run(message.sequence);
    }
}
