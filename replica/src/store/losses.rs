//! What the store no longer holds although it did: counted, reported, and known until it is held again.
//!
//! ```text
//! held ──damaged or gone──> lost ──┬──> reported in the log, and to who takes the losses (`take_lost`)
//!   ^                              │
//!   └────────fetched, published────┘  counted as repaired
//! ```
//!
//! Bounded: [`MAX_UNTAKEN`] losses that nobody has taken, and [`MAX_LOST`] that are not held again. Beyond
//! them a loss is counted and logged, and its repair is not counted.

use std::{
    collections::{HashMap, VecDeque},
    io,
};

use gossip_engine::ArtifactId;

use crate::words::counted;

/// How many losses wait to be taken.
const MAX_UNTAKEN: usize = 1024;
/// How many lost artifacts are known. 50 bytes each.
const MAX_LOST: usize = 65_536;

/// Why an artifact is no longer held.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("its file is gone")]
    Gone,
    #[error("what stands under its name is no regular file")]
    NotAFile,
    #[error("it has {} instead of {expected}", counted(*found, "byte"))]
    Length { found: u64, expected: u64 },
    #[error("its content hashes to {0:x}")]
    Content(ArtifactId),
    #[error("its content cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) damaged: u64,
    pub(super) repaired: u64,
    /// The losses that are not repaired, and whether each was reported on its own.
    lost: HashMap<ArtifactId, bool>,
    untaken: VecDeque<ArtifactId>,
    pub(super) last_error: Option<String>,
}

/// What it means that an artifact is held again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repaired {
    pub(super) reported: bool,
    /// How many are still lost.
    pub(super) left: usize,
}

impl Losses {
    /// An artifact is lost. `reported`: on a line of its own.
    pub(super) fn lose(&mut self, id: ArtifactId, reported: bool) {
        self.damaged += 1;
        if self.lost.len() < MAX_LOST {
            self.lost.insert(id, reported);
        }
        if self.untaken.len() < MAX_UNTAKEN {
            self.untaken.push_back(id);
        }
    }

    /// An artifact is held, perhaps again.
    pub(super) fn keep(&mut self, id: ArtifactId) -> Option<Repaired> {
        let reported = self.lost.remove(&id)?;
        self.repaired += 1;
        Some(Repaired { reported, left: self.lost.len() })
    }

    /// The disk took something. What went wrong is over once nothing is lost any more.
    pub(super) fn settle(&mut self) {
        if self.lost.is_empty() {
            self.last_error = None;
        }
    }

    pub(super) fn take(&mut self) -> Vec<ArtifactId> {
        std::mem::take(&mut self.untaken).into()
    }
}
