//! The configuration of one replica: a TOML file.
//!
//! [`reference`](mod@reference) writes it with every setting; `replica/docs/replica.toml` is what it writes.
//!
//! Relative paths are relative to the folder of the file. A word that is not known is refused, since it
//! is more likely a typing error than nothing. Each fault is said with the file and its line.
//!
//! The peers and the flows can change while the replica runs; the rest holds from its start to its end.

mod entry;
mod flows;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod numbers;
mod peers;
mod places;
mod reference;
mod texts;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use gossip_engine::{ChannelConfig, NodeId};
use gossip_replica::{
    gossip::GossipOptions, http::HttpAddress, names::PeerName, replica::ReplicaOptions,
    store::StoreOptions, transport::Peer,
};
use serde::Deserialize;
use toml::Spanned;

pub(crate) use self::{
    peers::{PeerSettings, check_listen},
    places::Places,
    reference::{help, reference},
};

use self::{
    flows::FlowsSettings,
    peers::{PeerList, PeersFile},
};
use crate::failure::Failure;

/// The most bytes that a configuration or a file of peers may have: more than
/// [`MAX_PEERS`](gossip_replica::transport::limits::MAX_PEERS) need.
const MAX_FILE_BYTES: u64 = 1 << 20;
const RESCAN: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(2);

/// What a configuration says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Where to listen, as `host:port`.
    pub(crate) listen: String,
    pub(crate) key_file: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) publish: Option<PathBuf>,
    /// Where the peers' folders are written.
    pub(crate) export: Option<PathBuf>,
    pub(crate) chunk_size: u32,
    pub(crate) rescan: Duration,
    pub(crate) settle: Duration,
    /// For how long what no catalog names any more is held.
    pub(crate) keep_removed: Duration,
    /// How much is held of each publisher; all unless said.
    pub(crate) max_publisher_bytes: Option<u64>,
    pub(crate) store_limits: StoreLimits,
    /// Where the status page is served, if anywhere.
    pub(crate) http: Option<HttpAddress>,
    pub(crate) peers: Vec<PeerSettings>,
    pub(crate) peers_file: Option<PathBuf>,
    pub(crate) channels: ChannelConfig,
    /// Where it says what a fault may be found of later.
    pub(crate) places: Places,
}

/// What a configuration says of the store; what it does not say is the store's to choose.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct StoreLimits {
    pub(crate) min_free_bytes: Option<u64>,
    pub(crate) max_store_bytes: Option<u64>,
    pub(crate) verify_bytes_per_second: Option<u64>,
}

/// The file, word by word.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    #[serde(deserialize_with = "peers::listen")]
    listen: String,
    #[serde(deserialize_with = "texts::key_file")]
    key_file: PathBuf,
    #[serde(deserialize_with = "texts::store")]
    store: PathBuf,
    #[serde(default, deserialize_with = "texts::publish")]
    publish: Option<PathBuf>,
    #[serde(default, deserialize_with = "texts::export")]
    export: Option<PathBuf>,
    #[serde(default = "chunk_size", deserialize_with = "numbers::chunk_size")]
    chunk_size: u32,
    #[serde(default = "rescan", deserialize_with = "numbers::rescan")]
    rescan_seconds: Duration,
    #[serde(default = "settle", deserialize_with = "numbers::settle")]
    settle_seconds: Duration,
    #[serde(default = "keep_removed", deserialize_with = "numbers::keep_removed")]
    keep_removed_seconds: Duration,
    #[serde(default, deserialize_with = "numbers::min_free_bytes")]
    min_free_bytes: Option<u64>,
    #[serde(default, deserialize_with = "numbers::max_store_bytes")]
    max_store_bytes: Option<u64>,
    #[serde(default, deserialize_with = "numbers::max_publisher_bytes")]
    max_publisher_bytes: Option<u64>,
    #[serde(default, deserialize_with = "numbers::verify_bytes_per_second")]
    verify_bytes_per_second: Option<u64>,
    #[serde(default, deserialize_with = "texts::http")]
    http: Option<HttpAddress>,
    #[serde(default, deserialize_with = "texts::peers_file")]
    peers_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "peers::list")]
    peers: Vec<Spanned<PeerSettings>>,
    #[serde(default)]
    flows: FlowsSettings,
}

fn chunk_size() -> u32 {
    GossipOptions::default().chunk_bytes
}

