//! One of the twelve flows: its messages, their tickets, and what is compared at the end.
//!
//! Each message has a [`Ticket`]. Who takes the message from the engine stamps it: its handler, `discarded`, or the
//! submitter to whom it comes back. So each message has one outcome by the submitters' own count, which is compared
//! with the engine's, outcome by outcome. A ticket that goes unstamped is a message that was dropped with its future.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use gossip_engine::{
    BuildError, Departure, EngineBuilder, FlowConfig, FlowType, FlowWorker, MessageHandler,
    MetricsSnapshot, Outcome, Received, Refused, Slot,
};
use strum::IntoEnumIterator;

use super::replica::Deliberate;
use crate::harness::{
    changes::{Dice, Losses, flow_at_random},
    clock::spin_until,
};

/// One call of a handler in so many panics, and one of a peer's callback.
pub(crate) const PANICS: u64 = 100;
/// How many messages a row has at the most, and how many a handler takes by one call.
const ROW: u64 = 24;
const BATCH: usize = 16;

/// How often something has happened, by its name: an [`Outcome`], or what only this part knows.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    pub(crate) fn add(&self, what: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(what).or_default() += count;
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        *self.0.lock().unwrap().get(what).unwrap_or(&0)
    }
}

const SUBMITTED: &str = "submitted";
const RAN: &str = "ran";
const UNHEARD: &str = "dropped with its future";

/// A message, and who counts what becomes of it.
struct Ticket {
    tally: Arc<Tally>,
    stamped: bool,
}

impl Ticket {
    fn stamp(mut self, what: &'static str) {
        self.stamped = true;
        self.tally.add(what, 1);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.stamped {
            self.tally.add(UNHEARD, 1);
        }
    }
}

type Parcel<B> = (Ticket, B);

/// How a flow's handler runs its messages.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Way {
    InTheCall,
    /// In another thread, which has the slot.
    InSlots,
    /// Several by one call.
    Batches,
}

/// Where handlers send slots.
pub(crate) type Slots = Sender<(Slot, Arc<Tally>)>;

struct Handler {
    tally: Arc<Tally>,
    way: Way,
    slots: Slots,
    dice: Mutex<Dice>,
}

impl Handler {
    /// Works for up to 10 µs; now and then it panics, which counts for so many messages.
    fn work(&self, messages: u64) {
        let (nanos, panics) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.roll(10_000), dice.once_in(PANICS))
        };
        spin_until(Instant::now(), Duration::from_nanos(nanos));
        if panics {
            self.tally.add(Outcome::Panicked.into(), messages);
            panic_any(Deliberate);
        }
    }
}

impl<B: Send + 'static> MessageHandler<Parcel<B>, String> for Handler {
    fn handle(&self, _: &String, (ticket, _): Parcel<B>) {
        ticket.stamp(RAN);
        match self.way {
            Way::InSlots => {
                let slot = Slot::take().expect("in a handler, and once");
                let sent = self.slots.send((slot, Arc::clone(&self.tally)));
                sent.expect("the thread of the slots outlives the flows");
            }
            Way::InTheCall | Way::Batches => self.work(1),
        }
    }

    fn handle_many(&self, messages: Vec<Received<Parcel<B>, String>>) {
        let count = messages.len() as u64;
        messages.into_iter().for_each(|received| received.message.0.stamp(RAN));
        self.work(count);
    }

    fn max_batch(&self) -> usize {
        if self.way == Way::Batches { BATCH } else { 1 }
    }

    fn discarded(&self, _: &String, (ticket, _): Parcel<B>, outcome: Outcome) {
        ticket.stamp(outcome.into());
    }
}

/// Drops slots, a moment later; one in [`PANICS`] by a panic. Ends with the last handler.
pub(crate) fn drop_slots(slots: &Receiver<(Slot, Arc<Tally>)>) {
    let mut dice = Dice::new(1);
    for (slot, tally) in slots {
        spin_until(Instant::now(), Duration::from_nanos(dice.roll(5_000)));
        if dice.once_in(PANICS) {
            tally.add(Outcome::Panicked.into(), 1);
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _slot = slot;
                panic_any(Deliberate)
            }));
            panicked.expect_err("it has panicked");
        }
    }
}

/// A flow, whatever its messages are.
pub(crate) trait AnyFlow: Send + Sync {
    /// Submits one message or several of this peer, in one of the ways that there are.
    fn submit(&self, peer: &String, dice: &mut Dice);
    fn change(&self, dice: &mut Dice);
    fn faults(&self, snapshot: &MetricsSnapshot) -> Vec<String>;
}

struct Flow<B: Send + 'static> {
    worker: Arc<FlowWorker<Parcel<B>, String>>,
    built: FlowConfig,
    make: fn(u64) -> B,
    handler: Box<dyn Fn() -> Handler + Send + Sync>,
    tally: Arc<Tally>,
}

