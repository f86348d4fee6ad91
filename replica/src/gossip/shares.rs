//! What a publisher may have of the disk, and a peer of what no catalog names: asked before anything is fetched.
//!
//! `catalog::share` and `catalog::unnamed` keep the accounts, under the lock of the catalogs. They are asked when an
//! advert arrives, and again when an attempt is about to reserve its space.
//!
//! Every 10 s a look finds out
//! - which artifacts that count for a peer are gone, and
//! - how much nobody names of what an earlier run has left. This is counted anew only if heads or members have changed,
//!   and no more once there is nothing.
//!
//! What no catalog names gives way to what one names. The artifacts of the peer with the most go first, then those that
//! an earlier run has left; these stay while a catalog is awaited, which may name them. Afterwards nothing of the kind
//! is fetched for [`CLOSED`], or it would take the space again.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use gossip_engine::{ArtifactId, NodeId};

use super::{
    ReplicaGossip, State,
    claim::Claim,
    downloads::{AttemptId, Refused},
};
use crate::{
    catalog::{Here, NotFetched, Offer},
    store::Artifact,
};

/// How often it is looked whether what no catalog names is still here.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// For how long nothing is fetched that no catalog names, after some of it has given way: twice as long as what waits
/// for space waits at most.
const CLOSED: Duration = Duration::from_secs(600);
/// How many artifacts are looked at with one lock.
const BATCH: usize = 1024;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Unknown {
    look_at: Duration,
    /// The last height that an earlier run can have left; 0 if it has left nothing that nobody names.
    left_over_until: u64,
    /// The catalogs when that was looked at last.
    revision: Option<u64>,
    /// The connected peers of which something was refused since the last catalog because none named it.
    refused: BTreeSet<NodeId>,
    /// Those of them that are to be asked again, since a catalog has come that may name it.
    ask_again: BTreeSet<NodeId>,
}

impl Unknown {
    /// Everything up to this height was found in the folder.
    pub(super) fn found_until(height: u64) -> Self {
        Self {
            look_at: Duration::ZERO,
            left_over_until: height,
            revision: None,
            refused: BTreeSet::new(),
            ask_again: BTreeSet::new(),
        }
    }
}

impl State {
    /// A new catalog names something that is not here and that nobody advertises. It may be what was refused of some.
    pub(super) fn ask_refused_again(&mut self) {
        let refused = std::mem::take(&mut self.unknown.refused);
        self.unknown.ask_again.extend(refused);
    }

    /// The peers to be asked again for what was refused of them.
    pub(super) fn take_refused(&mut self) -> BTreeSet<NodeId> {
        std::mem::take(&mut self.unknown.ask_again)
    }

    /// A peer that has gone is asked for everything when it comes again.
    pub(super) fn forget_refused(&mut self, peer: NodeId) {
        self.unknown.refused.remove(&peer);
        self.unknown.ask_again.remove(&peer);
    }
}

impl ReplicaGossip {
    /// What is known of an artifact here.
    pub(super) fn look_up(&self, id: ArtifactId) -> Option<Here> {
        if let Some((held, is_verified)) = self.store.get_verified(id) {
            return Some(Here { size: held.size, is_held: true, is_verified });
        }
        let size = self.state().downloads.wanted_size(id)?;
        Some(Here { size, is_held: false, is_verified: false })
    }

    /// Whether what a peer advertises may be fetched.
    pub(super) fn may_fetch(&self, claim: Claim, peer: NodeId, now: Duration) -> bool {
        match self.catalogs.may_fetch(offer(claim, peer), now) {
            Ok(()) => true,
            Err(reason) => {
                self.note_refused(claim, peer, reason);
                false
            }
        }
    }

    /// The same for an attempt that is about to reserve its space. If it may not, it ends.
    pub(super) fn may_begin(&self, attempt: AttemptId, claim: Claim, owner: NodeId) -> bool {
        let now = (self.clock)();
        let Err(reason) = self.catalogs.take(offer(claim, owner), now) else { return true };
        self.note_refused(claim, owner, reason);
        let refused = match reason {
            NotFetched::Unwanted => Refused::ToAll,
            NotFetched::Unnamed => Refused::ToOwner,
        };
        self.state().downloads.refuse(attempt, refused, now);
        false
    }

    fn note_refused(&self, claim: Claim, peer: NodeId, reason: NotFetched) {
        if reason == NotFetched::Unwanted {
            return;
        }
        let is_first = {
            let mut state = self.state();
            let counters = state.downloads.counters();
            counters.unnamed_refused += 1;
            let is_first = counters.unnamed_refused == 1;
            state.unknown.refused.insert(peer);
            is_first
        };
        // It is the rule on a new replica, until the catalogs are here. The page counts the others.
        if is_first {
            tracing::info!(
                %peer, artifact = %claim.id, size = claim.size,
                "a peer has its share of what no catalog names; more is fetched when one does"
            );
        }
    }

