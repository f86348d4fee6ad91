//! What one flow counts, which is its bound as well.

use std::{
    fmt,
    sync::{OnceLock, Weak},
    time::{Duration, Instant},
};

use crossbeam::{
    channel::{Receiver, Sender, bounded},
    utils::CachePadded,
};
use strum::EnumCount;

use super::{Counter, FlowSnapshot, worker::WorkerMetrics};
use crate::{
    FlowConfig, Outcome,
    clock::nanos,
    latency::LatencySnapshot,
    permits::{Attempt, ByteBound, Permits},
    sync::{AtomicU64, AtomicUsize, Ordering},
};

/// Who waits for the last message to finish looks at least this often, should it miss the word.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// So many messages more than the high-water mark, and a share of it, may be in flight before a new one is
/// looked for, which means to look at what each worker has finished.
const BEYOND: u64 = 64;
const BEYOND_SHARE: u64 = 32;

/// The ends of admitted messages that others than workers count; the last of them, workers do too.
const NOT_BY_WORKERS: [Outcome; 3] =
    [Outcome::DroppedAtShutdown, Outcome::DroppedOldest, Outcome::Cancelled];

/// Counters and histograms of one flow of one handler, and its bound.
#[derive(Debug)]
pub(crate) struct FlowMetrics {
    /// Written with every message that is admitted.
    pub(crate) permits: CachePadded<Permits>,
    /// Written with every message, if the flow or its peers are bounded in bytes.
    pub(crate) bytes: CachePadded<ByteBound>,
    pub(crate) workers: Box<[CachePadded<WorkerMetrics>]>,
    /// The most messages that were found in flight.
    high_water: AtomicU64,
    waiting: AtomicUsize,
    waited: Counter,
    /// By end; those that workers find are counted by them.
    ends: [Counter; Outcome::COUNT],
    stray_panics: Counter,
    stuck: Counter,
    /// Handlers that wait below a shutdown on their own stack.
    shutting_down: AtomicUsize,
    /// What only the flow itself can say, as long as it is there.
    gauges: OnceLock<Weak<dyn Gauges>>,
    /// One token: a message has finished after the flow was closed.
    finished: (Sender<()>, Receiver<()>),
}

/// What is not counted, but is to be looked at.
pub(crate) trait Gauges: fmt::Debug + Send + Sync {
    /// About how long the oldest message that is queued has waited.
    fn oldest_age(&self) -> Duration;

    /// Threads of the flow that are alive.
    fn live_workers(&self) -> usize;

    /// The age at which messages expire.
    fn max_age(&self) -> Option<Duration>;
}

impl FlowMetrics {
    pub(crate) fn new(config: &FlowConfig) -> Self {
        let limit = config.max_inflight_requests() as u64;
        Self {
            permits: CachePadded::new(Permits::new(limit)),
            bytes: CachePadded::new(ByteBound::new(config.max_bytes())),
            workers: (0..config.threads()).map(|_| CachePadded::default()).collect(),
            high_water: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            waited: Counter::default(),
            ends: Default::default(),
            stray_panics: Counter::default(),
            stuck: Counter::default(),
            shutting_down: AtomicUsize::new(0),
            gauges: OnceLock::new(),
            finished: bounded(1),
        }
    }

    /// What is to be looked at, of the flow that was built with these metrics.
    pub(crate) fn observe(&self, gauges: Weak<dyn Gauges>) {
        // A flow is built once.
        let _ = self.gauges.set(gauges);
    }

    /// How many messages have finished, dropped ones included.
    pub(crate) fn left(&self) -> u64 {
        // Acquire: who sees a message finished sees what it did.
        let ran = self.workers.iter().map(|worker| worker.finished.load(Ordering::Acquire));
        let dropped = |end: Outcome| self.ends[end as usize].0.load(Ordering::Acquire);
        NOT_BY_WORKERS.into_iter().map(dropped).sum::<u64>() + ran.sum::<u64>()
    }

    /// A message enters the flow if there is room, whoever waits for it.
    #[inline]
    pub(crate) fn enter(&self) -> Attempt {
        let attempt = self.permits.enter_past(|| self.left());
        if attempt == Attempt::Entered {
            self.note_high_water();
        }
        attempt
    }

    #[inline]
    fn note_high_water(&self) {
        // Relaxed: for the eye only.
        let mark = self.high_water.load(Ordering::Relaxed);
        if self.permits.at_most_in_flight() > mark + mark / BEYOND_SHARE + BEYOND {
            self.look_at_load();
        }
    }

    /// Messages in flight, which may be more than ever before.
    fn look_at_load(&self) -> usize {
        // Remembered: the next look comes no sooner than so many more have entered, although they leave
        // again. It takes the cache lines on which workers count.
        let in_flight = self.permits.look(|| self.left());
        // Relaxed: for the eye only.
        self.high_water.fetch_max(in_flight as u64, Ordering::Relaxed);
        in_flight
    }

    /// Messages admitted and not yet finished.
    pub(crate) fn in_flight(&self) -> usize {
        self.permits.in_flight(|| self.left())
    }

    /// Whether one more message may be admitted now.
    pub(crate) fn has_room(&self) -> bool {
        self.permits.has_room(|| self.left()) && self.bytes.has_room()
    }