/// Adds a flow to the engine.
///
/// # Errors
///
/// If there are no threads.
pub(crate) fn add<B: Send + 'static>(
    engine: &mut EngineBuilder<String>,
    slots: &Slots,
    name: &'static str,
    way: Way,
    config: FlowConfig,
    make: fn(u64) -> B,
) -> Result<Box<dyn AnyFlow>, BuildError> {
    let tally = Arc::<Tally>::default();
    let (of_handler, slots) = (Arc::clone(&tally), slots.clone());
    let handler = Box::new(move || Handler {
        tally: Arc::clone(&of_handler),
        way,
        slots: slots.clone(),
        dice: Mutex::new(Dice::new(name.len() as u64)),
    });
    let built = config.with_threads(2).with_max_waiters(16);
    let worker = engine.flow(name, built, handler())?;
    Ok(Box::new(Flow { worker, built, make, handler, tally }))
}

impl<B: Send + 'static> Flow<B> {
    fn parcel(&self, dice: &mut Dice) -> Parcel<B> {
        self.tally.add(SUBMITTED, 1);
        let ticket = Ticket { tally: Arc::clone(&self.tally), stamped: false };
        (ticket, (self.make)(dice.roll(1_000)))
    }

    fn heard<T>(answer: Result<T, Refused<Parcel<B>>>) {
        if let Err(refused) = answer {
            refused.message.0.stamp(Outcome::from(refused.reason).into());
        }
    }
}

impl<B: Send + 'static> AnyFlow for Flow<B> {
    fn submit(&self, peer: &String, dice: &mut Dice) {
        let parcel = self.parcel(dice);
        match dice.roll(20) {
            0..=5 => Self::heard(self.worker.try_execute(peer, parcel)),
            6..=10 => {
                let bytes = dice.roll(8 << 10) as usize;
                // Polled once: if it waits, it is dropped.
                let now = self.worker.execute_sized(peer, parcel, bytes).now_or_never();
                now.into_iter().for_each(Self::heard);
            }
            11 => drop(self.worker.execute(peer, parcel)),
            12..=15 => Self::heard(self.worker.execute(peer, parcel).wait()),
            _ => {
                let mut row = VecDeque::from([(parcel, 1)]);
                row.extend((0..dice.roll(ROW)).map(|_| (self.parcel(dice), 1)));
                let mut submitter = self.worker.submitter(peer);
                submitter.try_execute_many(&mut row);
                for (parcel, bytes) in row {
                    Self::heard(submitter.execute_sized(parcel, bytes).wait());
                }
            }
        }
    }

    fn change(&self, dice: &mut Dice) {
        if dice.once_in(10) {
            self.worker.replace_handler((self.handler)());
        } else {
            let config = flow_at_random(&self.built, FlowType::Advert, dice, Losses::Allowed);
            self.worker.reconfigure(&config).expect("it changes only what can change");
        }
    }

    fn faults(&self, snapshot: &MetricsSnapshot) -> Vec<String> {
        let name = self.worker.name();
        let own = snapshot.flow(name);
        let mut faults = Vec::new();
        let mut expect = |what: &str, found: u64, expected: u64| {
            if found != expected {
                faults.push(format!("{name}: {what}: {found} is not {expected}"));
            }
        };
        let get = |what: &'static str| self.tally.get(what);
        let (mut heard, mut not_admitted) = (get(RAN) + get(UNHEARD), get(UNHEARD));
        for outcome in Outcome::iter().filter(|outcome| *outcome != Outcome::Panicked) {
            let (counted, stamped) = (own.count(outcome), get(outcome.into()));
            heard += stamped;
            match outcome {
                Outcome::Handled => expect("ran", counted + own.panicked(), get(RAN)),
                // A future that was dropped may have resolved to either, unseen.
                Outcome::WaitCancelled => not_admitted -= counted.min(not_admitted),
                _ if outcome.was_refused() => {
                    let unseen = counted.saturating_sub(stamped);
                    expect(outcome.into(), counted, stamped + unseen.min(not_admitted));
                    not_admitted -= unseen.min(not_admitted);
                }
                _ => expect(outcome.into(), counted, stamped),
            }
        }
        expect("dropped with a future, and for no reason", not_admitted, 0);
        expect("panicked", own.panicked(), get(Outcome::Panicked.into()));
        expect("submitted, by the engine", own.submitted(), get(SUBMITTED));
        expect("submitted, and come to an outcome", heard, get(SUBMITTED));
        if self.built.departure() == Departure::Drain {
            expect("cancelled, although the flow drains", own.count(Outcome::Cancelled), 0);
        }
        faults
    }
}