    /// Looks which of what no catalog names is gone, and what an earlier run has left of it.
    pub(super) fn look_at_unnamed(&self, now: Duration) {
        let (left_over_until, seen) = {
            let unknown = &mut self.state().unknown;
            if now < unknown.look_at {
                return;
            }
            unknown.look_at = now + LOOK_INTERVAL;
            (unknown.left_over_until, unknown.revision)
        };
        let unnamed = self.catalogs.unnamed().into_iter();
        let gone: Vec<_> = unnamed.filter(|(id, _)| self.look_up(*id).is_none()).collect();
        self.catalogs.sweep_unnamed(&gone);
        self.drop_needless_catalogs(now);
        let revision = self.catalogs.revision();
        if left_over_until == 0 || seen == Some(revision) {
            return;
        }
        let left_over = self.left_over(left_over_until);
        let bytes = left_over.fold(0, |sum: u64, left| sum.saturating_add(left.size));
        self.catalogs.set_left_over(bytes);
        let unknown = &mut self.state().unknown;
        unknown.revision = Some(revision);
        // What a catalog names now, and none does later, is retired and not left over.
        if bytes == 0 && unknown.left_over_until == left_over_until {
            unknown.left_over_until = 0;
        }
    }

    /// Drops what was fetched for a head alone, and was not the catalog that the head says. It is not retired: it may
    /// be anybody's file, to be fetched as such. If the peer of whom it was fetched has space for a file, it stays: a
    /// head is no way to have another's file dropped.
    fn drop_needless_catalogs(&self, now: Duration) {
        for id in self.catalogs.needless_catalogs() {
            match self.look_up(id) {
                Some(here) if !here.is_held => continue,
                Some(here) if !self.catalogs.needs(id, here.size) => {
                    // What cannot be read is looked at again, unless it is gone by then.
                    let Ok(is_catalog) = self.begins_as_catalog(id, here.size) else { continue };
                    if (is_catalog || !self.catalogs.take_for_file(id, here.size, now))
                        && let Err(error) = self.store.discard(id)
                    {
                        tracing::warn!(artifact = %id, %error, "cannot drop what is no catalog");
                    }
                }
                _ => {}
            }
            self.catalogs.forget_catalog(id);
        }
    }

    /// What each publisher has removed beyond as many bytes as its share has: it would take as much again with each new
    /// catalog. The newest stays.
    pub(super) fn removed_beyond_share(&self) -> Vec<ArtifactId> {
        let Some(limit) = self.catalogs.max_publisher_bytes() else { return Vec::new() };
        let mut held: HashMap<NodeId, u64> = HashMap::new();
        let (mut beyond, mut gone) = (Vec::new(), Vec::new());
        for (id, publisher) in self.catalogs.removed() {
            match self.look_up(id) {
                Some(here) if here.is_held => {
                    let held = held.entry(publisher).or_default();
                    *held = held.saturating_add(here.size);
                    if *held > limit {
                        beyond.push(id);
                    }
                }
                Some(_) => {}
                None => gone.push(id),
            }
        }
        self.catalogs.forget_removed(&gone);
        beyond
    }

    /// What an earlier run has left and nobody names, the lowest height first.
    fn left_over(&self, until: u64) -> impl Iterator<Item = Artifact> {
        let mut next = Some(0);
        let batches = std::iter::from_fn(move || {
            let mut held = self.store.list_from(next?, BATCH);
            next = held.last().map(|last| last.height + 1).filter(|next| *next <= until);
            held.retain(|held| held.height <= until);
            (!held.is_empty()).then(|| self.catalogs.left_over(&held))
        });
        batches.flatten()
    }

    /// What gives way to what a catalog names, in that order.
    pub(super) fn that_gives_way(&self) -> impl Iterator<Item = ArtifactId> {
        let until = match self.catalogs.awaited().is_empty() {
            true => self.state().unknown.left_over_until,
            false => 0,
        };
        let unnamed = self.catalogs.unnamed_by_peer().into_iter();
        // What is retired as well has its place among that.
        let unnamed = unnamed.filter(|id| !self.catalogs.is_unwanted(*id));
        unnamed.chain(self.left_over(until).map(|left| left.id))
    }

    /// Whether nobody needs an artifact: it was named, or never was.
    pub(super) fn is_needless(&self, held: Artifact) -> bool {
        self.catalogs.is_unwanted(held.id) || !self.catalogs.needs(held.id, held.size)
    }

    /// Something has given way.
    pub(super) fn close_unnamed(&self, now: Duration) {
        self.catalogs.close_unnamed_until(now + CLOSED);
    }
}

fn offer(Claim { id, size, .. }: Claim, peer: NodeId) -> Offer {
    Offer { id, size, peer }
}
