//! What `/status.json` says, as plain data: what the page draws and `gossip-replica status` prints.
//!
//! Fields are only added, so that a program may be newer or older than what it asks. Times are in seconds,
//! points in time in seconds since 1970.

use serde::{Deserialize, Serialize};

/// The answer: all replicas of the process in short, and one of them in full.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// When this was seen.
    pub now: f64,
    /// When the process began to watch.
    pub started: f64,
    /// All replicas of the process, in order. Outside of a demo there is one.
    pub replicas: Vec<Summary>,
    /// What an operator should know and is no fault of the process, in words.
    pub notices: Vec<String>,
    /// The one that was asked for.
    pub replica: ReplicaView,
}

/// A replica in short.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Summary {
    /// Its number in this process, from 1.
    pub number: usize,
    /// Its id.
    pub id: String,
    /// Artifacts held.
    pub artifacts: u64,
    /// Artifacts known and not held.
    pub missing: u64,
    /// Whether it holds all it knows of and is connected.
    pub ready: bool,
    /// With which of the others in this process it is connected, by their numbers.
    pub connected: Vec<usize>,
}

/// A replica in full.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ReplicaView {
    /// Its number in this process, from 1.
    pub number: usize,
    /// Its id.
    pub id: String,
    /// Its name, if the list of peers gives it one.
    pub name: Option<String>,
    /// Where it listens.
    pub listen: String,
    /// Whether it holds what it knows of.
    pub readiness: Readiness,
    /// What is wrong with the process itself, in words; empty if nothing is.
    pub faults: Vec<String>,
    /// Bytes of all peers.
    pub traffic: TrafficView,
    /// The last hour.
    pub hour: HourView,
    /// What is held, and the space that is left.
    pub store: StoreView,
    /// Its peers, in the order of their ids.
    pub peers: Vec<PeerView>,
    /// The folders of those who publish one, in the order of their ids.
    pub folders: Vec<FolderView>,
    /// What is being fetched.
    pub downloads: Vec<DownloadView>,
    /// What came last, the newest first.
    pub recent: Vec<ArtifactView>,
    /// The engine's flows, and the replica's own adverts as `Broadcast`.
    pub flows: Vec<FlowView>,
    /// What was refused, dropped or failed, those that happened lately first.
    pub refusals: Vec<RefusalView>,
}

/// Whether a replica holds what it knows of.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Readiness {
    /// It does, and is connected.
    pub ready: bool,
    /// Why not, in words.
    pub reasons: Vec<String>,
    /// Artifacts known and not held.
    pub missing_artifacts: u64,
    /// Their bytes.
    pub missing_bytes: u64,
    /// Those among them that wait for space on the disk.
    pub waiting_for_space: u64,
    /// Peers that are connected.
    pub connected: usize,
    /// Peers on the list.
    pub peers: usize,
}

/// Bytes on the wire.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TrafficView {
    /// From the peers, since the start.
    pub bytes_in: u64,
    /// To the peers, since the start.
    pub bytes_out: u64,
    /// Bytes a second, now.
    pub in_rate: u64,
    /// Bytes a second, now.
    pub out_rate: u64,
    /// Bytes of each of the last seconds, the latest last.
    pub in_history: Vec<u64>,
    /// Bytes of each of the last seconds, the latest last.
    pub out_history: Vec<u64>,
}

/// The last hour in steps, at most 240 of them, the latest last: 15 seconds each. All lists are of the same length.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HourView {
    /// How long a step is.
    pub step: f64,
    /// Bytes a second from the peers.
    pub in_rate: Vec<u64>,
    /// Bytes a second to the peers.
    pub out_rate: Vec<u64>,
    /// The most artifacts at a time that were known and not held.
    pub missing: Vec<u64>,
    /// Bytes held at its end.
    pub held_bytes: Vec<u64>,
    /// Messages dropped, refused, expired or whose handler panicked.
    pub dropped: Vec<u64>,
}

/// What is held, and the space that is left.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StoreView {
    /// Artifacts held.
    pub artifacts: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Bytes that the disk has left, if it says.
    pub free_bytes: Option<u64>,
    /// Bytes that are to be left to others.
    pub min_free_bytes: u64,
    /// The most bytes that may be held.
    pub max_store_bytes: Option<u64>,
    /// Bytes that were read again and found as they should be.
    pub verified_bytes: u64,
    /// Artifacts found damaged.
    pub damaged: u64,
    /// Those among them that are whole again.
    pub repaired: u64,
    /// What the disk refuses, in words.
    pub last_error: Option<String>,
    /// Artifacts published here since the start are not in it: fetched from peers.
    pub fetched: u64,
}

