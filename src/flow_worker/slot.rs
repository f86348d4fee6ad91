//! A message that finishes after its handler has returned.
//!
//! ```text
//!  admitted ──▶ handler runs ──▶ returns ───────────────────────────▶ finished
//!                     │ Slot::take                                        ▲
//!                     └────────▶ held: the call has returned, or not ─────┘ Drop of the slot
//! ```
//!
//! A worker says on its thread what it runs by numbers alone, so that a handler that takes no slot costs next to
//! nothing. Who takes the slot looks the lane up. From then on the message is the slot's to finish, and not the
//! worker's.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, Weak},
};

use super::core::Core;
use crate::{
    PeerKey,
    clock::Moment,
    ledger::Taken,
    queue::{Lane, WakeList},
    sync::{Ordering, thread_local},
};

/// The wait outside of handlers: none is as long as this.
const NOT_HANDLING: u64 = u64::MAX;

/// The charge of a message whose slot is taken.
const HELD: u64 = u64::MAX;

/// The flow whose worker this thread is, and which of its workers.
type Post = (Weak<dyn Home>, usize);

thread_local! {
    static POST: Cell<Option<Post>> = const { Cell::new(None) };
    /// How long the message has waited whose handler runs on this thread, in nanoseconds.
    static WAITED: Cell<u64> = const { Cell::new(NOT_HANDLING) };
    /// What that message was charged.
    static CHARGE: Cell<u64> = const { Cell::new(HELD) };
}

/// Runs something as if it were on another thread.
#[cfg(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle))))]
pub(super) fn as_another_thread(run: impl FnOnce()) {
    let (waited, charge) = (WAITED.replace(NOT_HANDLING), CHARGE.replace(HELD));
    let post = POST.replace(None);
    run();
    POST.set(post);
    CHARGE.set(charge);
    WAITED.set(waited);
}

/// A handler begins on this thread.
#[inline]
pub(super) fn begin(waited: u64, charge: u32) {
    WAITED.set(waited);
    CHARGE.set(charge.into());
}

/// It has returned; whether its slot has been taken.
#[inline]
pub(super) fn end() -> bool {
    WAITED.set(NOT_HANDLING);
    CHARGE.get() == HELD
}

/// How long the message has waited whose handler runs on this thread, in nanoseconds.
#[inline]
pub(super) fn waited() -> Option<u64> {
    Some(WAITED.get()).filter(|&waited| waited != NOT_HANDLING)
}

/// A flow, whatever its messages.
pub(super) trait Home: Send + Sync {
    fn hold(self: Arc<Self>, worker: usize, waited: u64, charge: u32) -> Option<Box<dyn Held>>;
}

/// What a slot does; its `Drop` finishes the message.
pub(super) trait Held: Send + Sync {
    fn is_cancelled(&self) -> bool;
}

/// The place of a message in its flow's bounds, held until the slot is dropped.
///
/// A handler that only begins the work takes the slot and moves it along, into a task for instance. The message counts
/// as in flight until the slot is dropped. So the flow's bound and the peer's quota bound the tasks, as they bound
/// calls that block. The [service time](crate::FlowSnapshot::service) lasts until then, and the outcome is
/// [`Handled`](crate::Outcome::Handled), or [`Panicked`](crate::Outcome::Panicked) if the slot is dropped by a panic.
///
/// ```
/// use std::{sync::mpsc, thread, time::Duration};
/// use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId, Slot};
///
/// let (sender, receiver) = mpsc::channel();
/// let handler = move |_: &NodeId, number: u32| {
///     let slot = Slot::take().expect("in a handler, and once");
///     let sender = sender.clone();
///     // Or a task of an executor.
///     thread::spawn(move || {
///         sender.send(number).unwrap();
///         drop(slot);
///     });
/// };
/// let flow =
///     FlowWorker::new(FlowType::Request, &FlowConfig::new(10), &MetricsRegistry::new(), handler)?;
/// flow.try_execute(NodeId::new([7; 32]), 1).expect("there is capacity");
/// // Waits for what is held as for what runs.
/// assert!(flow.shutdown(Duration::from_secs(60)).is_clean());
/// assert_eq!(receiver.recv(), Ok(1));
/// assert_eq!(flow.snapshot().handled(), 1);
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
///
/// # Order
///
/// The peer's next message may start when the handler has returned, although the slot is held. A peer departs without
/// waiting for slots, unless the flow [drains](crate::Departure::Drain): a task that must not outlive its peer asks
/// [`is_cancelled`](Self::is_cancelled).
///
/// # Whose code runs at its end
///
/// The `Drop` lets in submitters who wait, up to 64 of them, and calls their wakers, on the thread that drops the slot.
#[must_use = "the message finishes when the slot is dropped"]
pub struct Slot(Box<dyn Held>);

impl Slot {
    /// Takes the slot of the message whose handler calls this. `None` outside of handlers, on other threads that help
    /// one, and if the handler has taken it already.
    ///
    /// Not in what a handler gives to rayon: that may run on the thread of another handler, which waits for rayon, and
    /// would take its slot.
    pub fn take() -> Option<Self> {
        let waited = waited()?;
        // One that is held has a charge that no message has.
        let charge = u32::try_from(CHARGE.get()).ok()?;
        let (home, worker) = POST.replace(None)?;
        let flow = home.upgrade();
        POST.set(Some((home, worker)));
        let held = flow?.hold(worker, waited, charge)?;
        CHARGE.set(HELD);
        Some(Self(held))
    }

    /// Whether the peer has gone since, or the message is cancelled otherwise: nobody needs the work any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("is_cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

struct HeldMessage<M: Send + 'static, K: PeerKey> {
    core: Arc<Core<M, K>>,
    lane: Arc<Lane<K>>,
    charge: u32,
    began: Moment,
    /// In nanoseconds.
    waited: u64,
}

impl<M: Send + 'static, K: PeerKey> Held for HeldMessage<M, K> {
    fn is_cancelled(&self) -> bool {
        self.lane.is_cancelled() || self.core.abandoned.load(Ordering::Acquire)
    }
}

impl<M: Send + 'static, K: PeerKey> Drop for HeldMessage<M, K> {
    fn drop(&mut self) {
        let Self { core, lane, charge, began, waited } = self;
        let panicked = std::thread::panicking();
        core.ledger.finished_later(*waited, Moment::now().nanos_since(*began), panicked);
        // Relaxed: statistics only.
        core.held.fetch_sub(1, Ordering::Relaxed);
        let mut wake = WakeList::default();
        core.queue.finish_discarded(lane, *charge, &mut wake);
        core.wake(&mut wake);
        if core.queue.is_closed() {
            core.end_if_over();
        }
    }
}

impl<M: Send + 'static, K: PeerKey> Home for Core<M, K> {
    fn hold(self: Arc<Self>, worker: usize, waited: u64, charge: u32) -> Option<Box<dyn Held>> {
        let Taken { lane, when } = self.ledger.workers.get(worker)?.runs()?;
        // The tag stays the lane's as long as the message is in flight.
        let lane = self.queue.lane_of(lane)?;
        let began = self.epoch.after_nanos(when);
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(HeldMessage { core: self, lane, charge, began, waited }))
    }
}

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Says that this thread is this worker of this flow.
    pub(super) fn take_post(&self, worker: usize) {
        POST.set(Some((Weak::clone(&self.me) as Weak<dyn Home>, worker)));
    }
}
