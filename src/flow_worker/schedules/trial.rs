//! A flow under trial: messages that know their end, producers that wait for some decisions and leave
//! others, a handler that takes notes, and what must hold of all these at rest.

use std::{sync::Arc, time::Duration};

use shuttle::thread;

use crate::{
    FlowConfig, FlowSnapshot, FlowType, FlowWorker, MetricsRegistry, NodeId, Order, Outcome,
    WaitStrategy,
    flow_worker::Remembered,
    sync::{Ordering, Tally, random},
};

mod producer;
mod site;

pub(super) use producer::Conduct;
use producer::{Producer, Woken};
pub(super) use site::Habit;
use site::{Fate, Handler, Message, Site};

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
            WaitStrategy::Adaptive(Duration::from_micros(20)),
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
            let remembered = Remembered::nothing();
            let producer = Producer { number, conduct, flow, site, woken: Vec::new(), remembered };
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
        self.site.wait_for_ends(BROUGHT - counts.refused() - counts.count(Outcome::WaitCancelled));
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
        assert_eq!(counts.admitted, counts.handled() + counts.count(Outcome::DroppedAtShutdown));
        assert_eq!(
            BROUGHT,
            counts.admitted + counts.refused() + counts.count(Outcome::WaitCancelled)
        );
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
