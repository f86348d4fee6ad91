//! Reads the fields of one protobuf message, and bounds what that costs.
//!
//! Each step of [`Fields`] consumes at least two bytes and allocates nothing. A reader stops at the second
//! occurrence of a field and at the limit of unknown ones, so the number of steps has a limit that does not depend
//! on the length of the message. Nothing is merged: what protobuf would merge occurs twice, and is refused.

use std::ops::Range;

use super::{DecodeError, MAX_UNKNOWN_FIELDS};

/// The most bytes of one varint.
const MAX_VARINT_BYTES: usize = 10;

/// One field, as it stands in the payload.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// Where it begins, in bytes from the start of the payload.
    pub(super) at: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Varint(u64),
    /// Four or eight bytes, which no field of the schema has.
    Fixed,
    /// Where the bytes stand in the payload, behind their length.
    Delimited(Range<usize>),
}

/// The bytes are no protobuf from here on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken {
    pub(super) at: usize,
    pub(super) reason: &'static str,
}

/// Walks the fields of the message in one range of a payload. Positions count from the start of the payload.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    /// The payload up to the end of the message.
    bytes: &'a [u8],
    at: usize,
    unknown: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(payload: &'a [u8], message: Range<usize>) -> Self {
        Self { bytes: &payload[..message.end], at: message.start, unknown: 0 }
    }

    /// The next field, or `None` at the end of the message.
    pub(super) fn next_field(&mut self) -> Result<Option<Field>, Broken> {
        let at = self.at;
        if at == self.bytes.len() {
            return Ok(None);
        }
        let broken = |reason| Broken { at, reason };
        let key = self.varint("a field key that is no varint")?;
        let key = u32::try_from(key).map_err(|_| broken("a field number that is too large"))?;
        let number = key >> 3;
        if number == 0 {
            return Err(broken("a field with the number 0"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint("a number that is no varint")?),
            1 => self.skip(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint("a length that is no varint")?;
                Value::Delimited(self.skip(length)?)
            }
            5 => self.skip(4).map(|_| Value::Fixed)?,
            // Groups among them: no version of the schema has any.
            _ => return Err(broken("an unknown wire type")),
        };
        Ok(Some(Field { number, at, value }))
    }

    /// Counts a field that this version does not know.
    pub(super) fn skip_unknown(&mut self, field: &Field) -> Result<(), DecodeError> {
        self.unknown += 1;
        if self.unknown > MAX_UNKNOWN_FIELDS {
            return Err(DecodeError::TooManyUnknownFields { at: field.at });
        }
        Ok(())
    }

    fn skip(&mut self, length: u64) -> Result<Range<usize>, Broken> {
        let start = self.at;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .filter(|end| *end <= self.bytes.len())
            .ok_or(Broken { at: start, reason: "a field beyond the end" })?;
        self.at = end;
        Ok(start..end)
    }

    fn varint(&mut self, reason: &'static str) -> Result<u64, Broken> {
        let mut value = 0;
        for (index, byte) in self.bytes[self.at..].iter().take(MAX_VARINT_BYTES).enumerate() {
            // Of the tenth byte only the lowest bit is one of the 64.
            if index == MAX_VARINT_BYTES - 1 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(Broken { at: self.at, reason })
    }
}
