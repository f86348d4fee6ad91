//! All rules together, on virtual time: random peers of every kind, messages lost and out of order, a
//! disk that fails now and then, and keeps what ended attempts have left, or has lost it. Whatever happens, the limits
//! hold, and nobody is blamed who has delivered nothing wrong; and while one honest peer stays connected, everything
//! that it has arrives.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use gossip_engine::ChunkError;
use proptest::prelude::*;

use super::{super::*, CHUNK, claim, node};

/// How a peer behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Answers rightly, a chunk in this many milliseconds, one after the other.
    Honest(u64),
    /// Advertises, and never answers.
    Silent,
    /// Advertises rightly, and delivers wrong bytes of the right length.
    Corrupt,
    /// Claims a wrong size, and delivers what fits it, one chunk in this many milliseconds.
    WrongSize(u64),
    /// Cuts into chunks of its own size, and is honest.
    OtherChunks,
    /// Delivers chunks of a wrong length.
    WrongLength,
    /// Answers by errors.
    Errors(ChunkError),
    /// Advertises also what nobody has, and never answers.
    MakesUp,
    /// Honest, but comes and goes.
    Restless,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1..40_000_u64).prop_map(Kind::Honest),
        Just(Kind::Silent),
        Just(Kind::Corrupt),
        (1..14_000_u64).prop_map(Kind::WrongSize),
        Just(Kind::OtherChunks),
        Just(Kind::WrongLength),
        Just(Kind::Errors(ChunkError::Unavailable)),
        Just(Kind::Errors(ChunkError::NotFound)),
        Just(Kind::MakesUp),
        Just(Kind::Restless),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Advert { peer: NodeId, claim: Claim },
    Chunk { peer: NodeId, id: ArtifactId, chunk: u32, length: usize, good: bool },
    Error { peer: NodeId, id: ArtifactId, chunk: u32, error: ChunkError },
    Written { attempt: AttemptId },
    Tick,
    Toggle { peer: NodeId },
}

/// What the store has of an artifact: pieces by their offsets, with their ends, and whether they are right.
#[derive(Clone, Debug, Default)]
struct Part(BTreeMap<u64, (u64, bool)>);

impl Part {
    /// What was there before is written over. All chunks have a multiple of the smallest size.
    fn write(&mut self, offset: u64, length: u64, good: bool) {
        let end = offset + length;
        let pieces = (offset..end).step_by(CHUNK as usize);
        self.0.extend(pieces.map(|from| (from, (end.min(from + u64::from(CHUNK)), good))));
    }

    fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (from, (end, _)) in &self.0 {
            match ranges.last_mut().filter(|range| range.end == *from) {
                Some(range) => range.end = *end,
                None => ranges.push(*from..*end),
            }
        }
        ranges
    }

    fn is_spoilt(&self) -> bool {
        self.0.values().any(|(_, good)| !good)
    }
}

/// Of whom, for which attempt, and since when.
type Asked = (NodeId, AttemptId, Duration);

struct Simulation {
    downloads: Downloads,
    kinds: BTreeMap<NodeId, Kind>,
    connected: BTreeSet<NodeId>,
    artifacts: BTreeMap<ArtifactId, Claim>,
    held: BTreeSet<ArtifactId>,
    /// What each attempt has on the disk.
    parts: BTreeMap<AttemptId, (Claim, Part)>,
    /// What ended attempts have left there.
    kept: BTreeMap<(ArtifactId, u64), Part>,
    /// When each peer is done with what it has been asked for.
    busy_until: BTreeMap<NodeId, Duration>,
    /// Of whom each chunk is asked, for which attempt, as far as the machine cannot know better.
    asked: BTreeMap<(ArtifactId, u32), Vec<Asked>>,
    /// For which attempts there is space.
    granted: BTreeSet<AttemptId>,
    /// How often of a hundred times there is no space.
    full_percent: u64,
    events: BTreeMap<(Duration, u64), Event>,
    now: Duration,
    sequence: u64,
    random: u64,
    loss_percent: u64,
}

impl Simulation {
    fn new(
        options: GossipOptions,
        kinds: &[Kind],
        sizes: &[u32],
        loss_percent: u64,
        seed: u64,
    ) -> Self {
        let artifacts: Vec<Claim> =
            sizes.iter().enumerate().map(|(n, chunks)| claim(n as u16, *chunks)).collect();
        let mut simulation = Self {
            downloads: Downloads::new(options, Order::Salted(seed)),
            kinds: kinds.iter().enumerate().map(|(n, kind)| (node(n as u8), *kind)).collect(),
            connected: BTreeSet::new(),
            artifacts: artifacts.iter().map(|claim| (claim.id, *claim)).collect(),
            held: BTreeSet::new(),
            parts: BTreeMap::new(),
            kept: BTreeMap::new(),
            busy_until: BTreeMap::new(),
            asked: BTreeMap::new(),
            granted: BTreeSet::new(),
            full_percent: seed % 30,
            events: BTreeMap::new(),
            now: Duration::ZERO,
            sequence: 0,
            random: seed,
            loss_percent,
        };
        let peers: Vec<NodeId> = simulation.kinds.keys().copied().collect();
        for peer in peers {
            let delay = simulation.below(3_000);
            simulation.after(delay, Event::Toggle { peer });
        }
        simulation.after(100, Event::Tick);
        simulation
    }

