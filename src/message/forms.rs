//! Ids for serde: 64 hexadecimal digits in formats for people, 32 bytes in the others.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::NodeId;
#[cfg(feature = "wire")]
use super::{ArtifactId, IntegrityHash};

/// Reads 64 hexadecimal digits.
struct Digits;

impl de::Visitor<'_> for Digits {
    type Value = [u8; 32];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id of 64 hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; 32], E> {
        super::parse_hex(text).map_err(E::custom)
    }
}

macro_rules! id_forms {
    ($($name:ident)*) => {$(
        /// 64 hexadecimal digits in formats for people, 32 bytes in the others. Needs the feature `serde`.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(&format_args!("{self:x}"))
                } else {
                    self.as_bytes().serialize(serializer)
                }
            }
        }

        /// As it is written, with digits of either case. Needs the feature `serde`.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Digits)?
                } else {
                    Deserialize::deserialize(deserializer)?
                };
                Ok(Self::new(bytes))
            }
        }
    )*};
}

id_forms! { NodeId }
#[cfg(feature = "wire")]
id_forms! { ArtifactId IntegrityHash }

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