    /// Submitters that wait for room.
    pub(crate) fn waiting(&self) -> usize {
        // Relaxed: for the eye only.
        self.waiting.load(Ordering::Relaxed)
    }

    /// A message has found no room: there are as many in flight as will be for now.
    pub(crate) fn finds_no_room(&self) {
        // Relaxed: for the eye only.
        if self.permits.at_most_in_flight() > self.high_water.load(Ordering::Relaxed) {
            self.look_at_load();
        }
    }

    /// A message found no room, and its submitter looks for a place to wait.
    pub(crate) fn waits(&self) {
        // Relaxed: for the eye only.
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A submitter that waits has found a place.
    pub(crate) fn has_waited(&self) {
        self.waited.increment();
    }

    /// A submitter waits no longer.
    pub(crate) fn waits_no_longer(&self) {
        // Relaxed: for the eye only.
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// A message has come to an end that no worker counts. If it had been admitted, it is gone, and its
    /// room is free.
    pub(crate) fn ended(&self, end: Outcome) {
        // Release: as for those that ran.
        self.ends[end as usize].0.fetch_add(1, Ordering::Release);
    }

    /// How many messages have come to this end, which is one that no worker counts.
    pub(crate) fn count(&self, end: Outcome) -> u64 {
        // Acquire: pairs with the Release above.
        self.ends[end as usize].0.load(Ordering::Acquire)
    }

    /// A handler has run for longer than it should.
    pub(crate) fn found_stuck(&self) {
        self.stuck.increment();
    }

    /// Something that a handler has spawned panicked.
    pub(crate) fn stray_panic(&self) {
        self.stray_panics.increment();
    }

    /// A message has finished after the flow was closed.
    pub(crate) fn tell_who_shuts_down(&self) {
        // Full means that the word is out already.
        let _ = self.finished.0.try_send(());
    }

    /// Waits until no more messages are in flight than handlers that wait here themselves, `own` of
    /// them below this call; false if the deadline comes first. The flow must be closed.
    pub(crate) fn wait_for_last(&self, own: usize, deadline: Instant) -> bool {
        // AcqRel: part of a count that each of several who wait must see; who comes later looks again.
        self.shutting_down.fetch_add(own, Ordering::AcqRel);
        let done = loop {
            if self.in_flight() <= self.shutting_down.load(Ordering::Acquire) {
                break true;
            }
            let now = Instant::now();
            if now >= deadline {
                break false;
            }
            // Either outcome means to look again.
            let _ = self.finished.1.recv_deadline(deadline.min(now + LOOK_EVERY));
        };
        self.shutting_down.fetch_sub(own, Ordering::AcqRel);
        done
    }

    pub(crate) fn snapshot(&self) -> FlowSnapshot {
        // The load first: who finds nothing in flight then reads the counts of all that finished.
        let in_flight = self.look_at_load();
        let sum = |count: fn(&WorkerMetrics) -> &AtomicU64| {
            // Acquire: as in `left`.
            self.workers.iter().map(|worker| count(worker).load(Ordering::Acquire)).sum::<u64>()
        };
        let mut ends: [u64; Outcome::COUNT] = std::array::from_fn(|end| self.ends[end].get());
        let found = [
            (Outcome::Handled, sum(|worker| &worker.handled)),
            (Outcome::Panicked, sum(|worker| &worker.panicked)),
            (Outcome::Expired, sum(|worker| &worker.expired)),
            (Outcome::Shed, sum(|worker| &worker.shed)),
            (Outcome::Cancelled, sum(|worker| &worker.cancelled)),
        ];
        found.iter().for_each(|&(end, count)| ends[end as usize] += count);
        let running = self.workers.iter().filter(|worker| worker.seat().is_some()).count();
        let gauges = self.gauges.get().and_then(Weak::upgrade);
        let oldest_age = match &gauges {
            Some(gauges) if in_flight > 0 => gauges.oldest_age(),
            _ => Duration::ZERO,
        };
        let waiting = self.waiting();
        let max_age = gauges.as_ref().and_then(|gauges| gauges.max_age());
        let shares = [
            share(in_flight as u64, self.permits.limit()),
            self.bytes.limit().map_or(0, |limit| share(self.bytes.in_flight() as u64, limit)),
            max_age.map_or(0, |max| share(nanos(oldest_age), nanos(max))),
            if waiting > 0 { 100 } else { 0 },
        ];
        FlowSnapshot {
            in_flight,
            queued: in_flight.saturating_sub(running),
            bytes_in_flight: self.bytes.in_flight(),
            waiting,
            oldest_age,
            high_water: self.high_water.load(Ordering::Relaxed) as usize,
            live_workers: gauges.as_ref().map_or(0, |gauges| gauges.live_workers()),
            overload: shares.into_iter().max().unwrap_or_default(),
            stray_panics: self.stray_panics.get(),
            stuck: self.stuck.get(),
            admitted: self.permits.entered(),
            waiting_for_peer_permit: self.waited.get(),
            ends,
            wait: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.wait)),
            service: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.service)),
        }
    }
}

/// How many hundredths of the limit are used, at most 100.
fn share(used: u64, limit: u64) -> u8 {
    (u128::from(used) * 100 / u128::from(limit.max(1))).min(100) as u8
}
