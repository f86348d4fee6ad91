//! A flow under trial: messages that know their end, producers that wait for some decisions and leave
//! others, a handler that takes notes, and what must hold of all these at rest.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use shuttle::{
    future::block_on,
    sync::{Condvar, Mutex},
    thread,
};

use crate::{
    End, Execute, FlowConfig, FlowSnapshot, FlowType, FlowWorker, MessageHandler, MetricsRegistry,
    NodeId, Order, Refused, WaitStrategy,
    sync::{Ordering, Tally, random, switch},
};

/// Two of them have the same peer, where each has one.
const PRODUCERS: usize = 3;
pub(super) const PEERS: usize = 3;
/// How many messages a producer brings.
pub(super) const EACH: usize = 4;
const BROUGHT: u64 = (PRODUCERS * EACH) as u64;

pub(super) type Tested = FlowWorker<Message, Handler>;

pub(super) fn peer(number: usize) -> NodeId {
    NodeId::new([number as u8; 32])
}

fn count(tally: &Tally) -> u64 {
    tally.load(Ordering::Relaxed)
}

fn add(tally: &Tally) -> u64 {
    tally.fetch_add(1, Ordering::Relaxed)
}

/// A message, by its peer, its producer and its place among those that this one brings.
pub(super) struct Message {
    peer: usize,
    producer: usize,
    place: usize,
    site: Arc<Site>,
}

impl Message {
    fn fate(&self) -> &Fate {
        &self.site.fates[self.producer * EACH + self.place]
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        add(&self.fate().gone);
    }
}

/// What became of a message.
#[derive(Default)]
struct Fate {
    handled: Tally,
    admitted: Tally,
    refused: Tally,
    gone: Tally,
}

/// What is seen of a flow.
#[derive(Default)]
struct Site {
    fates: [Fate; PRODUCERS * EACH],
    /// How many of a peer's handlers run.
    running: [Tally; PEERS],
    /// One more than the place of the last message of a peer and a producer that has begun.
    begun: [[Tally; PRODUCERS]; PEERS],
    ends: Mutex<u64>,
    end: Condvar,
    over: Tally,
    began: Tally,
    /// How many handlers that wait may end.
    leave: Mutex<u64>,
    given: Condvar,
    broken: OnceLock<&'static str>,
    flow: OnceLock<Weak<Tested>>,
}

impl Site {
    fn expect(&self, promise: &'static str, kept: bool) {
        // A panic in a handler would be the flow's to catch.
        if !kept {
            let _ = self.broken.set(promise);
        }
    }

    /// Lets so many handlers end.
    fn give_leave(&self, handlers: u64) {
        let mut leave = self.leave.lock().unwrap();
        *leave = handlers.max(*leave);
        self.given.notify_all();
    }

    /// Waits until one more than `before` have leave.
    fn wait_for_leave(&self, before: u64) {
        let mut leave = self.leave.lock().unwrap();
        while *leave <= before {
            leave = self.given.wait(leave).unwrap();
        }
    }

    fn wait_for_ends(&self, messages: u64) {
        let mut ends = self.ends.lock().unwrap();
        while *ends < messages {
            ends = self.end.wait(ends).unwrap();
        }
    }
}

/// What a handler does beside noting what it is given.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Habit {
    Nothing,
    /// It shuts the flow down with some of its messages.
    ShutsDown,
    /// It does not end before it is given leave.
    WaitsForLeave,
    /// It does not end before the next one has begun, or the one before: two and two.
    WaitsForAnother,
}

pub(super) struct Handler {
    site: Arc<Site>,
    order: Order,
    habit: Habit,
}

impl MessageHandler<Message> for Handler {
    fn handle(&self, from: NodeId, message: Message) {
        let Self { site, order, habit } = self;
        site.expect("nothing starts after a shutdown", count(&site.over) == 0);
        site.expect("a message runs once", add(&message.fate().handled) == 0);
        site.expect("a message runs as its peer's", from == peer(message.peer));
        let beside = add(&site.running[message.peer]);
        let begun = &site.begun[message.peer][message.producer];
        let earlier = begun.swap(message.place as u64 + 1, Ordering::Relaxed);
        if *order == Order::PerPeer {
            site.expect("one of a peer runs at a time", beside == 0);
            site.expect("a peer's run in order", earlier <= message.place as u64);
        }
        (0..random(3)).for_each(|_| switch());
        match habit {
            Habit::WaitsForLeave => site.wait_for_leave(add(&site.began)),
            Habit::WaitsForAnother => {
                let before = add(&site.began);
                if before % 2 == 1 {
                    site.give_leave(before + 1);
                }
                site.wait_for_leave(before);
            }
            Habit::Nothing | Habit::ShutsDown => {}
        }
        if *habit == Habit::ShutsDown
            && random(4) == 0
            && let Some(flow) = site.flow.get().and_then(Weak::upgrade)
        {
            site.expect("its caller runs", flow.shutdown(Duration::ZERO).running > 0);
        }
        site.running[message.peer].fetch_sub(1, Ordering::Relaxed);
        drop(message);
        *site.ends.lock().unwrap() += 1;
        site.end.notify_all();
    }
}