    /// Splitmix64: any fixed generator does.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn lost(&mut self) -> bool {
        self.below(100) < self.loss_percent
    }

    fn after(&mut self, millis: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + Duration::from_millis(millis), self.sequence), event);
    }

    /// Runs until everything is held or so much virtual time has passed.
    fn run(&mut self, limit: Duration) {
        while self.held.len() < self.artifacts.len() && self.now < limit {
            let ((now, _), event) =
                self.events.pop_first().expect("there is always a tick to come");
            self.now = now;
            self.handle(event);
            self.downloads.check();
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Tick => {
                self.after(500, Event::Tick);
                self.downloads.tick(now);
            }
            Event::Advert { peer, claim } => {
                if self.connected.contains(&peer) && !self.held.contains(&claim.id) {
                    self.downloads.advert(peer, claim, now);
                }
            }
            Event::Chunk { peer, id, chunk, length, good } => {
                self.answered(id, chunk, peer);
                if self.kinds[&peer] == Kind::WrongLength {
                    self.dropped(id, peer);
                }
                if let Some(write) = self.downloads.chunk(peer, id, chunk, length, now) {
                    let (_, part) = self.parts.get_mut(&write.attempt).expect("it has space");
                    part.write(write.offset, length as u64, good);
                    if self.below(1_000) == 0 {
                        self.downloads.disk_failed(write.attempt, now);
                    } else {
                        let delay = self.below(50);
                        self.after(delay, Event::Written { attempt: write.attempt });
                    }
                }
            }
            Event::Error { peer, id, chunk, error } => {
                self.answered(id, chunk, peer);
                if error == ChunkError::NotFound {
                    self.dropped(id, peer);
                }
                self.downloads.chunk_error(peer, id, chunk, error, now);
            }
            Event::Written { attempt } => self.downloads.written(attempt, now),
            Event::Toggle { peer } => {
                if self.connected.remove(&peer) {
                    for asked in self.asked.values_mut() {
                        asked.retain(|(of, ..)| *of != peer);
                    }
                    self.downloads.peer_down(peer, now);
                } else {
                    self.connected.insert(peer);
                    self.downloads.peer_up(peer, now);
                }
                if self.kinds[&peer] == Kind::Restless {
                    let delay = 1 + self.below(60_000);
                    self.after(delay, Event::Toggle { peer });
                }
            }
        }
        loop {
            let actions = self.downloads.take_actions();
            if actions.is_empty() {
                break;
            }
            // A chunk released in this batch may be asked for again in it; releases are checked first.
            for action in &actions {
                if let Action::Discard { attempt, .. } = action {
                    for asked in self.asked.values_mut() {
                        asked.retain(|(_, of, _)| of != attempt);
                    }
                }
            }
            for action in actions {
                self.perform(action);
            }
        }
    }

    fn answered(&mut self, id: ArtifactId, chunk: u32, peer: NodeId) {
        if let Some(asked) = self.asked.get_mut(&(id, chunk)) {
            asked.retain(|(of, ..)| *of != peer);
        }
    }

    /// Nothing more of this artifact is expected of this peer.
    fn dropped(&mut self, id: ArtifactId, peer: NodeId) {
        for (_, asked) in self.asked.range_mut((id, 0)..=(id, u32::MAX)) {
            asked.retain(|(of, ..)| *of != peer);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Request { peer, attempt, id, chunk } => self.ask(peer, attempt, id, chunk),
            Action::Finish { attempt, claim } => {
                let truth = self
                    .artifacts
                    .get(&claim.id)
                    .is_some_and(|true_claim| true_claim.size == claim.size);
                let spoilt = self.parts.get(&attempt).is_some_and(|(_, part)| part.is_spoilt());
                if truth && !spoilt {
                    assert!(self.held.insert(claim.id), "held twice");
                    self.downloads.held(claim.id, self.now);
                } else {
                    self.downloads.mismatch(attempt, self.now);
                }
            }
            Action::Reserve { attempt, claim, resume, .. } => {
                if self.below(100) < self.full_percent {
                    match self.below(8) {
                        0 => self.downloads.refuse(attempt, Refused::ToAll, self.now),
                        1 | 2 => self.downloads.refuse(attempt, Refused::ToOwner, self.now),
                        _ => _ = self.downloads.no_space(attempt, self.now),
                    }
                } else {
                    self.granted.insert(attempt);
                    let mut part = Part::default();
                    if resume && self.below(10) > 0 {
                        part = self.kept.remove(&(claim.id, claim.size)).unwrap_or_default();
                    }
                    let ranges = part.ranges();
                    self.parts.insert(attempt, (claim, part));
                    self.downloads.space_granted(attempt, &ranges, self.now);
                }
            }
            Action::Discard { attempt, keep } => {
                if let Some((claim, part)) = self.parts.remove(&attempt)
                    && keep
                    && !part.0.is_empty()
                {
                    self.kept.insert((claim.id, claim.size), part);
                }
            }
            Action::Report { peer, fault, .. } => {
                let liar = matches!(self.kinds[&peer], Kind::Corrupt | Kind::WrongSize(_));
                assert!(liar || fault != Fault::WrongContent, "{:?} is blamed", self.kinds[&peer]);
            }
            Action::AskAdverts { peer } => {
                if self.lost() {
                    self.downloads.ask_unsent(peer, self.now);
                } else {
                    self.advertise(peer);
                }
            }
        }
    }

    fn advertise(&mut self, peer: NodeId) {
        let mut claims: Vec<Claim> = self.artifacts.values().copied().collect();
        match self.kinds[&peer] {
            Kind::WrongSize(_) => {
                claims.iter_mut().for_each(|claim| claim.size += 5 * u64::from(CHUNK));
            }
            Kind::OtherChunks => claims.iter_mut().for_each(|claim| claim.chunk_bytes *= 3),
            Kind::MakesUp => claims.extend((1_000..1_030).map(|n| claim(n, 3))),
            _ => {}
        }
        for claim in claims {
            let delay = 1 + self.below(500);
            if !self.lost() {
                self.after(delay, Event::Advert { peer, claim });
            }
        }
    }

    fn ask(&mut self, peer: NodeId, attempt: AttemptId, id: ArtifactId, chunk: u32) {
        assert!(self.connected.contains(&peer), "a peer that is not there is asked");
        assert!(!self.held.contains(&id), "asked for what is held");
        assert!(self.granted.contains(&attempt), "asked for without space");
        // What has been asked for long ago may have timed out; the machine knows, this does not.
        let (now, soonest) = (self.now, self.downloads.options.chunk_timeout / 3);
        let asked = self.asked.entry((id, chunk)).or_default();
        asked.retain(|(of, _, since)| *of != peer && now - *since < soonest);
        asked.push((peer, attempt, now));
        assert!(asked.len() <= 2, "asked of more than two peers at a time");
        let kind = self.kinds[&peer];
        let travel = 1 + self.below(200);
        if self.below(100) == 0 {
            self.answered(id, chunk, peer);
            self.downloads.request_unsent(peer, attempt, chunk, self.now);
            return;
        }
        if self.lost() {
            return;
        }
        let truth = self.artifacts.get(&id).copied();
        let claim = match (truth, kind) {
            (Some(claim), Kind::WrongSize(_)) => {
                Claim { size: claim.size + 5 * u64::from(CHUNK), ..claim }
            }
            (Some(claim), Kind::OtherChunks) => Claim { chunk_bytes: 3 * CHUNK, ..claim },
            (Some(claim), _) => claim,
            (None, _) => return,
        };
        let (_, length) = claim.chunk(chunk).expect("asked for a chunk that was advertised");
        let (service, length, good) = match kind {
            Kind::Honest(service) => (service, length, true),
            Kind::OtherChunks | Kind::Restless => (5, length, true),
            Kind::Corrupt => (5, length, false),
            Kind::WrongSize(service) => (service, length, false),
            Kind::WrongLength => (5, length + 1, false),
            Kind::Errors(error) => {
                self.after(travel, Event::Error { peer, id, chunk, error });
                return;
            }
            Kind::Silent | Kind::MakesUp => return,
        };
        let free = self.busy_until.get(&peer).copied().unwrap_or_default().max(self.now);
        let done = free + Duration::from_millis(service);
        self.busy_until.insert(peer, done);
        let delay = (done - self.now).as_millis() as u64 + travel;
        self.after(delay, Event::Chunk { peer, id, chunk, length, good });
    }
}

fn options() -> impl Strategy<Value = GossipOptions> {
    (1..8_usize, 1..5_usize, 3..20_usize).prop_map(|(downloads, per_peer, adverts)| GossipOptions {
        max_downloads: downloads,
        downloads_per_peer: per_peer,
        max_adverts_per_peer: adverts,
        ..GossipOptions::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn everything_arrives_while_one_honest_peer_stays(
        options in options(),
        others in proptest::collection::vec(kind(), 0..7),
        honest in (0..8_usize, 1..14_000_u64),
        sizes in proptest::collection::vec(0..50_u32, 1..8),
        loss_percent in 0..15_u64,
        seed in any::<u64>(),
    ) {
        let mut kinds = others;
        kinds.insert(honest.0.min(kinds.len()), Kind::Honest(honest.1));
        let mut simulation = Simulation::new(options, &kinds, &sizes, loss_percent, seed);
        simulation.run(Duration::from_secs(12 * 3600));
        prop_assert_eq!(
            simulation.held.len(), simulation.artifacts.len(),
            "after {:?}: {:?}\n{:#?}", simulation.now, kinds, simulation.downloads.counters
        );
    }
}
