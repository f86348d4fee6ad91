//! Catalogs on the wire: heads that arrive with adverts, catalogs that have been fetched, and artifacts that are
//! dropped because no catalog names them any more.
//!
//! A head is compared with what is known before its signature is checked, since most are known. It goes on to other
//! peers with the advert of its catalog, and only when that is complete here: a replica passes on what it has read.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gossip_engine::{ArtifactDestination, ArtifactId, GossipAdvert, NodeId};
use sha2::{Digest as _, Sha256};

use super::{ReplicaGossip, claim::head_bytes};
use crate::{
    catalog::{
        CATALOG_MAGIC, Catalog, CatalogError, Catalogs, Current, Head, HeadError,
        MAX_CATALOG_BYTES, News,
    },
    changes::Changes,
    identity::Identity,
    store::StoreError,
};

/// How often the retired artifacts are looked through for those to drop.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);
/// How many artifacts are dropped at a time: some milliseconds of the clock's thread.
const MAX_DROPPED: usize = 128;
/// A catalog is read in pieces of so many bytes.
const PIECE_BYTES: u64 = 1 << 20;
/// Retired artifacts are remembered for so many times their retention, and for so long at least. So they are not
/// fetched again from a peer that still has them.
const REMEMBERED: u32 = 10;
const MIN_REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a catalog has not been published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogPublishError {
    /// The store cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has too many files.
    #[error("the catalog cannot be published: {0}")]
    Catalog(#[from] CatalogError),
}

impl ReplicaGossip {
    /// What is known of the publishers' catalogs.
    #[must_use]
    pub fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    /// Counts the artifacts that come in and the catalogs that become current.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Makes these the files of this replica's folder, and announces them. Each is to be
    /// [published](Self::publish) first. What an earlier catalog named and this one does not is dropped by all
    /// replicas after [`GossipOptions::removed_retention`](super::GossipOptions::removed_retention).
    ///
    /// # Errors
    ///
    /// [`CatalogPublishError`]; the catalog before is the current one.
    pub fn publish_catalog(
        &self,
        identity: &Identity,
        catalog: impl Into<Arc<Catalog>>,
    ) -> Result<Head, CatalogPublishError> {
        let catalog = catalog.into();
        let bytes = catalog.encode_of(identity.node_id());
        let size = bytes.len() as u64;
        if size > MAX_CATALOG_BYTES.min(self.options.max_published_bytes()) {
            return Err(CatalogError::TooLarge.into());
        }
        let id = ArtifactId::new(Sha256::digest(&bytes).into());
        let artifact = match self.store.get(id) {
            Some(held) => held,
            None => {
                let partial = self.store.begin(id, size);
                let written = partial.write_at(0, &bytes).and_then(|()| partial.finish());
                // Or a removal could not be published where the disk is full of what is to be removed.
                written.inspect_err(|error| self.note_space(error))?
            }
        };
        let sequence = self.catalogs.next_sequence(identity.node_id());
        let head = Head::sign(identity, sequence, id, size);
        self.catalogs.publish(head, catalog, &|id| self.look_up(id));
        self.enter(artifact);
        Ok(head)
    }

    /// Catalogs count of these publishers, and of nobody else. What others have published counts as removed.
    pub fn set_members(&self, members: BTreeSet<NodeId>) {
        self.lacks().set_members(members.clone());
        self.catalogs.set_members(members, &|id| self.look_up(id));
        // Who is back has a head that is known, and a catalog that may be gone by now.
        if !self.catalogs.awaited().is_empty() {
            self.state().has_returned = true;
        }
        self.changes.note();
    }

    /// Looks whether an advert is that of a newer catalog.
    pub(super) fn notice_head(&self, advert: &GossipAdvert, peer: NodeId) {
        match self.head_in(advert) {
            Ok(None) => {}
            Ok(Some((head, news))) => {
                // Only a newer one's signature has been checked.
                let is_newer = news == News::Newer && self.catalogs.announce(head);
                self.notice_lack(advert, &head, peer);
                if is_newer {
                    let (publisher, sequence) = (head.publisher(), head.sequence());
                    tracing::debug!(%publisher, sequence, %peer, "a newer catalog is announced");
                    self.complete_held(head.catalog());
                }
            }
            Err(reason) => {
                self.state().downloads.counters().adverts_invalid += 1;
                tracing::debug!(%peer, %reason, "invalid advert");
            }
        }
    }

    /// The head in an advert, if it has one, and what it means. If it is newer, it is signed.
    fn head_in(&self, advert: &GossipAdvert) -> Result<Option<(Head, News)>, HeadError> {
        let Some(bytes) = head_bytes(advert) else { return Ok(None) };
        let head = Head::decode_unchecked(&bytes)?;
        let same = head.catalog() == advert.artifact_id && head.size() == advert.size;
        if !same || head.size() > MAX_CATALOG_BYTES {
            return Err(HeadError::Unreadable);
        }
        match self.catalogs.look(&head) {
            News::Newer => Head::decode(&bytes).map(|head| Some((head, News::Newer))),
            news => Ok(Some((head, news))),
        }
    }

    /// Whether an advert that was dropped was that of a newer catalog. Its signature is not looked at.
    pub(super) fn is_newer_catalog(&self, advert: &GossipAdvert) -> bool {
        let head = head_bytes(advert).and_then(|bytes| Head::decode_unchecked(&bytes).ok());
        head.is_some_and(|head| self.catalogs.look(&head) == News::Newer)
    }

    /// An artifact is held. If it is a catalog that is awaited, that is current from now on. Returns whether it is.
    pub(super) fn complete_catalog(&self, id: ArtifactId) -> bool {
        let now = (self.clock)();
        if !self.catalogs.is_due(id, now) {
            return false;
        }
        let content = match self.read_catalog(id) {
            Ok(content) => content,
            Err(error) => {
                // The next tick tries again; a damaged one is fetched again.
                tracing::debug!(artifact = %id, %error, "cannot read a catalog yet");
                return false;
            }
        };
        let completed = self.catalogs.complete(id, &content, now, &|id| self.look_up(id));
        for head in &completed.heads {
            let publisher = head.publisher();
            let Some(current) = self.catalogs.current(publisher) else { continue };
            let files = current.catalog.len();
            tracing::info!(%publisher, sequence = head.sequence(), files, "a new catalog");
            self.pass_over(&current, completed.were_within.contains(&publisher));
        }
        for (head, reason) in &completed.refused {
            let (publisher, sequence) = (head.publisher(), head.sequence());
            tracing::warn!(%publisher, sequence, %reason, "a catalog is refused");
        }
        {
            let mut state = self.state();
            state.has_returned |= completed.returned;
            if completed.has_unknown {
                state.ask_refused_again();
            }
        }
        self.changes.note();
        !completed.heads.is_empty()
    }

    /// Fetches nothing that is beyond the share of a catalog's publisher. It says so if that `is_news`.
    fn pass_over(&self, Current { head, catalog, over_share }: &Current, is_news: bool) {
        if over_share.files() == 0 {
            return;
        }
        let publisher = head.publisher();
        if is_news {
            let limit = self.catalogs.max_publisher_bytes();
            let (files, bytes) = (over_share.files(), over_share.bytes());
            tracing::warn!(
                %publisher, files, bytes, limit, "files beyond their publisher's share are not fetched"
            );
        }
        let now = (self.clock)();
        let files = catalog.files().enumerate();
        let mut beyond = files.filter(|(number, _)| over_share.contains(*number)).peekable();
        while beyond.peek().is_some() {
            self.act(|state| {
                for (_, (_, entry)) in beyond.by_ref().take(MAX_DROPPED) {
                    // Another publisher may name it.
                    if self.catalogs.is_unwanted(entry.id) {
                        state.downloads.held(entry.id, now);
                    }
                }
            });
        }
    }

    /// The same for one that was held before its head was known, so that its advert has to go out again.
    fn complete_held(&self, id: ArtifactId) {
        if self.store.contains(id)
            && self.complete_catalog(id)
            && let Some(artifact) = self.store.get(id)
        {
            self.announce(artifact, ArtifactDestination::AllReplicas);
        }
    }

    /// All of an artifact, or as much of it as shows that it is no catalog.
    fn read_catalog(&self, id: ArtifactId) -> Result<Vec<u8>, StoreError> {
        let size =
            self.store.get(id).ok_or(StoreError::NotHeld(id))?.size.min(MAX_CATALOG_BYTES + 1);
        let mut content = Vec::new();
        while (content.len() as u64) < size {
            let offset = content.len() as u64;
            let length = (size - offset).min(PIECE_BYTES) as usize;
            content.extend_from_slice(&self.store.read_chunk(id, offset, length)?);
            if !content.starts_with(CATALOG_MAGIC) {
                break;
            }
        }
        Ok(content)
    }

    /// Whether an artifact is a catalog, or else a file that begins as one.
    pub(super) fn begins_as_catalog(&self, id: ArtifactId, size: u64) -> Result<bool, StoreError> {
        let length = size.min(CATALOG_MAGIC.len() as u64) as usize;
        Ok(*self.store.read_chunk(id, 0, length)? == *CATALOG_MAGIC)
    }

    /// Completes the catalogs whose heads an earlier run has left, or that could not be read at once. Before the store
    /// is verified in the background, it reads all of them here.
    pub(crate) fn complete_awaited(&self) {
        for head in self.catalogs.awaited() {
            self.complete_held(head.catalog());
        }
    }

    /// Notes how much space was missing. What no catalog names any more is dropped for it.
    pub(super) fn note_space(&self, error: &StoreError) {
        if let StoreError::NoSpace { needed, available } = error {
            let short_of = needed.saturating_sub(*available);
            let mut state = self.state();
            state.short_of = Some(state.short_of.map_or(short_of, |least| least.min(short_of)));
        }
    }

    /// Drops what no catalog names any more when its time has come, or its publisher has removed too much. Where
    /// something that is named needs space, it drops as much as that takes: first what none has ever named, then the
    /// oldest. If all would not be enough, it is kept.
    pub(super) fn drop_retired(&self, now: Duration) {
        let short_of = {
            let mut state = self.state();
            if now < state.retention_at {
                return;
            }
            state.retention_at = now + RETENTION_INTERVAL;
            state.short_of.take()
        };
        self.store.drop_stale_parts(now, |id| self.catalogs.is_unwanted(id));
        let is_needless =
            |id: &ArtifactId| self.store.get(*id).is_some_and(|of| self.is_needless(of));
        let mut droppable = self.catalogs.droppable(self.options.removed_retention);
        droppable.extend(self.removed_beyond_share());
        droppable.retain(is_needless);
        if let Some(short_of) = short_of {
            let retired = self.catalogs.droppable(Duration::ZERO);
            let more = self.that_gives_way().chain(retired).filter(is_needless);
            let enough = self.enough(more, short_of);
            if !enough.is_empty() {
                self.close_unnamed(now);
            }
            droppable.extend(enough);
        }
        let mut droppable = droppable.into_iter();
        for id in droppable.by_ref().take(MAX_DROPPED) {
            // It may have been named again meanwhile.
            if is_needless(&id)
                && let Err(error) = self.store.discard(id)
            {
                tracing::warn!(artifact = %id, %error, "cannot drop an artifact that no catalog names");
            }
        }
        if droppable.next().is_some() {
            let mut state = self.state();
            state.retention_at = now;
            state.short_of = state.short_of.or(short_of);
        } else {
            let remembered = self.options.removed_retention.saturating_mul(REMEMBERED);
            self.catalogs.forget_retired(remembered.max(MIN_REMEMBERED));
        }
    }

    /// The first of these that have together so many bytes; none if all have not.
    fn enough(&self, ids: impl Iterator<Item = ArtifactId>, bytes: u64) -> Vec<ArtifactId> {
        let mut enough = Vec::new();
        let mut sum = 0;
        for id in ids {
            sum += self.store.get(id).map_or(0, |artifact| artifact.size);
            enough.push(id);
            if sum >= bytes {
                return enough;
            }
        }
        Vec::new()
    }
}
