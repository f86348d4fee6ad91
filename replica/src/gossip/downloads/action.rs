//! What the downloads want done outside of the protocol's lock, in the order in which they say it.

use gossip_engine::{ArtifactId, NodeId};

use super::AttemptId;
use crate::gossip::claim::Claim;

/// What is to be done outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Ask the store for space, and report to [`space_granted`](super::Downloads::space_granted) or
    /// [`no_space`](super::Downloads::no_space).
    /// `owner` is the peer whose turn the attempt is. With `resume` it goes on with what an earlier one has kept.
    Reserve { attempt: AttemptId, claim: Claim, owner: NodeId, resume: bool },
    /// Ask `peer` for a chunk.
    Request { peer: NodeId, attempt: AttemptId, id: ArtifactId, chunk: u32 },
    /// All chunks are written: verify the content and keep it.
    Finish { attempt: AttemptId, claim: Claim },
    /// The attempt is over: keep what is left of it for a later one, or remove it.
    Discard { attempt: AttemptId, keep: bool },
    /// Ask `peer` for all its adverts.
    AskAdverts { peer: NodeId },
    /// Tell the operator that `peer` advertises something and does not deliver it rightly.
    Report { peer: NodeId, id: ArtifactId, fault: Fault },
}

/// What is wrong with what a peer says of an artifact.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("advertises an artifact and does not hold it")]
    NotHeld,
    #[error("serves content that is not the artifact's")]
    WrongContent,
    #[error("serves chunks of a wrong length")]
    WrongLength,
}

/// To whom an attempt is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// Nobody's turn may be used for the artifact.
    ToAll,
    /// Only the peer whose turn it is has no share left for it.
    ToOwner,
}

/// A chunk to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Write {
    pub(crate) attempt: AttemptId,
    pub(crate) claim: Claim,
    pub(crate) offset: u64,
}
