//! A fair, bounded queue with a lane for each key. It knows nothing of peers, handlers, threads or clocks.
//!
//! ```text
//!  submitters                                      workers, one at a time           each worker
//!
//!  Gate of the lane ─▶ Gate of the queue ─▶ inbox ───────▶ Schedule ───────▶ run of up to 32 items
//!        │ no capacity                    ArrayQueue    lists, turns, debt       of one lane
//!        ▼                                                                            │
//!     Waiters, a line for each lane ◀─────────── capacity, when an item has finished ─┘
//! ```
//!
//! A submitter takes a permit of its lane and one of the queue, each by one exchange, and pushes its item into the
//! inbox; or the permits of up to 16 items, which are pushed as a row. It may also wait for the permits alone, hold
//! them, and push an item later ([`FairQueue::fill`]). Order and policy are decided later.
//! A worker that wants work takes the schedule's lock (it never waits for it: [`Take::Busy`]), moves what is in the
//! inbox into the lanes, and takes the next run in fair order. What it has finished it counts on a cache line of its
//! own; the submitters' bounds are computed from that.
//!
//! | word | written by | with |
//! |---|---|---|
//! | [`Gate`] of the queue and of the lane | submitters | one exchange an item, or a row |
//! | tail of the inbox | submitters | the same |
//! | head of the inbox | the worker that has the schedule | the same |
//! | rows that are empty | that worker, and who submits rows | the same |
//! | what has finished, of the lane and of each worker | that worker | a store an item |
//! | who serves the lane | that worker | two stores a run |
//! | who waits | those who wait, under the waiters' lock | |
//!
//! | file | its subject |
//! |---|---|
//! | `submit`, `gate` | the way in: two permits, the inbox, a knock |
//! | `rows` | the same for up to 16 items at once |
//! | `wait`, `waiters` | those who wait, in which turn they are let in, and permits without an item |
//! | `take`, `schedule`, `turns`, `chunks` | the way out: whose turn it is, and what of its lane |
//! | `replace` | an item that takes the place of queued ones |
//! | `wake_list` | who is to be woken when no lock is held |
//! | `lanes`, `lane`, `table` | lanes that come and go, and how a key finds its own |
//!
//! # Why nothing rests
//!
//! Four pairs of steps must not miss each other. In each of them both sides write, fence, and then read what the
//! other has written; the fences are sequentially consistent, so at least one of them sees the other.
//!
//! 1. *An item, or a row of them, and a worker.* A lane is *active* while the schedule knows that something is queued
//!    in it, or as many workers serve it as may. [`FairQueue::submit`], and [`FairQueue::submit_many`] with each row,
//!    pushes, fences, and reads whether the lane is active. If so it wakes nobody: the worker that ends the activity
//!    says so, fences, and moves all that is in the inbox ([`FairQueue::drain_all`]; where there is one worker,
//!    before it sleeps). If not it *knocks*, fences, and reads whether workers sleep. A worker that goes to sleep
//!    says so, fences, and reads whether somebody has knocked. Who takes the knock back fences and moves all that is
//!    in the inbox.
//! 2. *Capacity and somebody who waits.* Who [waits](FairQueue::wait), with an item or for a permit, joins the line,
//!    fences, and tries to enter once more. A worker counts an item as finished, fences ([`FairQueue::publish`]), and
//!    looks whether somebody waits.
//! 3. *The last item and the end.* Who closes the queue says so, fences, and looks whether anything is in flight. Who
//!    finishes an item counts it, fences, and looks whether the queue is closed. So one of them finds it over.
//! 4. *The last two who let go of a lane that is cancelled or retired.* A worker counts its item as finished,
//!    somebody else takes his item or his permit out, a third closes the lane. Each fences and looks whether the lane
//!    is over, and the one that finds it so takes the schedule's lock, removes the lane, says that it is *left*, and
//!    gives the event. The lock orders the worker and the third: a worker that ends its turn before the third has the
//!    lock is found to serve the lane no longer, one that ends it after finds that the lane *departs*, and looks. A
//!    newcomer that sees a lane over may take its place before. The one that comes for it then still finds the lane
//!    over, finds nothing to remove, and gives the event. *Left* is written under the lock, the first time only, and
//!    before the event is given: so the event comes once. Who retires a lane and then reads that it is not left,
//!    under a lock that is taken for the event, too, gets the event after that.
//!
//! A worker settles with those who wait not after each item but at the latest when its run ends. Should an item turn
//! out long in the middle of a run, the caller of [`FairQueue::grant`] does it in the worker's stead.
//!
//! # Locks
//!
//! The waiters' lock is taken before the schedule's. No code of the user runs under either.
//!
//! # Limits
//!
//! [`Limits`]; the inbox has at most [`INBOX`] slots (a submitter that finds it full moves items into the lanes
//! itself); a call lets in at most [`GRANTS`] of those who wait; an item is compared with at most
//! [`MAX_COMPARED`](replace::MAX_COMPARED) that it may [`replace`].

