//! What may be fetched, and what counts for whom: asked and noted under the lock of the state, each in one step.

use std::time::Duration;

use gossip_engine::{ArtifactId, NodeId};

use super::Catalogs;
use crate::{
    catalog::{NotFetched, Offer},
    store::Artifact,
};

impl Catalogs {
    /// Whether it may be fetched.
    pub(crate) fn may_fetch(&self, offer: Offer, now: Duration) -> Result<(), NotFetched> {
        self.state().may_fetch(offer, now)
    }

    /// The same for one that is about to be fetched. If no catalog names it, it counts for the peer from now on.
    pub(crate) fn take(&self, offer: Offer, now: Duration) -> Result<(), NotFetched> {
        self.state().take(offer, now)
    }

    /// Whether a catalog names a content of this size, or it is one that counts or is awaited.
    pub(crate) fn needs(&self, id: ArtifactId, size: u64) -> bool {
        self.state().needs(id, size)
    }

    /// Whether it is a catalog that counts or is awaited.
    pub(crate) fn is_catalog(&self, id: ArtifactId) -> bool {
        self.state().is_catalog(id)
    }

    /// What has been published here counts for no peer.
    pub(crate) fn note_own(&self, id: ArtifactId) {
        self.state().unnamed.release(id);
    }

    /// What counts for peers because no catalog names it, and when each was begun.
    pub(crate) fn unnamed(&self) -> Vec<(ArtifactId, Duration)> {
        self.state().unnamed.taken()
    }

    /// The same in the order in which it gives way.
    pub(crate) fn unnamed_by_peer(&self) -> Vec<ArtifactId> {
        self.state().unnamed.by_peer()
    }

    /// These are neither held nor wanted any more, unless they have been begun again since.
    pub(crate) fn sweep_unnamed(&self, gone: &[(ArtifactId, Duration)]) {
        let mut state = self.state();
        gone.iter().for_each(|(id, at)| state.unnamed.sweep(*id, *at));
    }

    /// Which of these nobody knows, so that an earlier run has left them.
    pub(crate) fn left_over(&self, held: &[Artifact]) -> Vec<Artifact> {
        let state = self.state();
        let is_left_over = |held: &&Artifact| state.is_left_over(held.id, held.size);
        held.iter().filter(is_left_over).copied().collect()
    }

    /// What publishers with a limit have removed and is retired, the newest first, and whose it was. It is not known of
    /// what an earlier run has left.
    pub(crate) fn removed(&self) -> Vec<(ArtifactId, NodeId)> {
        self.state().removed()
    }

    /// These are neither held nor wanted any more.
    pub(crate) fn forget_removed(&self, gone: &[ArtifactId]) {
        let mut state = self.state();
        gone.iter().for_each(|id| state.forget_removed(*id));
    }

    /// What was fetched as a catalog and is none: refused, or never looked at since a newer one came first.
    pub(crate) fn needless_catalogs(&self) -> Vec<ArtifactId> {
        self.state().needless_catalogs()
    }

    /// One of them is a file that any peer may have. Returns whether it may stay, as what no catalog names.
    pub(crate) fn take_for_file(&self, id: ArtifactId, size: u64, now: Duration) -> bool {
        self.state().take_for_file(id, size, now)
    }

    /// Forgets one that is looked after.
    pub(crate) fn forget_catalog(&self, id: ArtifactId) {
        self.state().forget_catalog(id);
    }

    /// So many bytes are what an earlier run has left.
    pub(crate) fn set_left_over(&self, bytes: u64) {
        self.state().unnamed.set_left_over(bytes);
    }

    /// Nothing that no catalog names is fetched until then.
    pub(crate) fn close_unnamed_until(&self, until: Duration) {
        self.state().unnamed.close_until(until);
    }

    /// How often heads or members have changed.
    pub(crate) fn revision(&self) -> u64 {
        self.state().revision()
    }
}
