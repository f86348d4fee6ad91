//! Why bytes are no message: what is wrong, and where.

use super::MAX_ENVELOPE_BYTES;
use crate::FlowType;

/// Why a payload is no message. Nothing of the payload is kept, and nothing else is harmed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No body, or none that this version knows.
    #[error("no known message body in {length} bytes")]
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
    #[error("malformed {flow} body: {source}")]
    Body {
        /// The type, by its flow.
        flow: FlowType,
        /// What is wrong with it.
        source: prost::DecodeError,
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
    /// Not there, or a number that stands for nothing that this version knows.
    #[error("missing or unknown")]
    Unknown,
}
