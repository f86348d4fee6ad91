//! The numbers of a configuration, each with its range.

use std::{fmt, time::Duration};

use gossip_engine::{FlowConfig, wire::MAX_CHUNK_DATA_BYTES};
use gossip_replica::gossip::MIN_CHUNK_BYTES;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Value;

use super::texts::shown;

/// A number that a configuration may say.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) name: &'static str,
    pub(super) least: u64,
    pub(super) most: u64,
}

/// As large as TOML's numbers get.
const LARGEST: u64 = i64::MAX as u64;
const DAY: u64 = 86_400;

const fn number(name: &'static str, least: u64, most: u64) -> Number {
    Number { name, least, most }
}

pub(super) const CHUNK_SIZE: Number =
    number("chunk_size", MIN_CHUNK_BYTES as u64, MAX_CHUNK_DATA_BYTES as u64);
pub(super) const RESCAN_SECONDS: Number = number("rescan_seconds", 1, DAY);
pub(super) const SETTLE_SECONDS: Number = number("settle_seconds", 0, 3600);
pub(super) const KEEP_REMOVED_SECONDS: Number = number("keep_removed_seconds", 0, 365 * DAY);
pub(super) const MIN_FREE_BYTES: Number = number("min_free_bytes", 0, LARGEST);
pub(super) const MAX_STORE_BYTES: Number = number("max_store_bytes", 1, LARGEST);
pub(super) const MAX_PUBLISHER_BYTES: Number = number("max_publisher_bytes", 1, LARGEST);
pub(super) const VERIFY_BYTES_PER_SECOND: Number =
    number("verify_bytes_per_second", 0, 1_000_000_000_000);
pub(super) const MAX_INFLIGHT: Number =
    number("max_inflight", 1, FlowConfig::MAX_INFLIGHT_REQUESTS as u64);
pub(super) const PEER_QUOTA: Number =
    number("peer_quota", 1, FlowConfig::MAX_INFLIGHT_REQUESTS as u64);
pub(super) const FLOW_BYTES: Number = number("max_bytes", 1, FlowConfig::MAX_BYTES);
pub(super) const PEER_BYTES: Number = number("peer_max_bytes", 1, FlowConfig::MAX_BYTES);
pub(super) const MAX_AGE_MS: Number =
    number("max_age_ms", 1, FlowConfig::MAX_AGE.as_millis() as u64);

impl Number {
    pub(super) fn read<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<u64, D::Error> {
        let said = Value::deserialize(deserializer)?;
        let number = said.as_integer().and_then(|number| u64::try_from(number).ok());
        number.filter(|number| (self.least..=self.most).contains(number)).ok_or_else(|| {
            D::Error::custom(format_args!("{} is {}, not {self}", self.name, shown(&said)))
        })
    }
}

/// The range.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.most == LARGEST {
            return write!(f, "{} or more", self.least);
        }
        write!(f, "{} to {}", self.least, self.most)
    }
}

/// A function that reads the number, for serde.
macro_rules! reader {
    ($name:ident, $number:ident, $type:ty, $from:expr) => {
        pub(super) fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
            $number.read(deserializer).map($from)
        }
    };
}

// The ranges are those of the types.
reader!(chunk_size, CHUNK_SIZE, u32, |number| number as u32);
reader!(rescan, RESCAN_SECONDS, Duration, Duration::from_secs);
reader!(settle, SETTLE_SECONDS, Duration, Duration::from_secs);
reader!(keep_removed, KEEP_REMOVED_SECONDS, Duration, Duration::from_secs);
reader!(min_free_bytes, MIN_FREE_BYTES, Option<u64>, Some);
reader!(max_store_bytes, MAX_STORE_BYTES, Option<u64>, Some);
reader!(max_publisher_bytes, MAX_PUBLISHER_BYTES, Option<u64>, Some);
reader!(verify_bytes_per_second, VERIFY_BYTES_PER_SECOND, Option<u64>, Some);
reader!(max_inflight, MAX_INFLIGHT, Option<usize>, |number| Some(number as usize));
reader!(peer_quota, PEER_QUOTA, Option<usize>, |number| Some(number as usize));
reader!(flow_bytes, FLOW_BYTES, Option<u64>, Some);
reader!(peer_bytes, PEER_BYTES, Option<u64>, Some);
reader!(max_age, MAX_AGE_MS, Option<Duration>, |number| Some(Duration::from_millis(number)));
