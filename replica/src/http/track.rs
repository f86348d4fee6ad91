//! From one look at a replica to the next: rates, histories, and the verdicts that need time.
//!
//! Bounded: a ring for each flow and each refusal, a few numbers for each peer on the list and each folder.

use std::{
    collections::HashMap,
    time::{Instant, SystemTime},
};

use gossip_engine::{ArtifactId, FlowSnapshot, NodeId};

use super::{
    history::{Growth, Ring, Waits},
    hour::{Counts, Hour},
    limits::{MAX_ERROR_CHARS, RATE_SECONDS, SETTLE},
    reading::{Reading, unix_seconds},
    refusals::REFUSALS,
    status::{
        ArtifactView, DownloadView, FlowView, PeerView, Readiness, RefusalView, ReplicaView,
        StoreView, TrafficView,
    },
};
use crate::{
    folders::Content,
    gossip::DownloadStatus,
    names::Names,
    transport::{PeerState, PeerStatus},
    words::counted,
};

mod folders;

use self::folders::FolderTracks;

/// How many publishers beyond their share are named as reasons.
const MAX_OVER_SHARE: usize = 4;

/// The numbers of the replicas of this process.
pub(super) type Numbers = HashMap<NodeId, usize>;

/// What is kept of one replica between two looks.
#[derive(Debug, Default)]
pub(super) struct Track {
    flows: Vec<FlowTrack>,
    refusals: Vec<Growth>,
    bytes_in: Growth,
    bytes_out: Growth,
    peers: HashMap<NodeId, PeerTrack>,
    folders: FolderTracks,
    hour: Hour,
    /// Since when it is connected and lacks nothing.
    complete_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct FlowTrack {
    handled: Growth,
    dropped: Growth,
    waits: Waits,
}

#[derive(Debug, Default)]
struct PeerTrack {
    bytes: [Bytes; 2],
    away_since: Option<f64>,
}

impl PeerTrack {
    fn take(&mut self, peer: &PeerStatus) {
        self.bytes[0].push(peer.bytes_in);
        self.bytes[1].push(peer.bytes_out);
        self.away_since = match peer.state {
            PeerState::Connected => None,
            _ => self.away_since.or(Some(unix_seconds(peer.since))),
        };
    }
}

/// Bytes of a peer, and what a second adds to them over the last few.
#[derive(Clone, Debug, Default)]
struct Bytes(Ring<u64>);

impl Bytes {
    fn push(&mut self, total: u64) {
        self.0.push(total, RATE_SECONDS + 1);
    }

    fn rate(&self) -> u64 {
        let (first, last) = (self.0.iter().next(), self.0.iter().next_back());
        let grown = last.zip(first).map_or(0, |(last, first)| last.saturating_sub(*first));
        grown / (self.0.iter().count() as u64).saturating_sub(1).max(1)
    }
}

impl Track {
    /// Takes the next look, about a second after the one before.
    pub(super) fn take(
        &mut self,
        reading: &Reading,
        now: Instant,
        numbers: &Numbers,
    ) -> ReplicaView {
        let readiness = self.readiness(reading, now);
        let peers = self.peers(&reading.peers, numbers, &reading.names);
        let (traffic, flows) = (self.traffic(&reading.peers), self.flows(reading));
        let seen = Counts {
            bytes_in: traffic.bytes_in,
            bytes_out: traffic.bytes_out,
            missing: reading.gossip.wanted,
            held_bytes: reading.store.bytes,
            dropped: flows.iter().map(|flow| flow.dropped).sum(),
        };
        self.hour.take(seen, now);
        ReplicaView {
            number: numbers.get(&reading.node_id).copied().unwrap_or(1),
            id: format!("{:x}", reading.node_id),
            name: reading.names.given_name(reading.node_id),
            listen: reading.listen.to_string(),
            readiness,
            faults: faults(reading),
            traffic,
            hour: self.hour.view(),
            store: store(reading),
            peers,
            folders: self.folders.take(reading, numbers),
            downloads: reading.downloads.iter().map(|of| download(of, reading)).collect(),
            recent: reading
                .recent
                .iter()
                .map(|(artifact, came)| ArtifactView {
                    id: format!("{:x}", artifact.id),
                    label: label(artifact.id, reading),
                    size: artifact.size,
                    came: unix_seconds(*came),
                })
                .collect(),
            flows,
            refusals: self.refusals(reading),
        }
    }

