//! A flow under trial: messages that know their end, submitters that wait for some decisions and leave
//! others, a handler that takes notes, and what must hold of all these at rest.

use std::{sync::Arc, time::Duration};

use shuttle::thread;

use crate::{
    FlowConfig, FlowSnapshot, FlowType, FlowWorker, MetricsRegistry, NodeId, Outcome, WaitStrategy,
    flow_worker::{FlowSpec, RememberedLane},
    sync::{Ordering, Tally, random},
};

mod site;
mod submitter;

pub(super) use site::Habit;
use site::{Fate, Handler, Message, Site};
pub(super) use submitter::Conduct;
use submitter::{Submitter, Woken};

/// Two of them have the same peer, where each has one.
const SUBMITTERS: usize = 3;
pub(super) const PEERS: usize = 3;
/// How many messages a submitter submits.
pub(super) const EACH: usize = 4;
pub(super) const SUBMITTED: u64 = (SUBMITTERS * EACH) as u64;

type Tested = FlowWorker<Message>;

pub(super) fn peer(number: usize) -> NodeId {
    NodeId::new([number as u8; 32])
}

fn count(tally: &Tally) -> u64 {
    tally.load(Ordering::Relaxed)
}

fn add(tally: &Tally) -> u64 {
    tally.fetch_add(1, Ordering::Relaxed)
}

/// How often a flow has failed.
pub(super) struct Failures(Arc<Site>);

impl Failures {
    pub(super) fn count(&self) -> u64 {
        count(&self.0.failures)
    }
}

/// A flow, its submitters, and what has been seen of both.
pub(super) struct Trial {
    pub(super) flow: Arc<Tested>,
    site: Arc<Site>,
    in_order: bool,
    submitters: Vec<thread::JoinHandle<Vec<Arc<Woken>>>>,
}

impl Trial {
    /// A flow with little capacity, and all else as it comes.
    pub(super) fn any_config() -> FlowConfig {
        let config = FlowConfig::new(1)
            .with_max_peers(PEERS)
            .with_max_waiters(1 + random(4))
            .with_threads([1, 2, 2][random(3)])
            .with_peer_threads(1 + random(2));
        Self::another_config(&config)
    }

    /// The same in what cannot change.
    pub(super) fn another_config(config: &FlowConfig) -> FlowConfig {
        let strategies = [
            WaitStrategy::Park,
            WaitStrategy::Adaptive(Duration::from_micros(2)),
            WaitStrategy::Adaptive(Duration::from_micros(20)),
            WaitStrategy::Spin,
        ];
        config
            .with_max_inflight_requests(1 + random(3))
            .with_peer_quota(1 + random(2))
            .with_max_bytes((random(4) == 0).then_some(1))
            .with_quantum(Duration::from_micros(random(2) as u64))
            .with_wait_strategy(strategies[random(strategies.len())])
    }

    pub(super) fn new(config: FlowConfig, habit: Habit) -> Self {
        let site = Arc::<Site>::default();
        let in_order = config.peer_threads() == 1;
        let handler = Handler { site: Arc::clone(&site), in_order, habit, replaced: 0 };
        let registry = MetricsRegistry::new();
        // Without the watch, which is a thread of the system.
        let spec = FlowSpec::new(FlowType::Request, &config, &registry);
        let flow = Arc::new(FlowWorker::of_engine(spec, handler, None).unwrap());
        site.flow.set(Arc::downgrade(&flow)).unwrap();
        Self { flow, site, in_order, submitters: Vec::new() }
    }

    /// Starts all submitters, each with its way to choose a peer for a message.
    pub(super) fn submit(mut self, conduct: Conduct, choose_peer: fn(usize) -> usize) -> Self {
        self.submitters.extend((0..SUBMITTERS).map(|number| {
            let (flow, site) = (Arc::clone(&self.flow), Arc::clone(&self.site));
            let remembered = RememberedLane::default();
            let submitter =
                Submitter { number, conduct, flow, site, woken: Vec::new(), remembered };
            thread::spawn(move || submitter.run(choose_peer))
        }));
        self
    }

    pub(super) fn join_submitters(&mut self) -> Vec<Arc<Woken>> {
        self.submitters.drain(..).flat_map(|submitter| submitter.join().unwrap()).collect()
    }

