//! Why bytes are no message that this version knows: what is wrong, and where.

use super::{MAX_ENVELOPE_BYTES, MAX_UNKNOWN_FIELDS};
use crate::FlowType;

/// Why a payload is no message that this version knows. Nothing of the payload is kept, and nothing else is harmed.
///
/// [`Unknown`](Self::Unknown) is the message of a later version; every other error is a breach of the protocol.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message, or a value that decides what it means, is of a later version. The peer breaks no rule: a
    /// transport skips the message and counts it.
    #[error("unknown {field} {number}, of a later version")]
    Unknown {
        /// What is unknown, by its name in the schema: the `body` of the message, the `payload` of a chunk or its
        /// `error`.
        field: &'static str,
        /// The number of the field, or the code of the error.
        number: u64,
    },
    /// No body.
    #[error("no message body in {length} bytes")]
    MissingBody {
        /// The payload's length in bytes.
        length: usize,
    },
    /// More than one body.
    #[error("a second message body at byte {at}")]
    SecondBody {
        /// Where it begins, in bytes from the start of the payload.
        at: usize,
    },
    /// The envelope around the body is no protobuf.
    #[error("malformed envelope at byte {at}: {reason}")]
    Envelope {
        /// Where reading stopped, in bytes from the start of the payload.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// More bytes beside the body than [`MAX_ENVELOPE_BYTES`].
    #[error("{length} bytes beside the message body, over the limit of {MAX_ENVELOPE_BYTES}")]
    EnvelopeTooLarge {
        /// How many there are.
        length: usize,
    },
    /// More unknown fields in one message than [`MAX_UNKNOWN_FIELDS`].
    #[error("more than {MAX_UNKNOWN_FIELDS} unknown fields, the next at byte {at}")]
    TooManyUnknownFields {
        /// Where the first beyond the limit begins, in bytes from the start of the payload.
        at: usize,
    },
    /// The body is over the limit of its type.
    #[error("{flow} body of {length} bytes, over the limit of {limit}")]
    TooLarge {
        /// The type, by its flow.
        flow: FlowType,
        /// The length it says it has, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body is no protobuf of its type.
    #[error("malformed {flow} body at byte {at}: {reason}")]
    Body {
        /// The type, by its flow.
        flow: FlowType,
        /// Where reading stopped, in bytes from the start of the payload.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A field occurs twice, or two fields of which only one may be there.
    #[error("{flow} body: field {field}: again at byte {at}")]
    RepeatedField {
        /// The type, by its flow.
        flow: FlowType,
        /// The field, or the choice of fields, by its name in the schema.
        field: &'static str,
        /// Where the second begins, in bytes from the start of the payload.
        at: usize,
    },
    /// A field of the body has a value that it must not have.
    #[error("{flow} body: field {field}: {reason}")]
    Field {
        /// The type, by its flow.
        flow: FlowType,
        /// The field, by its name in the schema.
        field: &'static str,
        /// What is wrong with it.
        reason: FieldError,
    },
}

/// What is wrong with the value of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Not as long as it has to be.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// How long it is, in bytes.
        found: usize,
        /// How long it has to be, in bytes.
        expected: usize,
    },
    /// Longer than it may be.
    #[error("{found} bytes, over the limit of {limit}")]
    TooLong {
        /// How long it is, in bytes.
        found: usize,
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// A number over the limit of its type.
    #[error("{found}, over the limit of {limit}")]
    OutOfRange {
        /// The number.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Not there, or a number that stands for nothing.
    #[error("missing")]
    Missing,
}