use std::{hash::Hash, sync::Arc};

use crossbeam::utils::CachePadded;

use self::{
    chunks::Chunk,
    gate::{Bytes, Gate},
    rows::{Entry, Row, SPARE_ROWS},
    schedule::{Charged, Ended, Rules, Schedule},
    table::Table,
    waiters::Waiters,
};
use crate::sync::{ArrayQueue, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};

mod chunks;
mod gate;
mod lane;
mod lanes;
mod replace;
mod rows;
mod schedule;
mod submit;
mod table;
mod take;
mod turns;
mod wait;
mod waiters;
mod wake_list;

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

pub(crate) use self::{
    chunks::RUN,
    lane::{Lane, TAG_BITS},
    lanes::Departed,
    replace::Replaced,
    rows::Offer,
    waiters::{Left, Refusal, Waited},
    wake_list::WakeList,
};

/// The most slots of the inbox.
const INBOX: usize = if cfg!(loom) { 4 } else { 16_384 };

/// How many items a worker moves from the inbox into the lanes before a run, where items are not [`BRIEF`].
const DRAIN: usize = 512;

/// How many it takes out of the inbox before it looks at their lanes, where there are more lanes than stay in a near
/// cache ([`WARM_LANES`]): so the lanes' cache lines come at the same time, and not one after the other.
const HANDFUL: usize = 16;
const WARM_LANES: usize = 256;

/// Nanoseconds within which an item is brief. Where they are, workers look into the inbox when they have taken half of
/// what is queued, or [`AHEAD`] items. They move twice as many as they have taken, and so many that [`AHEAD`] are
/// queued. So they do not follow close upon the submitters, which would cost both of them a transfer of cache lines
/// for each item; and a lane's first item waits for at most half of the items before it, and for [`AHEAD`] of other
/// lanes.
const BRIEF: u64 = 1_000;
const AHEAD: usize = 2 * RUN;

/// How many of those who wait one call lets in.
pub(crate) const GRANTS: usize = 64;

/// How many lanes a newcomer looks at that finds as many as there may be, for one that is unused.
const LOOK_AT: usize = 64;

/// How many lanes the search for the oldest item looks at.
const HEADS: usize = 4_096;

/// What bounds the queue. The first five can change while items flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Items in flight.
    pub(crate) items: usize,
    /// Items in flight of one lane.
    pub(crate) lane_items: usize,
    /// Bytes in flight.
    pub(crate) bytes: Option<u64>,
    /// Bytes in flight of one lane.
    pub(crate) lane_bytes: Option<u64>,
    /// The length of a turn, in nanoseconds.
    pub(crate) quantum: u64,
    /// Lanes.
    pub(crate) lanes: usize,
    /// Those who wait, in each lane.
    pub(crate) lane_waiters: usize,
    /// Workers that serve one lane at the same time. One keeps the lane's items in order.
    pub(crate) lane_workers: usize,
    /// Workers.
    pub(crate) workers: usize,
}

/// Why an item is not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Denied {
    /// The lane or the queue has no capacity, or others wait for it.
    Full,
    /// As many wait in the lane's line as may.
    TooManyWaiters,
    /// This lane is over; its key may have another.
    LaneClosed,
    /// The queue is closed.
    Closed,
}

/// What came of looking for work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Take {
    /// There is a run; `more` says whether there may be another for somebody else.
    Run { more: bool },
    /// There is nothing.
    Empty,
    /// Another worker has the schedule at the moment.
    Busy,
}

/// Read with every item and written seldom.
#[derive(Debug)]
struct Signals {
    items: AtomicU64,
    lane_items: AtomicU64,
    /// `u64::MAX` where there is no bound.
    bytes: AtomicU64,
    lane_bytes: AtomicU64,
    /// How many wait.
    waiting: AtomicUsize,
    /// Some of them wait for capacity of the queue, and nobody passes them.
    blocked: AtomicBool,
    closed: AtomicBool,
}

/// What a worker keeps between its turns.
#[derive(Debug)]
pub(crate) struct Worker<K, T> {
    index: usize,
    lane: Option<Arc<Lane<K>>>,
    run: Chunk<Charged<T>>,
    taken: usize,
    ended: Option<Ended>,
    /// A lane that it served last is left.
    left: bool,
}

impl<K, T> Worker<K, T> {
    /// The lane of its run.
    pub(crate) fn lane(&self) -> &Arc<Lane<K>> {
        self.lane.as_ref().expect("a run has a lane")
    }

    /// Whether a lane is [left](Lane::is_left) since this was last asked. To be asked after each
    /// [`take`](FairQueue::take) and [`put_down`](FairQueue::put_down).
    #[inline]
    pub(crate) fn take_left(&mut self) -> bool {
        std::mem::take(&mut self.left)
    }

