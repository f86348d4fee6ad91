//! Durations and sizes as people write them: a whole number and a unit, as `500ms` and `16 MiB`.
//!
//! They are written with the largest unit that leaves a whole number, so that what is written reads back equal.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected, Visitor},
};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What an amount may be measured in.
struct Scale {
    /// The units and what each is worth, ascending. Of two that are worth the same the later is written.
    units: &'static [(&'static str, u128)],
    /// What is written between the number and its unit. Spaces that are read there do not matter.
    gap: &'static str,
}

const TIMES: Scale = Scale {
    units: &[
        ("ns", 1),
        ("µs", 1_000),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", NANOS_PER_SECOND),
        ("min", 60 * NANOS_PER_SECOND),
        ("h", 3_600 * NANOS_PER_SECOND),
    ],
    gap: "",
};

const SIZES: Scale = Scale {
    units: &[
        ("B", 1),
        ("kB", 1_000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
        ("TB", 1_000_000_000_000),
        ("TiB", 1 << 40),
    ],
    gap: " ",
};

impl Scale {
    /// None if it is no number with one of the units, or too large.
    fn read(&self, text: &str) -> Option<u128> {
        let (number, unit) = text.split_at(text.find(|found: char| !found.is_ascii_digit())?);
        let (_, worth) = self.units.iter().find(|(name, _)| *name == unit.trim_start())?;
        number.parse::<u128>().ok()?.checked_mul(*worth)
    }

    fn write(&self, amount: u128) -> String {
        let fits = |worth: u128| amount >= worth && amount.is_multiple_of(worth);
        let found = self.units.iter().rev().find(|(_, worth)| fits(*worth));
        let (name, worth) = found.unwrap_or(&self.units[0]);
        format!("{}{}{name}", amount / worth, self.gap)
    }
}

/// What may be written as a number or as a text, each if it is one of those expected.
pub(crate) struct Figure<T> {
    pub(crate) expected: &'static str,
    pub(crate) number: fn(u64) -> Option<T>,
    pub(crate) text: fn(&str) -> Option<T>,
}

impl<T> Figure<T> {
    /// From a format that says what it has: every format for people does.
    pub(crate) fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T> Visitor<'_> for Figure<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: de::Error>(self, found: u64) -> Result<T, E> {
        (self.number)(found).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(found), &self))
    }

    fn visit_i64<E: de::Error>(self, found: i64) -> Result<T, E> {
        match u64::try_from(found) {
            Ok(found) => self.visit_u64(found),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(found), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, found: &str) -> Result<T, E> {
        (self.text)(found).ok_or_else(|| E::invalid_value(Unexpected::Str(found), &self))
    }
}

/// A duration: a text with a unit, since a number alone could be seconds or milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Time(pub(crate) Duration);

impl Time {
    fn parse(text: &str) -> Option<Self> {
        let nanos = TIMES.read(text)?;
        let seconds = u64::try_from(nanos / NANOS_PER_SECOND).ok()?;
        Some(Self(Duration::new(seconds, (nanos % NANOS_PER_SECOND) as u32)))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&TIMES.write(self.0.as_nanos()))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration as \"500ms\", in ns, us, ms, s, min or h";
        Figure { expected, number: |_| None, text: Self::parse }.read(deserializer)
    }
}

/// A size in bytes: a text with a unit, or a number alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        u64::try_from(SIZES.read(text)?).ok().map(Self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&SIZES.write(self.0.into()))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a size as \"16 MiB\", in B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, or a number of bytes";
        let number = |bytes| Some(Self(bytes));
        Figure { expected, number, text: Self::parse }.read(deserializer)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
