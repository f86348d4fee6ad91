//! What may be fetched: what the catalogs name, they themselves, and of the rest what the peers' shares have space for.

use std::time::Duration;

use gossip_engine::ArtifactId;

use super::{Head, State};
use crate::catalog::unnamed::Offer;

/// Why an artifact is not fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotFetched {
    /// No catalog names it any more, or it is beyond the share of those that do.
    Unwanted,
    /// No catalog names it, and the peer that advertises it has its share of that here.
    Unnamed,
}

impl State {
    /// Whether a content of this size is named, or is a catalog that counts or is awaited.
    pub(in crate::catalog) fn needs(&self, id: ArtifactId, size: u64) -> bool {
        let is_it = |head: Head| head.catalog() == id && head.size() == size;
        self.names.contains(id, size)
            || self.catalogs.contains_key(&id)
                && self.of_members().any(|known| {
                    let current = known.current.as_ref().map(|current| current.head);
                    [current, known.announced].into_iter().flatten().any(is_it)
                })
    }

    /// Whether it may be fetched.
    pub(in crate::catalog) fn may_fetch(
        &self,
        offer: Offer,
        now: Duration,
    ) -> Result<(), NotFetched> {
        if self.is_unwanted(offer.id) {
            return Err(NotFetched::Unwanted);
        }
        let may =
            self.needs(offer.id, offer.size) || self.unnamed.fits(offer, self.members.len(), now);
        if may { Ok(()) } else { Err(NotFetched::Unnamed) }
    }

    /// It is about to be fetched, on this peer's turn.
    pub(in crate::catalog) fn take(
        &mut self,
        offer: Offer,
        now: Duration,
    ) -> Result<(), NotFetched> {
        let Offer { id, size, peer } = offer;
        self.may_fetch(offer, now)?;
        if !self.needs(id, size) {
            self.unnamed.take(offer, self.members.len(), now);
        } else if !self.names.contains(id, size) && self.head_of(id).is_none() {
            self.fetched.insert(id, peer);
        }
        Ok(())
    }

    pub(in crate::catalog) fn needless_catalogs(&self) -> Vec<ArtifactId> {
        self.fetched.keys().copied().filter(|id| !self.catalogs.contains_key(id)).collect()
    }

    /// What was fetched as a catalog is a file. Returns whether it may stay: it counts for the peer of whom it was
    /// fetched, as it would without the head.
    pub(in crate::catalog) fn take_for_file(
        &mut self,
        id: ArtifactId,
        size: u64,
        now: Duration,
    ) -> bool {
        let Some(peer) = self.fetched.get(&id).copied() else { return false };
        !self.is_unwanted(id)
            && self.unnamed.take(Offer { id, size, peer }, self.members.len(), now)
    }

    pub(in crate::catalog) fn forget_catalog(&mut self, id: ArtifactId) {
        self.fetched.remove(&id);
    }

    /// Whether nobody knows what it is, and it counts for no peer: an earlier run has left it.
    pub(in crate::catalog) fn is_left_over(&self, id: ArtifactId, size: u64) -> bool {
        !self.needs(id, size) && !self.retired.contains(id) && !self.unnamed.contains(id)
    }
}