    /// How many items its run had.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// The next item of its run, and what it was charged.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(T, u32)> {
        self.run.pop_front().map(|Charged { item, charge }| (item, charge))
    }
}

/// The queue. See the [module](self).
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    gate: CachePadded<Gate>,
    bytes: CachePadded<Bytes>,
    signals: CachePadded<Signals>,
    inbox: ArrayQueue<Entry<T>>,
    /// Rows that are empty.
    spare_rows: ArrayQueue<Box<Row<T>>>,
    /// Items that each worker has finished.
    finished: Box<[CachePadded<AtomicU64>]>,
    /// Items that others took out.
    discarded: CachePadded<AtomicU64>,
    /// Items that were admitted in the place of others, and so by no permit of their own.
    replaced: AtomicU64,
    /// Some lane could be served when the schedule was last left.
    ready: CachePadded<AtomicBool>,
    /// An item was pushed to a lane that was not active, and nobody has moved it since.
    knocked: CachePadded<AtomicBool>,
    table: Table<K>,
    schedule: Mutex<Schedule<K, T>>,
    waiters: Mutex<Waiters<K, T>>,
    lanes: usize,
    lane_waiters: usize,
    lane_workers: usize,
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    pub(crate) fn new(limits: &Limits) -> Self {
        debug_assert!(limits.lanes <= 1 << lane::NUMBER_BITS, "a tag tells lanes apart");
        let rules = Rules { quantum: limits.quantum, lane_workers: limits.lane_workers as u32 };
        Self {
            gate: CachePadded::new(Gate::new()),
            bytes: CachePadded::new(Bytes::new()),
            signals: CachePadded::new(Signals {
                items: AtomicU64::new(limits.items as u64),
                lane_items: AtomicU64::new(limits.lane_items as u64),
                bytes: AtomicU64::new(limits.bytes.unwrap_or(u64::MAX)),
                lane_bytes: AtomicU64::new(limits.lane_bytes.unwrap_or(u64::MAX)),
                waiting: AtomicUsize::new(0),
                blocked: AtomicBool::new(false),
                closed: AtomicBool::new(false),
            }),
            inbox: ArrayQueue::new(limits.items.clamp(1, INBOX)),
            spare_rows: ArrayQueue::new(SPARE_ROWS),
            finished: (0..limits.workers).map(|_| CachePadded::default()).collect(),
            discarded: CachePadded::new(AtomicU64::new(0)),
            replaced: AtomicU64::new(0),
            ready: CachePadded::new(AtomicBool::new(false)),
            knocked: CachePadded::new(AtomicBool::new(false)),
            table: Table::new(),
            schedule: Mutex::new(Schedule::new(rules)),
            waiters: Mutex::new(Waiters::new()),
            lanes: limits.lanes,
            lane_waiters: limits.lane_waiters,
            lane_workers: limits.lane_workers,
        }
    }

    /// Sets the limits that can change. Who waits for it is let in by the next [`grant_all`](Self::grant_all).
    pub(crate) fn set_limits(&self, limits: &Limits) {
        let signals = &*self.signals;
        // Relaxed: the fence of `grant` orders them for those who wait; others see them soon.
        signals.items.store(limits.items as u64, Ordering::Relaxed);
        signals.lane_items.store(limits.lane_items as u64, Ordering::Relaxed);
        signals.bytes.store(limits.bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
        signals.lane_bytes.store(limits.lane_bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.schedule.lock().rules.quantum = limits.quantum;
    }

    /// How many items have finished, discarded ones included.
    pub(crate) fn finished(&self) -> u64 {
        // Acquire: who sees an item finished sees what it did.
        let workers = self.finished.iter().map(|finished| finished.load(Ordering::Acquire));
        workers.sum::<u64>() + self.discarded.load(Ordering::Acquire)
    }

    /// How many items were ever admitted. It never falls.
    pub(crate) fn admitted(&self) -> u64 {
        // Relaxed: statistics only.
        self.gate.entered() + self.replaced.load(Ordering::Relaxed)
    }

    /// Items admitted and not finished.
    pub(crate) fn in_flight(&self) -> usize {
        // What has finished first: it never passes what has entered.
        let finished = self.finished();
        self.gate.entered().saturating_sub(finished) as usize
    }

    /// The same for statistics: never more than were in flight at some moment of this call, where a thread that is
    /// preempted in the middle of [`in_flight`](Self::in_flight) counts all that were admitted meanwhile.
    pub(crate) fn least_in_flight(&self) -> usize {
        let entered = self.gate.entered();
        entered.saturating_sub(self.finished()) as usize
    }

    /// How many keys have a lane. A lane that comes or goes meanwhile may be counted or not.
    pub(crate) fn keys(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn bytes_in_flight(&self) -> usize {
        self.bytes.used() as usize
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.signals.waiting.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.signals.closed.load(Ordering::Acquire)
    }

    /// Whether it is closed and nothing is in flight: there will never be anything again.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closed() && self.in_flight() == 0
    }
}
