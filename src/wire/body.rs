//! Reads the fields of one message body, each at most once.

use std::ops::Range;

use bytes::Bytes;

use super::{
    DecodeError, FieldError,
    fields::{Broken, Field, Fields, Value},
};
use crate::FlowType;

/// The fields of a body that has `N` of them, numbered from 1 in the order of their names.
#[derive(Debug)]
pub(super) struct Body<'a, const N: usize> {
    payload: &'a Bytes,
    flow: FlowType,
    names: [&'static str; N],
    fields: [Option<Field>; N],
    /// The number of the first field that this version does not know.
    unknown: Option<u32>,
}

impl<'a, const N: usize> Body<'a, N> {
    /// Walks the body once, and stops at the first field that occurs again.
    pub(super) fn read(
        payload: &'a Bytes,
        flow: FlowType,
        body: Range<usize>,
        names: [&'static str; N],
    ) -> Result<Self, DecodeError> {
        let mut found = Self { payload, flow, names, fields: [const { None }; N], unknown: None };
        let mut fields = Fields::new(payload, body);
        let broken = |Broken { at, reason }| DecodeError::Body { flow, at, reason };
        while let Some(field) = fields.next_field().map_err(broken)? {
            // A key has 32 bits, so the number fits.
            let index = field.number as usize - 1;
            match found.fields.get_mut(index) {
                Some(Some(_)) => {
                    return Err(DecodeError::RepeatedField {
                        flow,
                        field: names[index],
                        at: field.at,
                    });
                }
                Some(place) => *place = Some(field),
                None => {
                    fields.skip_unknown(&field)?;
                    found.unknown.get_or_insert(field.number);
                }
            }
        }
        Ok(found)
    }

    /// The number of the first field that this version does not know.
    pub(super) fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Where a field begins in the payload, if it is there.
    pub(super) fn position(&self, number: usize) -> Option<usize> {
        self.fields[number - 1].as_ref().map(|field| field.at)
    }

    /// A `uint64` or an enum; 0 if it is not there.
    pub(super) fn number(&self, number: usize) -> Result<u64, DecodeError> {
        match &self.fields[number - 1] {
            None => Ok(0),
            Some(Field { value: Value::Varint(value), .. }) => Ok(*value),
            Some(field) => Err(self.wrong_type(field)),
        }
    }

    /// A `uint32`; 0 if it is not there.
    pub(super) fn number_32(&self, number: usize) -> Result<u32, DecodeError> {
        let found = self.number(number)?;
        u32::try_from(found).map_err(|_| {
            self.wrong(number, FieldError::OutOfRange { found, limit: u32::MAX.into() })
        })
    }

    /// `bytes` that share the payload; empty if they are not there.
    pub(super) fn bytes(&self, number: usize) -> Result<Bytes, DecodeError> {
        self.range(number).map(|range| self.payload.slice(range))
    }

    /// `bytes` that are an id or a hash.
    pub(super) fn id(&self, number: usize) -> Result<[u8; 32], DecodeError> {
        let bytes = &self.payload[self.range(number)?];
        bytes.try_into().map_err(|_| {
            self.wrong(number, FieldError::Length { found: bytes.len(), expected: 32 })
        })
    }

    /// The error of a field that has a value that it must not have.
    pub(super) fn wrong(&self, number: usize, reason: FieldError) -> DecodeError {
        DecodeError::Field { flow: self.flow, field: self.names[number - 1], reason }
    }

    fn range(&self, number: usize) -> Result<Range<usize>, DecodeError> {
        match &self.fields[number - 1] {
            None => Ok(0..0),
            Some(Field { value: Value::Delimited(range), .. }) => Ok(range.clone()),
            Some(field) => Err(self.wrong_type(field)),
        }
    }

    fn wrong_type(&self, field: &Field) -> DecodeError {
        DecodeError::Body {
            flow: self.flow,
            at: field.at,
            reason: "a field of another wire type than the schema's",
        }
    }
}
