//! Several replicas on virtual time, with links between them that have a rate and a delay: how long the last
//! one takes, how much the publisher sends, and how much is sent twice.
//!
//! Each replica has one uplink, on which its peers take turns, a packet each, as the connections of one socket
//! do. Chunks take their time on it, other messages only the delay. Nothing is lost, so whatever is sent
//! twice was asked for twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{super::*, node};

const PACKET_BYTES: u64 = 16 << 10;
const CHUNK_BYTES: u32 = 128 << 10;
const TICK: Duration = Duration::from_millis(100);
/// As many chunks as the transport queues for a peer.
const QUEUE: usize = 32;

#[derive(Clone, Copy, Debug)]
enum Message {
    Advert(Claim),
    Request(ArtifactId, u32),
    Chunk(ArtifactId, u32),
}

#[derive(Debug)]
enum Event {
    Tick,
    Arrive {
        from: usize,
        to: usize,
        message: Message,
    },
    /// A packet has left.
    Sent {
        from: usize,
    },
}

struct Replica {
    downloads: Downloads,
    held: BTreeSet<ArtifactId>,
    /// What is queued for each peer: chunks, and how much of the first has still to be sent.
    queues: BTreeMap<usize, VecDeque<(ArtifactId, u32, u64)>>,
    /// The peers in the order of their turns on the uplink.
    turns: VecDeque<usize>,
    sent_bytes: u64,
    done_at: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// When the last one had everything, in seconds.
    pub(super) last: f64,
    /// How many times the content the publisher has sent.
    pub(super) publisher: f64,
    /// How much was sent beyond what was lacking, as a part of that.
    pub(super) twice: f64,
}

struct Links {
    replicas: Vec<Replica>,
    claims: BTreeMap<ArtifactId, Claim>,
    events: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
    now: Duration,
    delay: Duration,
    bytes_per_second: u64,
}