/// A peer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PeerView {
    /// Its id.
    pub id: String,
    /// Its name, if the list of peers gives it one.
    pub name: Option<String>,
    /// Its number in this process, if it is one of a demo's.
    pub number: Option<usize>,
    /// Where it listens, as configured.
    pub address: String,
    /// `connected`, `connecting`, `away` or `shut out`.
    pub state: String,
    /// Since when.
    pub since: f64,
    /// Since when it is not connected, however often it was dialled meanwhile.
    pub away_since: Option<f64>,
    /// The address of the connection.
    pub remote: Option<String>,
    /// Why it is or was away, in words.
    pub last_error: Option<String>,
    /// Bytes from it since the start.
    pub bytes_in: u64,
    /// Bytes to it since the start.
    pub bytes_out: u64,
    /// Bytes a second, now.
    pub in_rate: u64,
    /// Bytes a second, now.
    pub out_rate: u64,
    /// The connection's round trip.
    pub round_trip: Option<f64>,
    /// How many connections there have been.
    pub connections: u64,
}

/// What is known of a publisher's folder. Files and bytes are counted by path: equal files count each.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FolderView {
    /// The publisher's id.
    pub publisher: String,
    /// What the publisher is called: by the name that the list of peers gives, or by the first digits of the id.
    pub name: String,
    /// The number of the catalog. That of a newer one is larger.
    pub sequence: u64,
    /// Its files.
    pub files: u64,
    /// Their bytes, as the publisher says.
    pub bytes: u64,
    /// Those among the files that are not held here.
    pub missing_files: u64,
    /// Their bytes.
    pub missing_bytes: u64,
    /// Those of the missing that are not fetched, since they are beyond the publisher's share, `max_publisher_bytes`.
    pub over_share_files: u64,
    /// Their bytes.
    pub over_share_bytes: u64,
    /// Since when some have been missing; none if none is.
    pub missing_since: Option<f64>,
    /// Whether there is a newer catalog, which is not here yet. If there is none here at all, nothing is known of
    /// files.
    pub newer_catalog: bool,
    /// Bytes that have come of those missing files that are being fetched.
    pub arriving_bytes: u64,
    /// Bytes a second of what is missing, lately.
    pub rate: u64,
    /// How long the rest takes at that rate; none if nothing is missing or nothing comes.
    pub left: Option<f64>,
    /// How many peers say that they hold all of it.
    pub peers_complete: usize,
    /// How many peers say that they lack some of it, or know an older catalog only.
    pub peers_behind: usize,
    /// How many peers have said nothing of it.
    pub peers_silent: usize,
    /// What peers say, those that lack most first, and at most 16 of them. It is what each says of itself.
    pub peers: Vec<FolderPeerView>,
}

/// What a peer says of its copy of a publisher's folder.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FolderPeerView {
    /// The peer's id.
    pub id: String,
    /// Its name, if the list of peers gives it one.
    pub name: Option<String>,
    /// Its number in this process, if it is one of a demo's.
    pub number: Option<usize>,
    /// Files that it lacks.
    pub missing_files: u64,
    /// Their bytes.
    pub missing_bytes: u64,
    /// Whether it said so of an older catalog than the one that is here.
    pub older_catalog: bool,
    /// When it said so.
    pub said: f64,
}

/// An artifact that is being fetched.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DownloadView {
    /// Its id.
    pub id: String,
    /// What people call it: publisher and path of the first file that has it, escaped, or whose catalog it is; none if
    /// no catalog names it.
    pub label: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that have come.
    pub received: u64,
    /// For how long.
    pub age: f64,
    /// From how many peers.
    pub peers: usize,
    /// Bytes a second, lately.
    pub rate: u64,
    /// How long the rest takes at that rate; none if nothing comes.
    pub left: Option<f64>,
}

/// An artifact that is held.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ArtifactView {
    /// Its id.
    pub id: String,
    /// As for a [download](DownloadView::label).
    pub label: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// When it came.
    pub came: f64,
}

/// A flow of the engine.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FlowView {
    /// Its name.
    pub name: String,
    /// Messages admitted and not finished.
    pub in_flight: u64,
    /// The most of them that there may be.
    pub max_inflight: u64,
    /// Submitters that wait for capacity, now.
    pub waiting: u64,
    /// How near it is to pushing back or dropping, 0 to 100.
    pub overload: u8,
    /// Messages handled since the start.
    pub handled: u64,
    /// Messages that had to wait for capacity, since the start.
    pub waited: u64,
    /// Messages dropped, refused, expired or whose handler panicked, since the start.
    pub dropped: u64,
    /// Those of the last minute.
    pub dropped_lately: u64,
    /// Which bounds would have avoided what was dropped or refused for want of capacity, in words; or empty.
    pub advice: String,
    /// Messages a second, now.
    pub rate: u64,
    /// The median of how long messages of the last minute waited; none if there were none.
    pub wait_p50: Option<f64>,
    /// Their 99th percentile.
    pub wait_p99: Option<f64>,
    /// The 99th percentile of each of the last seconds in microseconds, the latest last.
    pub p99_history: Vec<u32>,
    /// What was dropped in each of the last seconds.
    pub dropped_history: Vec<u32>,
}

/// Something that was refused, dropped or failed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RefusalView {
    /// What, in words.
    pub what: String,
    /// How often since the start.
    pub total: u64,
    /// How often in the last minute.
    pub lately: u64,
}