    /// A peer goes; returns when the last worker has left its lane.
    pub(super) fn departs(&self, number: usize) {
        add(&self.site.departing[number]);
        let of_peer = |fate: &&Fate| count(&fate.submitted) == number as u64 + 1;
        let before: Vec<_> = self.site.fates.iter().filter(of_peer).collect();
        let lane = self.flow.cancel(&peer(number));
        // There is no time, so patience never ends.
        assert!(lane.is_none_or(|lane| lane.wait_until_left(Duration::from_secs(600))));
        before.into_iter().for_each(|fate| {
            add(&fate.departed);
        });
    }

    /// Gives the flow another handler.
    pub(super) fn replace_handler(&self, habit: Habit) {
        let replaced = count(&self.site.replaced) + 1;
        let (site, in_order) = (Arc::clone(&self.site), self.in_order);
        self.flow.replace_handler(Handler { site, in_order, habit, replaced });
        add(&self.site.replaced);
    }

    /// Everything that was admitted runs, and nothing is left.
    pub(super) fn ends_by_itself(mut self) -> FlowSnapshot {
        let woken = self.join_submitters();
        self.ends(&woken)
    }

    /// The same, when all submitters have been joined.
    pub(super) fn ends(self, woken: &[Arc<Woken>]) -> FlowSnapshot {
        self.site.wait_until_gone(SUBMITTED);
        assert_eq!(self.flow.shutdown(Duration::ZERO).dropped, 0);
        self.at_rest(woken)
    }

    /// The same, when nobody shuts the flow down.
    pub(super) fn ends_by_drop(self, woken: &[Arc<Woken>]) {
        let Self { flow, site, .. } = self;
        drop(flow);
        site.wait_until_gone(SUBMITTED);
        site.is_at_rest(woken);
    }

    /// Gives leave to all handlers that wait for it.
    pub(super) fn give_leave(&self) {
        self.site.give_leave(SUBMITTED);
    }

    /// How many messages somebody has still.
    pub(super) fn not_gone(&self) -> usize {
        self.site.fates.iter().filter(|fate| count(&fate.gone) == 0).count()
    }

    pub(super) fn failures(&self) -> Failures {
        Failures(Arc::clone(&self.site))
    }

    /// From now on no handler may begin.
    pub(super) fn is_over(&self) {
        add(&self.site.over);
    }

    /// What holds when all threads of a flow have ended.
    pub(super) fn at_rest(self, woken: &[Arc<Woken>]) -> FlowSnapshot {
        let Self { flow, site, .. } = self;
        let counts = flow.snapshot();
        counts.verify("Request").unwrap();
        assert_eq!((counts.in_flight, counts.waiting, counts.bytes_in_flight), (0, 0, 0));
        assert_eq!(counts.live_workers, 0);
        assert_eq!(counts.submitted(), SUBMITTED);
        assert_eq!(counts.panicked(), count(&site.panics));
        let sum = |of: fn(&Fate) -> &Tally| site.fates.iter().map(of).map(count).sum::<u64>();
        assert_eq!(sum(|fate| &fate.handled), counts.handled() + counts.panicked());
        assert!(sum(|fate| &fate.refused) <= counts.refused());
        let gone = [Outcome::Cancelled, Outcome::Disconnected].map(|outcome| counts.count(outcome));
        assert!(gone == [0, 0] || site.departing.iter().any(|departures| count(departures) > 0));
        let lost = [Outcome::Cancelled, Outcome::DroppedAtShutdown].map(|out| counts.count(out));
        if lost == [0, 0] && counts.dropped() == 0 {
            for fate in &site.fates {
                assert!(count(&fate.handled) >= count(&fate.admitted), "what was admitted runs");
            }
        }
        site.is_at_rest(woken);
        let handlers = count(&site.replaced) + 1;
        assert_eq!(count(&site.handlers_dropped), handlers, "a flow that has ended has none");
        counts
    }
}

impl Site {
    /// Each message has come to one outcome, and each submitter was woken once.
    fn is_at_rest(&self, woken: &[Arc<Woken>]) {
        assert_eq!(self.broken.get(), None);
        for fate in &self.fates {
            assert_eq!(count(&fate.gone), 1, "a message ends once");
            assert!(count(&fate.handled) + count(&fate.refused) <= 1);
        }
        for woken in woken {
            assert!(count(&woken.times) <= 1, "a submitter is woken once");
        }
    }
}