/// Counts how often a submitter is woken.
pub(super) struct Woken {
    submitter: Waker,
    times: Tally,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        add(&self.times);
        self.submitter.wake_by_ref();
    }
}

fn poll(
    future: &mut Execute<Message, Handler>,
    woken: &Arc<Woken>,
) -> Poll<Result<(), Refused<Message>>> {
    let waker = Waker::from(Arc::clone(woken));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// What a producer does with its futures.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Conduct {
    /// It waits for some, leaves others, and brings more before it looks at some.
    Mixed,
    /// It waits for each before it brings the next.
    OneByOne,
    /// It brings all before it waits for the first.
    AllAtOnce,
    /// It waits for none.
    Leaves,
}

/// One who brings messages.
struct Producer {
    number: usize,
    conduct: Conduct,
    flow: Arc<Tested>,
    site: Arc<Site>,
    woken: Vec<Arc<Woken>>,
}

impl Producer {
    fn bring(&self, from: usize, place: usize) -> Execute<Message, Handler> {
        let site = Arc::clone(&self.site);
        let message = Message { peer: from, producer: self.number, place, site };
        self.flow.execute(peer(from), message)
    }

    fn woken(&mut self, submitter: &Waker) -> Arc<Woken> {
        let woken = Arc::new(Woken { submitter: submitter.clone(), times: Tally::new(0) });
        self.woken.push(Arc::clone(&woken));
        woken
    }

    /// Waits for the decision, looking when it is woken and not otherwise.
    fn wait(&mut self, mut future: Execute<Message, Handler>, place: usize) {
        let mut woken = None;
        let outcome = block_on(poll_fn(|context| match &woken {
            None => poll(&mut future, woken.insert(self.woken(context.waker()))),
            // For an earlier message, whose decision was seen before its waker was called.
            Some(woken) if count(&woken.times) == 0 => Poll::Pending,
            Some(woken) => {
                let outcome = poll(&mut future, woken);
                assert!(outcome.is_ready(), "woken without a decision");
                outcome
            }
        }));
        let fate = &self.site.fates[self.number * EACH + place];
        add(if outcome.is_ok() { &fate.admitted } else { &fate.refused });
    }

    /// Brings all of its messages, waiting for some and leaving others; returns whom it had woken.
    fn run(mut self, mut choose_peer: impl FnMut(&Tested) -> usize) -> Vec<Arc<Woken>> {
        let mut kept = Vec::new();
        for place in 0..EACH {
            let from = choose_peer(&self.flow);
            let mut future = self.bring(from, place);
            let next = match self.conduct {
                Conduct::Mixed => random(6),
                Conduct::OneByOne => 0,
                Conduct::AllAtOnce => 3,
                Conduct::Leaves => 4 + random(2),
            };
            match next {
                0..3 => self.wait(future, place),
                // Others come before it is polled.
                3 => kept.push((future, place)),
                4 => drop(future),
                _ => {
                    let woken = self.woken(Waker::noop());
                    let _ = poll(&mut future, &woken);
                    drop(future);
                }
            }
        }
        for (future, place) in kept {
            self.wait(future, place);
        }
        self.woken
    }
}

/// A flow, its producers, and what has been seen of both.
pub(super) struct Trial {
    pub(super) flow: Arc<Tested>,
    site: Arc<Site>,
    producers: Vec<thread::JoinHandle<Vec<Arc<Woken>>>>,
}

impl Trial {
    /// A flow with little room, and all else as it comes.
    pub(super) fn any_config() -> FlowConfig {
        let strategies = [
            WaitStrategy::GiveBack,
            WaitStrategy::Park,
            WaitStrategy::Linger(Duration::from_micros(2)),
            WaitStrategy::Spin,
        ];
        FlowConfig::new(1 + random(3))
            .with_peer_quota(1 + random(2))
            .with_max_peers(PEERS)
            .with_max_waiters(1 + random(4))
            .with_threads([1, 2, 2][random(3)])
            .with_order([Order::Any, Order::PerPeer][random(2)])
            .with_quantum(Duration::from_micros(random(2) as u64))
            .with_wait_strategy(strategies[random(strategies.len())])
    }

