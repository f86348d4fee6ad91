//! The configuration of one replica: a TOML file.
//!
//! ```toml
//! listen = "0.0.0.0:4100"
//! key_file = "replica.key"        # as `gossip-replica keygen` writes it
//! store = "store"                 # made if there is none
//! publish = "outbox"              # optional: a folder whose files are published
//! chunk_size = 131072             # optional, in bytes
//! rescan_seconds = 10             # optional: how often `publish` is looked through for new files
//!
//! [[peers]]
//! key = "0123…"                   # the peer's node id, 64 hexadecimal digits
//! address = "replica-2.example:4100"
//! ```
//!
//! Relative paths are relative to the folder of the file. A word that is not known is refused, since it
//! is more likely a typing error than nothing.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use gossip_engine::{NodeId, wire::MAX_CHUNK_DATA_BYTES};
use gossip_replica::gossip::{GossipOptions, MIN_CHUNK_BYTES};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::failure::Failure;

/// The most bytes that a configuration may have: some ten thousand peers.
const MAX_FILE_BYTES: u64 = 1 << 20;
const RESCAN_SECONDS: u64 = 10;
const MAX_RESCAN_SECONDS: u64 = 86_400;

/// What a configuration says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where to listen, as `host:port`.
    pub(crate) listen: String,
    pub(crate) key_file: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) publish: Option<PathBuf>,
    #[serde(default = "chunk_size", deserialize_with = "chunk_size_in_range")]
    pub(crate) chunk_size: u32,
    #[serde(default = "rescan", deserialize_with = "rescan_in_range", rename = "rescan_seconds")]
    pub(crate) rescan: Duration,
    pub(crate) peers: Vec<PeerSettings>,
}

/// What a configuration says of a peer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerSettings {
    #[serde(deserialize_with = "node_id")]
    pub(crate) key: NodeId,
    /// Where it listens, as `host:port`.
    pub(crate) address: String,
}

impl Settings {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |error: io::Error| {
            Failure::usage(format_args!("cannot read the configuration {shown}: {error}"))
        };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(Failure::usage(format_args!(
                "{shown} is no configuration: it is longer than {MAX_FILE_BYTES} bytes"
            )));
        }
        // Joining leaves an absolute path as it is.
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|error| Failure::usage(format_args!("{shown}, {error}")))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let mut settings: Self = toml::from_str(text).map_err(|error| {
            // TOML's own account of the place takes several lines.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", error.message())
        })?;
        for path in [&mut settings.key_file, &mut settings.store] {
            *path = folder.join(&*path);
        }
        settings.publish = settings.publish.map(|path| folder.join(path));
        Ok(settings)
    }
}

fn chunk_size() -> u32 {
    GossipOptions::default().chunk_bytes
}

fn chunk_size_in_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let bytes = i64::deserialize(deserializer)?;
    u32::try_from(bytes)
        .ok()
        .filter(|bytes| (MIN_CHUNK_BYTES..=MAX_CHUNK_DATA_BYTES as u32).contains(bytes))
        .ok_or_else(|| {
            let range = format_args!("{MIN_CHUNK_BYTES} to {MAX_CHUNK_DATA_BYTES}");
            D::Error::custom(format_args!("chunk_size is {bytes}, not {range} bytes"))
        })
}

fn rescan() -> Duration {
    Duration::from_secs(RESCAN_SECONDS)
}

fn rescan_in_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = i64::deserialize(deserializer)?;
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=MAX_RESCAN_SECONDS).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            D::Error::custom(format_args!(
                "rescan_seconds is {seconds}, not 1 to {MAX_RESCAN_SECONDS}"
            ))
        })
}

fn node_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(|error| D::Error::custom(format_args!("the key of a peer: {error}")))
}

#[cfg(test)]
mod tests;