    fn readiness(&mut self, reading: &Reading, now: Instant) -> Readiness {
        let connected =
            reading.peers.iter().filter(|peer| peer.state == PeerState::Connected).count();
        let mut readiness = Readiness {
            ready: false,
            reasons: Vec::new(),
            missing_artifacts: reading.gossip.wanted,
            missing_bytes: reading.gossip.missing_bytes,
            waiting_for_space: reading.gossip.waiting_for_space,
            connected,
            peers: reading.peers.len(),
        };
        let Readiness { reasons, missing_artifacts, missing_bytes, .. } = &mut readiness;
        if *missing_artifacts > 0 {
            let (missing, size) = (counted(*missing_artifacts, "artifact"), bytes(*missing_bytes));
            reasons.push(format!("{missing} known and not held ({size})"));
        }
        if reading.gossip.waiting_for_space > 0 {
            let waiting = reading.gossip.waiting_for_space;
            let wait = if waiting == 1 { "waits" } else { "wait" };
            reasons.push(format!("{} {wait} for space", counted(waiting, "artifact")));
        }
        let over_share = reading.folders.counts.iter().filter(|of| of.over_share_files > 0);
        for of in over_share.take(MAX_OVER_SHARE) {
            let (files, size) = (counted(of.over_share_files, "file"), bytes(of.over_share_bytes));
            let name = reading.names.publisher_name(of.publisher);
            reasons
                .push(format!("{files} of {name} not fetched: over max_publisher_bytes ({size})"));
        }
        if connected == 0 && !reading.peers.is_empty() {
            reasons.push("no peer is connected".to_owned());
        }
        if reasons.is_empty() {
            let since = *self.complete_since.get_or_insert(now);
            if now.duration_since(since) < SETTLE && !reading.peers.is_empty() {
                reasons.push("only just now: something may follow".to_owned());
            }
        } else {
            self.complete_since = None;
        }
        readiness.ready = readiness.reasons.is_empty();
        readiness
    }

    fn peers(&mut self, peers: &[PeerStatus], numbers: &Numbers, names: &Names) -> Vec<PeerView> {
        let mut before = std::mem::take(&mut self.peers);
        peers
            .iter()
            .map(|peer| {
                let bytes = [peer.bytes_in, peer.bytes_out];
                let mut track = before.remove(&peer.node_id).unwrap_or_default();
                track.take(peer);
                let rates = track.bytes.each_ref().map(Bytes::rate);
                let away_since = track.away_since;
                self.peers.insert(peer.node_id, track);
                PeerView {
                    id: format!("{:x}", peer.node_id),
                    name: names.given_name(peer.node_id),
                    number: numbers.get(&peer.node_id).copied(),
                    address: shortened(&peer.address),
                    state: state(peer.state).to_owned(),
                    since: unix_seconds(peer.since),
                    away_since,
                    remote: peer.remote.map(|remote| remote.to_string()),
                    last_error: peer.last_error.as_deref().map(shortened),
                    bytes_in: bytes[0],
                    bytes_out: bytes[1],
                    in_rate: rates[0],
                    out_rate: rates[1],
                    round_trip: peer.round_trip.map(|time| time.as_secs_f64()),
                    connections: peer.connections,
                }
            })
            .collect()
    }

    fn traffic(&mut self, peers: &[PeerStatus]) -> TrafficView {
        self.bytes_in.read(peers.iter().map(|peer| peer.bytes_in).sum());
        self.bytes_out.read(peers.iter().map(|peer| peer.bytes_out).sum());
        TrafficView {
            bytes_in: self.bytes_in.total(),
            bytes_out: self.bytes_out.total(),
            in_rate: self.bytes_in.rate(),
            out_rate: self.bytes_out.rate(),
            in_history: self.bytes_in.history().collect(),
            out_history: self.bytes_out.history().collect(),
        }
    }

    fn flows(&mut self, reading: &Reading) -> Vec<FlowView> {
        self.flows.resize_with(reading.flows().count(), FlowTrack::default);
        let flows = self.flows.iter_mut().zip(reading.flows());
        flows.map(|(track, (name, counts))| track.take(name, counts)).collect()
    }