    pub(super) fn new(config: FlowConfig, habit: Habit) -> Self {
        let site = Arc::<Site>::default();
        let handler = Handler { site: Arc::clone(&site), order: config.order(), habit };
        let registry = MetricsRegistry::new();
        let flow =
            Arc::new(FlowWorker::new(FlowType::Request, &config, &registry, handler).unwrap());
        site.flow.set(Arc::downgrade(&flow)).unwrap();
        Self { flow, site, producers: Vec::new() }
    }

    /// Gives the first seats to others that bring nothing.
    pub(super) fn behind(self, strangers: usize) -> Self {
        (PEERS..).take(strangers).for_each(|stranger| self.flow.inner.seat(peer(stranger)));
        self
    }

    /// Starts all producers, each with its way to choose a peer for a message.
    pub(super) fn produce(
        mut self,
        conduct: Conduct,
        choose_peer: fn(producer: usize, &Tested) -> usize,
    ) -> Self {
        self.producers.extend((0..PRODUCERS).map(|number| {
            let (flow, site) = (Arc::clone(&self.flow), Arc::clone(&self.site));
            let producer = Producer { number, conduct, flow, site, woken: Vec::new() };
            thread::spawn(move || producer.run(|flow| choose_peer(number, flow)))
        }));
        self
    }

    pub(super) fn join_producers(&mut self) -> Vec<Arc<Woken>> {
        self.producers.drain(..).flat_map(|producer| producer.join().unwrap()).collect()
    }

    /// Everything that was admitted runs, and nothing is left.
    pub(super) fn ends_by_itself(mut self) -> FlowSnapshot {
        let woken = self.join_producers();
        self.ends(&woken)
    }

    /// The same, when all producers have been joined.
    pub(super) fn ends(self, woken: &[Arc<Woken>]) -> FlowSnapshot {
        let counts = self.flow.snapshot();
        // Nobody waits any more. What has entered is no measure yet: some of it may be taken back.
        self.site.wait_for_ends(BROUGHT - counts.refused() - counts.ended(End::GaveUp));
        assert_eq!(self.flow.shutdown(Duration::ZERO).dropped, 0);
        for fate in &self.site.fates {
            assert!(count(&fate.handled) >= count(&fate.admitted), "what was admitted runs");
        }
        self.at_rest(woken)
    }

    /// Gives leave to all handlers that wait for it.
    pub(super) fn give_leave(&self) {
        self.site.give_leave(BROUGHT);
    }

    /// How many messages somebody has still.
    pub(super) fn not_gone(&self) -> usize {
        self.site.fates.iter().filter(|fate| count(&fate.gone) == 0).count()
    }

    /// From now on no handler may begin.
    pub(super) fn is_over(&self) {
        add(&self.site.over);
    }

    /// What holds when all threads of a flow have ended.
    pub(super) fn at_rest(self, woken: &[Arc<Woken>]) -> FlowSnapshot {
        assert_eq!(self.site.broken.get(), None);
        let counts = self.flow.snapshot();
        assert_eq!((counts.in_flight, counts.waiting, counts.panicked()), (0, 0, 0));
        assert_eq!(counts.admitted, counts.handled() + counts.ended(End::Abandoned));
        assert_eq!(BROUGHT, counts.admitted + counts.refused() + counts.ended(End::GaveUp));
        let sum = |of: fn(&Fate) -> &Tally| self.site.fates.iter().map(of).map(count).sum::<u64>();
        assert_eq!(sum(|fate| &fate.handled), counts.handled());
        assert!(sum(|fate| &fate.admitted) <= counts.admitted);
        assert!(sum(|fate| &fate.refused) <= counts.refused());
        for fate in &self.site.fates {
            assert_eq!(count(&fate.gone), 1, "a message ends once");
            assert!(count(&fate.handled) + count(&fate.refused) <= 1);
        }
        for woken in woken {
            assert!(count(&woken.times) <= 1, "a submitter is woken once");
        }
        let core = &self.flow.inner.core;
        assert!(core.claims.are_free(), "a claim is left");
        assert!(core.ready.is_empty() || core.peers.iter().all(|lane| lane.queue.is_empty()));
        assert!(core.peers.iter().all(|lane| !lane.is_held()), "a worker is left");
        for lane in core.peers.iter() {
            let part = core.peers.find(lane.peer);
            assert!(part.lane().is_some_and(|found| Arc::ptr_eq(found, &lane)), "a seat is lost");
        }
        counts
    }
}
