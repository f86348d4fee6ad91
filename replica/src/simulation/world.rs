//! The replicas, and the loop that hands each event to the one that it is for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::P2P_TIMER_DURATION_MS;

use super::{
    events::{Event, Flight},
    faults::{Fate, PUBLISHED_AT, fates, nanos, schedule},
    hostile::Hostile,
    member::Member,
    network::{Network, id_of},
    options::Options,
    port::Shared,
    random::Random,
    report::{Fetched, Report},
    topology::{links, reachable},
};
use crate::store::{Contents, Store};

/// Between two calls of a replica's clock, in nanoseconds.
pub(super) const TICK: u64 = P2P_TIMER_DURATION_MS * 1_000_000;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct World {
    pub(super) options: Options,
    pub(super) network: Shared,
    pub(super) clock: Arc<AtomicU64>,
    contents: Arc<Contents>,
    pub(super) wrong: Bytes,
    pub(super) links: Vec<(u32, u32)>,
    pub(super) nodes: Vec<Node>,
    pub(super) random: Random,
    /// How many of those that are expected do not hold everything yet.
    missing: usize,
    pub(super) fetched: Fetched,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) fate: Fate,
    pub(super) store: Store,
    /// What runs, if it lives.
    pub(super) member: Option<Member>,
    /// How often it has begun to live.
    pub(super) life: u32,
    /// Whether it is to hold everything in the end.
    expected: bool,
    complete_at: Option<u64>,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed);
        let fates = fates(options, &mut random);
        let links = links(options.topology, options.replicas, &mut random);
        let lasting: Vec<bool> = fates.iter().map(|fate| fate.is_lasting()).collect();
        let expected = reachable(&links, &lasting);
        let slow: Vec<bool> = fates.iter().map(|fate| *fate == Fate::Slow).collect();
        let mut network = Network::new(options, &links, &slow);
        schedule(options, &fates, &mut network.events, &mut random);
        let contents = (0..options.artifacts).map(|_| content(&mut random, options.artifact_bytes));
        let contents = Arc::new(Contents::new(contents));
        let node = |(fate, expected): (&Fate, &bool)| Node {
            fate: *fate,
            store: Store::in_memory(contents.clone()),
            member: None,
            life: 0,
            expected: *expected,
            complete_at: None,
        };
        Self {
            options: options.clone(),
            network: Shared::new(network),
            clock: Arc::default(),
            nodes: fates.iter().zip(&expected).map(node).collect(),
            contents,
            wrong: Hostile::wrong_bytes(),
            links,
            random,
            missing: expected.iter().filter(|expected| **expected).count(),
            fetched: Fetched::default(),
        }
    }

    pub(super) fn run(mut self) -> Report {
        let end = nanos(PUBLISHED_AT).saturating_add(nanos(self.options.limit));
        while self.missing > 0 {
            let (event, now) = {
                let mut network = self.network.lock();
                (network.events.pop(), network.events.now)
            };
            let Some(event) = event.filter(|_| now <= end) else { break };
            self.clock.store(now, Relaxed);
            self.handle(event, now);
        }
        self.report()
    }

    fn handle(&mut self, event: Event, now: u64) {
        match event {
            Event::Sent { node } => self.network.lock().uplink_free(node),
            Event::Reached(flight) => {
                let reached = self.network.lock().reached(flight);
                if let Some(flight) = reached {
                    self.deliver(*flight, now);
                }
            }
            Event::Delivered(flight) => self.deliver(*flight, now),
            Event::Tick { node, life } => self.tick(node, life, now),
            Event::Broadcast { node, life, advert } => {
                let at = &self.nodes[node as usize];
                if let Some(member) = at.member.as_ref().filter(|_| at.life == life) {
                    member.broadcast(advert.0, advert.1);
                }
            }
            Event::Publish => self.publish(now),
            Event::Start { node } => self.start(node, now),
            Event::Stop { node } => self.stop(node, now),
            Event::Connect { a, b } => self.connect(a, b),
            Event::Unseen { node, peer, connection } => self.unseen(node, peer, connection),
            Event::Split => self.split(now),
            Event::Heal => self.heal(now),
        }
    }

    fn deliver(&mut self, flight: Flight, now: u64) {
        if !self.network.lock().is_current(&flight) {
            return;
        }
        if let Some(member) = &mut self.nodes[flight.to as usize].member {
            member.receive(flight.message, id_of(flight.from));
            self.look(flight.to, now);
        }
    }

    /// Notes that a replica holds everything, if it does.
    fn look(&mut self, node: u32, now: u64) {
        let artifacts = self.options.artifacts as u64;
        let at = &mut self.nodes[node as usize];
        if at.complete_at.is_none() && at.store.count() == artifacts {
            at.complete_at = Some(now);
            self.missing -= usize::from(at.expected);
        }
    }

    fn tick(&mut self, node: u32, life: u32, now: u64) {
        let at = &mut self.nodes[node as usize];
        if at.life != life {
            return;
        }
        let Some(member) = &mut at.member else { return };
        member.tick();
        self.network.lock().events.at(now + TICK, Event::Tick { node, life });
    }

    fn publish(&mut self, now: u64) {
        self.network.lock().count_anew();
        let Some(Member::Replica(publisher)) = &self.nodes[0].member else { return };
        for (id, content) in self.contents.all() {
            let partial = publisher.store().begin(id, content.len() as u64);
            let written = partial.write_at(0, &content).and_then(|()| partial.finish());
            publisher.enter(written.expect("a store in memory takes what is in its table"));
        }
        self.look(0, now);
    }

    fn report(mut self) -> Report {
        for node in &self.nodes {
            if let Some(Member::Replica(gossip)) = &node.member {
                #[cfg(any(test, fuzzing))]
                gossip.check();
                self.fetched.add(&gossip.snapshot().fetched);
            }
        }
        let network = self.network.lock();
        let expected = || self.nodes.iter().filter(|node| node.expected);
        let mut times: Vec<u64> = expected().filter_map(|node| node.complete_at).collect();
        times.sort_unstable();
        let since = |at: &u64| Duration::from_nanos(*at).saturating_sub(PUBLISHED_AT);
        let count = expected().count();
        let honest =
            (0..).zip(&self.nodes).filter(|(_, node)| !matches!(node.fate, Fate::Hostile(_)));
        let sent: Vec<_> = honest.map(|(node, _)| network.sent(node)).collect();
        let (chunks, rest) =
            sent.iter().fold((0, 0), |sum, sent| (sum.0 + sent.chunks, sum.1 + sent.rest));
        let most = sent.iter().map(|sent| sent.chunks + sent.rest).max();
        Report {
            expected: count,
            complete: times.len(),
            half: times.get(count.div_ceil(2) - 1).map(since),
            most: times.get((count * 99).div_ceil(100) - 1).map(since),
            last: times.get(count - 1).map(since),
            mean_bytes: (chunks + rest) / sent.len() as u64,
            mean_rest_bytes: rest / sent.len() as u64,
            publisher_bytes: sent[0].chunks + sent[0].rest,
            most_bytes: most.unwrap_or_default(),
            fetched: self.fetched,
            events: network.events.taken,
            trace: network.events.trace,
        }
    }
}

/// Content that does not compress or repeat.
fn content(random: &mut Random, length: usize) -> Bytes {
    let mut content = Vec::with_capacity(length + 8);
    while content.len() < length {
        content.extend_from_slice(&random.next().to_le_bytes());
    }
    content.truncate(length);
    content.into()
}