fn keep_removed() -> Duration {
    GossipOptions::default().removed_retention
}

fn rescan() -> Duration {
    RESCAN
}

fn settle() -> Duration {
    SETTLE
}

impl Settings {
    /// Reads a file, and the file of peers that it names.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        Self::load_with(path, read)
    }

    /// The same, with whatever brings the content of a file.
    fn load_with(
        path: &Path,
        mut read: impl FnMut(&Path, &str) -> Result<Vec<u8>, Failure>,
    ) -> Result<Self, Failure> {
        let text = decode(read(path, "configuration")?, path, "configuration")?;
        // Joining leaves an absolute path as it is.
        let folder = path.parent().unwrap_or(Path::new(""));
        let fault = |fault| Failure::usage(format_args!("{}, {fault}", path.display()));
        let (mut settings, mut list) = Self::parse(&text, folder).map_err(fault)?;
        if let Some(path) = &settings.peers_file {
            let text = decode(read(path, "file of peers")?, path, "file of peers")?;
            let fault = |fault| Failure::usage(format_args!("{}, {fault}", path.display()));
            let file: PeersFile = parse(&text).map_err(fault)?;
            list.add(file.peers).map_err(|error| fault(at(&text, error.at, &error.message)))?;
        }
        settings.peers = list.peers;
        settings.places.file = path.to_owned();
        Ok(settings)
    }

    /// Reads a file without the file of peers that it names, which need not be there yet.
    pub(crate) fn load_without_peers_file(path: &Path) -> Result<Self, Failure> {
        let text = decode(read(path, "configuration")?, path, "configuration")?;
        let (mut settings, list) = Self::parse(&text, path.parent().unwrap_or(Path::new("")))
            .map_err(|fault| Failure::usage(format_args!("{}, {fault}", path.display())))?;
        settings.peers = list.peers;
        settings.places.file = path.to_owned();
        Ok(settings)
    }

    /// The content of a file of peers with this peer in it, `None` if it says so already. A file that is missing is as
    /// an empty one.
    pub(crate) fn peers_file_with(
        path: &Path,
        peer: &PeerSettings,
    ) -> Result<Option<String>, Failure> {
        let text = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => entry::HEAD.to_owned(),
            _ => decode(read(path, "file of peers")?, path, "file of peers")?,
        };
        let fault = |fault| Failure::usage(format_args!("{}, {fault}", path.display()));
        entry::with_peer(&text, peer).map_err(fault)
    }

    /// Where the file says that the page is. Faults elsewhere in it, or in the peers' file, do not matter: the
    /// replica runs on without them, and shows its status.
    pub(crate) fn http_in(path: &Path) -> Result<Option<HttpAddress>, Failure> {
        #[derive(Deserialize)]
        struct Http {
            #[serde(default, deserialize_with = "texts::http")]
            http: Option<HttpAddress>,
        }
        let text = decode(read(path, "configuration")?, path, "configuration")?;
        let words: Http = parse(&text)
            .map_err(|fault| Failure::usage(format_args!("{}, {fault}", path.display())))?;
        Ok(words.http)
    }

    /// Which file of peers a configuration names, whatever else is at fault in it.
    pub(crate) fn peers_file_in(path: &Path) -> Option<PathBuf> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default, deserialize_with = "texts::peers_file")]
            peers_file: Option<PathBuf>,
        }
        let text = decode(read(path, "configuration").ok()?, path, "configuration").ok()?;
        let named: Named = parse(&text).ok()?;
        Some(path.parent().unwrap_or(Path::new("")).join(named.peers_file?))
    }

    /// All but the peers of another file. Those of this one are not in the settings yet.
    fn parse(text: &str, folder: &Path) -> Result<(Self, PeerList), String> {
        let words: Words = parse(text)?;
        let mut list = PeerList::default();
        list.add(words.peers).map_err(|fault| at(text, fault.at, &fault.message))?;
        let channels = words.flows.apply(ReplicaOptions::default().channels);
        let settings = Self {
            listen: words.listen,
            key_file: folder.join(words.key_file),
            store: folder.join(words.store),
            publish: words.publish.map(|path| folder.join(path)),
            export: words.export.map(|path| folder.join(path)),
            chunk_size: words.chunk_size,
            rescan: words.rescan_seconds,
            settle: words.settle_seconds,
            keep_removed: words.keep_removed_seconds,
            max_publisher_bytes: words.max_publisher_bytes,
            store_limits: StoreLimits {
                min_free_bytes: words.min_free_bytes,
                max_store_bytes: words.max_store_bytes,
                verify_bytes_per_second: words.verify_bytes_per_second,
            },
            http: words.http,
            peers: Vec::new(),
            peers_file: words.peers_file.map(|path| folder.join(path)),
            channels: channels.map_err(|fault| at(text, fault.at, &fault.error.to_string()))?,
            places: Places::of(text),
        };
        Ok((settings, list))
    }

    /// What the store is opened with.
    pub(crate) fn store_options(&self) -> StoreOptions {
        let StoreLimits { min_free_bytes, max_store_bytes, verify_bytes_per_second } =
            self.store_limits;
        let default = StoreOptions::default();
        StoreOptions {
            min_free_bytes: min_free_bytes.unwrap_or(default.min_free_bytes),
            max_store_bytes: max_store_bytes.or(default.max_store_bytes),
            verify_bytes_per_second: verify_bytes_per_second
                .unwrap_or(default.verify_bytes_per_second),
            ..default
        }
    }

    /// The peers, the own entry among them if it is.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let peer = |peer: &PeerSettings| Peer { node_id: peer.key, address: peer.address.clone() };
        self.peers.iter().map(peer).collect()
    }

    /// What the peers are called that have a name.
    pub(crate) fn names(&self) -> impl Iterator<Item = (NodeId, Option<PeerName>)> {
        self.peers.iter().map(|peer| (peer.key, peer.name.clone()))
    }

    /// What differs from `other` and cannot change while the replica runs.
    pub(crate) fn fixed_changes(&self, other: &Self) -> Vec<&'static str> {
        let fixed = [
            ("listen", self.listen != other.listen),
            ("key_file", self.key_file != other.key_file),
            ("store", self.store != other.store),
            ("publish", self.publish != other.publish),
            ("export", self.export != other.export),
            ("chunk_size", self.chunk_size != other.chunk_size),
            ("rescan_seconds", self.rescan != other.rescan),
            ("settle_seconds", self.settle != other.settle),
            ("keep_removed_seconds", self.keep_removed != other.keep_removed),
            ("max_publisher_bytes", self.max_publisher_bytes != other.max_publisher_bytes),
            ("the limits of the store", self.store_limits != other.store_limits),
            ("http", self.http != other.http),
        ];
        fixed.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
    }
}