    fn refusals(&mut self, reading: &Reading) -> Vec<RefusalView> {
        self.refusals.resize_with(REFUSALS.len(), Growth::default);
        let mut views = Vec::new();
        for (growth, (_, what, count)) in self.refusals.iter_mut().zip(REFUSALS) {
            growth.read(count(reading));
            if growth.total() > 0 {
                let (total, lately) = (growth.total(), growth.lately());
                views.push(RefusalView { what: what.to_owned(), total, lately });
            }
        }
        // Stable: within both halves the list's own order stays.
        views.sort_by_key(|view| view.lately == 0);
        views
    }
}

impl FlowTrack {
    fn take(&mut self, name: &str, counts: &FlowSnapshot) -> FlowView {
        self.handled.read(counts.handled());
        self.dropped.read(counts.dropped() + counts.refused() + counts.panicked());
        self.waits.read(&counts.wait);
        let [p50, p99] = self.waits.quantiles([0.5, 0.99]);
        FlowView {
            name: name.to_owned(),
            in_flight: counts.in_flight as u64,
            max_inflight: counts.max_in_flight as u64,
            waiting: counts.waiting as u64,
            overload: counts.overload,
            handled: self.handled.total(),
            waited: counts.waiting_for_peer_permit,
            dropped: self.dropped.total(),
            dropped_lately: self.dropped.lately(),
            advice: counts.advice().map(|advice| advice.to_string()).unwrap_or_default(),
            rate: self.handled.rate(),
            wait_p50: p50.map(|time| time.as_secs_f64()),
            wait_p99: p99.map(|time| time.as_secs_f64()),
            p99_history: self.waits.p99_history().collect(),
            dropped_history: self
                .dropped
                .history()
                .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
                .collect(),
        }
    }
}

/// What is wrong with the process itself.
pub(super) fn faults(reading: &Reading) -> Vec<String> {
    let mut faults = Vec::new();
    if reading.failed_tasks > 0 {
        faults.push(format!("{} panicked", counted(reading.failed_tasks, "task")));
    }
    if let Some(error) = &reading.store.last_error {
        faults.push(format!("the store: {}", shortened(error)));
    }
    faults
}

fn store(reading: &Reading) -> StoreView {
    let store = &reading.store;
    StoreView {
        artifacts: store.artifacts,
        bytes: store.bytes,
        free_bytes: store.free_bytes,
        min_free_bytes: store.min_free_bytes,
        max_store_bytes: store.max_store_bytes,
        verified_bytes: store.verified_bytes,
        damaged: store.damaged,
        repaired: store.repaired,
        last_error: store.last_error.as_deref().map(shortened),
        fetched: reading.gossip.fetched.artifacts,
    }
}

/// What people call an artifact. The path is a publisher's choice; as it is shown here it says nothing to a terminal.
fn label(id: ArtifactId, reading: &Reading) -> Option<String> {
    let name = |publisher: &NodeId| reading.names.publisher_name(*publisher);
    let label = match reading.folders.contents.get(&id)? {
        Content::Catalog(publisher) => format!("catalog of {}", name(publisher)),
        Content::File(publisher, path) => format!("{}/{path}", name(publisher)),
    };
    Some(shortened(&label))
}

fn download(download: &DownloadStatus, reading: &Reading) -> DownloadView {
    let rest = download.size.saturating_sub(download.received) as f64;
    DownloadView {
        id: format!("{:x}", download.id),
        label: label(download.id, reading),
        size: download.size,
        received: download.received,
        age: download.since.as_secs_f64(),
        peers: download.peers,
        rate: download.rate as u64,
        left: (download.rate >= 1.0).then_some(rest / download.rate),
    }
}

pub(super) fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Away => "away",
        PeerState::Connecting => "connecting",
        PeerState::Connected => "connected",
        PeerState::ShutOut => "shut out",
    }
}

/// An error may quote what is long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Bytes for people, in powers of ten, as disks and links have them.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        // What would be shown as 1000 is 1 of the next.
        if value < 999.5 {
            break;
        }
        value /= 1e3;
        unit = next;
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// What a point in time is before another, for people: `12 s`, `5 min`, `3 h`, `2 d`.
#[must_use]
pub fn age(seconds: f64) -> String {
    match seconds.max(0.0) as u64 {
        seconds @ 0..=99 => format!("{seconds} s"),
        seconds @ 100..=5_999 => format!("{} min", seconds / 60),
        seconds @ 6_000..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

pub(super) fn now() -> f64 {
    unix_seconds(SystemTime::now())
}

#[cfg(test)]
mod tests;