impl Links {
    fn new(orders: &[Order], files: &[u64], bytes_per_second: u64, delay: Duration) -> Self {
        let claim = |(n, size): (usize, &u64)| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            let id = ArtifactId::new(id);
            (id, Claim { id, size: *size, chunk_bytes: CHUNK_BYTES })
        };
        let replica = |order: &Order| Replica {
            downloads: Downloads::new(GossipOptions::default(), *order),
            held: BTreeSet::new(),
            queues: BTreeMap::new(),
            turns: VecDeque::new(),
            sent_bytes: 0,
            done_at: Duration::ZERO,
        };
        let mut links = Self {
            replicas: orders.iter().map(replica).collect(),
            claims: files.iter().enumerate().map(claim).collect(),
            events: BTreeMap::new(),
            sequence: 0,
            now: Duration::ZERO,
            delay,
            bytes_per_second,
        };
        for own in 0..orders.len() {
            for peer in (0..orders.len()).filter(|peer| *peer != own) {
                links.replicas[own].downloads.peer_up(node(peer as u8), Duration::ZERO);
            }
            links.act(own);
        }
        links.at(TICK, Event::Tick);
        links
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        self.at(self.now + self.delay, Event::Arrive { from, to, message });
    }

    /// The first replica publishes everything at once.
    fn run(&mut self) -> Outcome {
        let claims: Vec<Claim> = self.claims.values().copied().collect();
        self.replicas[0].held = self.claims.keys().copied().collect();
        for to in 1..self.replicas.len() {
            for claim in &claims {
                self.send(0, to, Message::Advert(*claim));
            }
        }
        while self.replicas.iter().any(|replica| replica.held.len() < self.claims.len()) {
            let ((now, _), event) = self.events.pop_first().expect("there is a tick to come");
            assert!(now < Duration::from_secs(20_000), "it never ends");
            self.now = now;
            match event {
                Event::Tick => {
                    for own in 0..self.replicas.len() {
                        self.replicas[own].downloads.tick(now);
                        self.act(own);
                    }
                    self.at(now + TICK, Event::Tick);
                }
                Event::Arrive { from, to, message } => self.arrive(from, to, message),
                Event::Sent { from } => self.sent(from),
            }
        }
        self.replicas.iter().for_each(|replica| replica.downloads.check());
        let content: u64 = claims.iter().map(|claim| claim.size).sum();
        let lacking = (content * (self.replicas.len() as u64 - 1)) as f64;
        let sent: u64 = self.replicas.iter().map(|replica| replica.sent_bytes).sum();
        let last = self.replicas.iter().map(|replica| replica.done_at).max();
        Outcome {
            last: last.unwrap_or_default().as_secs_f64(),
            publisher: self.replicas[0].sent_bytes as f64 / content as f64,
            twice: sent as f64 / lacking - 1.0,
        }
    }

    fn arrive(&mut self, from: usize, to: usize, message: Message) {
        let (now, peer) = (self.now, node(from as u8));
        let receiver = &mut self.replicas[to];
        match message {
            Message::Advert(claim) => {
                if !receiver.held.contains(&claim.id) {
                    receiver.downloads.advert(peer, claim, now);
                }
            }
            Message::Request(id, chunk) => {
                let (_, length) = self.claims[&id].chunk(chunk).expect("asked for what there is");
                let idle = receiver.turns.is_empty();
                let queue = receiver.queues.entry(from).or_default();
                if queue.len() < QUEUE {
                    if queue.is_empty() {
                        receiver.turns.push_back(from);
                    }
                    queue.push_back((id, chunk, length as u64));
                }
                if idle {
                    self.send_packet(to);
                }
            }
            Message::Chunk(id, chunk) => {
                let (_, length) = self.claims[&id].chunk(chunk).expect("sent what there is");
                if let Some(write) = receiver.downloads.chunk(peer, id, chunk, length, now) {
                    receiver.downloads.written(write.attempt, now);
                }
            }
        }
        self.act(to);
    }

    fn send_packet(&mut self, from: usize) {
        let sender = &mut self.replicas[from];
        let Some(to) = sender.turns.front() else { return };
        let left = sender.queues[to].front().expect("its turn, so there is something").2;
        let bytes = left.min(PACKET_BYTES);
        sender.sent_bytes += bytes;
        let took = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.at(self.now + took, Event::Sent { from });
    }

    fn sent(&mut self, from: usize) {
        let sender = &mut self.replicas[from];
        let to = sender.turns.pop_front().expect("a packet of somebody");
        let queue = sender.queues.get_mut(&to).expect("its turn");
        let first = queue.front_mut().expect("its turn, so there is something");
        first.2 = first.2.saturating_sub(PACKET_BYTES);
        let (id, chunk, left) = *first;
        if left == 0 {
            queue.pop_front();
        }
        if !queue.is_empty() {
            sender.turns.push_back(to);
        }
        if left == 0 {
            self.send(from, to, Message::Chunk(id, chunk));
        }
        self.send_packet(from);
    }

    /// Does what a replica has decided, until nothing follows.
    fn act(&mut self, own: usize) {
        loop {
            let actions = self.replicas[own].downloads.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                let now = self.now;
                match action {
                    Action::Reserve { attempt, .. } => {
                        self.replicas[own].downloads.space_granted(attempt, &[], now);
                    }
                    Action::Request { peer, id, chunk, .. } => {
                        let to = peer.as_bytes()[0].into();
                        self.send(own, to, Message::Request(id, chunk));
                    }
                    Action::Finish { claim, .. } => self.hold(own, claim),
                    // No advert is lost, so it need not be answered.
                    Action::Discard { .. } | Action::AskAdverts { .. } => {}
                    Action::Report { .. } => panic!("an honest replica is reported"),
                }
            }
        }
    }

    fn hold(&mut self, own: usize, claim: Claim) {
        let now = self.now;
        let replica = &mut self.replicas[own];
        replica.held.insert(claim.id);
        replica.done_at = now;
        let holders = replica.downloads.held(claim.id, now);
        for to in 0..self.replicas.len() {
            if to != own && !holders.contains(&node(to as u8)) {
                self.send(own, to, Message::Advert(claim));
            }
        }
    }
}

fn salted(replicas: usize) -> Vec<Order> {
    (0..replicas as u64).map(Order::Salted).collect()
}

/// 32 MB in so many files.
fn files(count: u64) -> Vec<u64> {
    vec![(32 << 20) / count; count as usize]
}

const DELAY: Duration = Duration::from_millis(20);
const MEGABIT: u64 = 125_000;

#[test]
fn a_slow_link_with_many_peers_sends_hardly_anything_twice() {
    // One file, which nobody can help with: all the publisher's link carries.
    let found = Links::new(&salted(32), &files(1), 10 * MEGABIT, DELAY).run();
    assert!(found.twice < 0.01, "{found:?}");
    let found = Links::new(&salted(32), &files(64), 10 * MEGABIT, DELAY).run();
    assert!(found.twice < 0.06, "{found:?}");
}

#[test]
fn replicas_help_each_other_because_each_has_an_order_of_its_own() {
    for (replicas, faster) in [(4, 1.3), (32, 3.0)] {
        let run = |orders: &[Order]| Links::new(orders, &files(64), 100 * MEGABIT, DELAY).run();
        let same = run(&vec![Order::Arrival; replicas]);
        let own = run(&salted(replicas));
        assert!(own.last * faster < same.last, "{own:?} after {same:?}");
        assert!(own.publisher * faster < same.publisher, "{own:?} after {same:?}");
    }
}