/// Reads a whole file, or more of it than it may have.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| {
        Failure::usage(format_args!("cannot read the {what} {}: {error}", path.display()))
    };
    let mut content = Vec::new();
    // A pipe may never end, and cannot be read again.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Failure::usage(format_args!(
            "{} is no {what}: it is not a regular file",
            path.display()
        )));
    }
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

/// The text of a file with this content.
fn decode(content: Vec<u8>, path: &Path, what: &str) -> Result<String, Failure> {
    let shown = path.display();
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::usage(format_args!(
            "{shown} is no {what}: it is longer than {MAX_FILE_BYTES} bytes"
        )));
    }
    String::from_utf8(content).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        Failure::usage(format_args!("{shown}, line {line}: the text is not in UTF-8"))
    })
}

/// TOML's own account of the place takes several lines.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let span = match error.span() {
            // What the file itself lacks has no place.
            Some(Range { start: 0, end: 0 }) if error.message().starts_with("missing field") => {
                None
            }
            // Nor have tables that nest too deep.
            span => span,
        };
        format!("{}: {}", lines(text, span.unwrap_or(0..text.len())), error.message())
    })
}

/// A fault and the line that it is in.
fn at(text: &str, position: usize, fault: &str) -> String {
    format!("{}: {fault}", lines(text, position..position))
}

/// The lines that a part of the text takes. What the file lacks as a whole is in none of them alone.
fn lines(text: &str, span: Range<usize>) -> String {
    let upto = |end: usize| text.as_bytes().get(..end).unwrap_or(text.as_bytes());
    let line = |end: usize| 1 + upto(end).iter().filter(|byte| **byte == b'\n').count();
    let first = line(span.start);
    let last = line(span.start + text.get(span).unwrap_or_default().trim_end().len());
    if first == last { format!("line {first}") } else { format!("lines {first} to {last}") }
}

#[cfg(test)]
mod tests;
