//! What the fuzz target does with its bytes, here so that a test can replay its seeds.
//!
//! An input is a configuration and, after the first NUL, the file of peers that it may name. A NUL is in no TOML.
//! Compiled for tests and fuzzers only; the library has the settings for its fuzz target alone.

use std::{
    collections::HashSet,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowType};
use gossip_replica::{gossip::GossipOptions, transport::PeerAddress};

use super::{MAX_FILE_BYTES, PeerSettings, Settings};

const PATH: &str = "/folder/replica.toml";

/// Reads the bytes as a configuration.
///
/// # Panics
///
/// If what is accepted is not within the documented ranges, an error does not say the line, or the same bytes
/// are read in two ways.
pub(crate) fn read_settings(bytes: &[u8]) -> Result<Settings, String> {
    let mut files = bytes.splitn(2, |byte| *byte == 0);
    let config = files.next().unwrap_or_default();
    let peers = files.next().unwrap_or_default();

    let mut at = PathBuf::new();
    let mut load = || {
        Settings::load_with(Path::new(PATH), |path, what| {
            at = path.to_owned();
            Ok(if what == "configuration" { config } else { peers }.to_owned())
        })
        .map_err(|failure| failure.to_string())
    };
    let (settings, again) = (load(), load());
    assert_eq!(settings, again, "read in two ways");
    match &settings {
        Ok(settings) => check(settings),
        Err(error) => {
            // The file of peers is asked for only if the configuration is right.
            let file = if at == Path::new(PATH) { config } else { peers };
            check_error(error, &at, file);
        }
    }
    settings
}

/// `FILE, line 7: WHAT`, or `FILE, lines 7 to 9: WHAT`, and no more than a few times as long as the file.
fn check_error(error: &str, path: &Path, file: &[u8]) {
    let longest = 1000 + 16 * (file.len() + path.as_os_str().len());
    assert!(error.len() <= longest, "an error of {} bytes", error.len());
    let rest = error.strip_prefix(&path.display().to_string()).expect("begins with the file");
    if file.len() as u64 > MAX_FILE_BYTES {
        assert!(rest.ends_with("bytes"), "{error}");
        return;
    }
    let place = rest.strip_prefix(", line").expect("says the line");
    let (place, what) = place.split_once(": ").expect("says what is wrong");
    assert!(!what.is_empty(), "{error}");
    let number = |text: &str| text.parse::<usize>().expect("lines are numbers");
    let (first, last) = match place.strip_prefix("s ") {
        Some(lines) => {
            let (first, last) = lines.split_once(" to ").expect("two lines");
            (number(first), number(last))
        }
        None => (number(place.trim_start()), number(place.trim_start())),
    };
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count();
    assert!(1 <= first && first <= last && last <= lines, "{error}: it has {lines} lines");
}

/// The figures are those of the documentation, and not those of the code.
fn check(settings: &Settings) {
    assert!((1024..=2_097_152).contains(&settings.chunk_size));
    let options = GossipOptions { chunk_bytes: settings.chunk_size, ..GossipOptions::default() };
    options.validate().expect("the gossip takes it");
    assert!(seconds(1..=86_400).contains(&settings.rescan));
    assert!(seconds(0..=3600).contains(&settings.settle));
    let limits = settings.store_limits;
    assert!(limits.min_free_bytes.is_none_or(|bytes| i64::try_from(bytes).is_ok()));
    assert!(limits.max_store_bytes.is_none_or(|bytes| bytes > 0 && i64::try_from(bytes).is_ok()));
    assert!(limits.verify_bytes_per_second.is_none_or(|rate| rate <= 1_000_000_000_000));
    let share = settings.max_publisher_bytes;
    assert!(share.is_none_or(|bytes| bytes > 0 && i64::try_from(bytes).is_ok()));
    port_of(&settings.listen);
    let paths = [Some(&settings.key_file), Some(&settings.store)];
    for path in
        paths.into_iter().chain([&settings.publish, &settings.peers_file].map(Option::as_ref))
    {
        assert!(path.is_none_or(|path| path.is_absolute()), "not relative to the file's folder");
    }
    for flow in FlowType::ALL {
        check_flow(flow, &settings.channels.flow(flow));
    }
    check_peers(&settings.peers);
    assert!(settings.fixed_changes(settings).is_empty());
}

fn check_flow(flow: FlowType, config: &FlowConfig) {
    config.validate(flow).expect("the engine takes it");
    assert!((1..=1_048_576).contains(&config.max_inflight_requests()));
    assert!((1..=1_048_576).contains(&config.peer_quota()));
    for bytes in [config.max_bytes(), config.peer_max_bytes()].into_iter().flatten() {
        assert!((1..=1_099_511_627_776).contains(&bytes));
    }
    let millis = |millis| Duration::from_millis(millis);
    assert!(config.max_age().is_none_or(|age| (millis(1)..=millis(3_600_000)).contains(&age)));
}

fn check_peers(peers: &[PeerSettings]) {
    assert!(peers.len() <= 4096);
    let (mut keys, mut addresses, mut names) = (HashSet::new(), HashSet::new(), HashSet::new());
    for PeerSettings { key, address, name } in peers {
        if let Some(name) = name {
            assert!((1..=32).contains(&name.as_str().len()) && !name.as_str().contains(['/', '.']));
            assert!(names.insert(name), "a name twice");
        }
        assert!(keys.insert(key), "a key twice");
        assert_eq!(address.as_str().parse::<PeerAddress>().as_ref(), Ok(address));
        assert_ne!(port_of(address.as_str()), 0, "nobody listens there");
        if let Ok(address) = address.as_str().parse::<SocketAddr>() {
            assert!(!address.ip().to_canonical().is_unspecified(), "nobody is there");
        }
        assert!(addresses.insert(address.as_str().to_lowercase()), "an address twice");
    }
}

fn seconds(range: RangeInclusive<u64>) -> RangeInclusive<Duration> {
    Duration::from_secs(*range.start())..=Duration::from_secs(*range.end())
}

/// The port of a `host:port`.
fn port_of(address: &str) -> u16 {
    let (host, port) = address.rsplit_once(':').expect("a host and a port");
    assert!(!host.is_empty());
    port.parse().expect("a port is a number")
}

#[cfg(test)]
mod tests;
