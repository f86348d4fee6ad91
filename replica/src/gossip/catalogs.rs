//! Catalogs on the wire: heads that arrive with adverts, catalogs that have been fetched, and what they let go.
//!
//! A head is looked at before its signature is, since most are known. It goes on to other peers with the advert of its
//! catalog, but only from a replica where that is complete: nobody passes on what they have not read.

use std::{sync::Arc, time::Duration};

use gossip_engine::{ArtifactDestination, ArtifactId, GossipAdvert, NodeId};
use sha2::{Digest as _, Sha256};

use super::{ReplicaGossip, claim::head_bytes};
use crate::{
    catalog::{Catalog, CatalogError, Catalogs, Head, HeadError, MAX_CATALOG_BYTES, News},
    changes::Changes,
    identity::Identity,
    store::StoreError,
};

/// How often what is named no longer is looked through.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);
/// How many artifacts are dropped at a time: some milliseconds of the clock's thread.
const MAX_DROPPED: usize = 128;
/// In pieces of how many bytes a catalog is read.
const PIECE_BYTES: u64 = 1 << 20;
/// For how many times of their retention artifacts are remembered that were dropped, and for how long at least, so
/// that a peer that still has them does not bring them back.
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
        catalog: Catalog,
    ) -> Result<Head, CatalogPublishError> {
        let bytes = catalog.encode();
        let size = bytes.len() as u64;
        if size > MAX_CATALOG_BYTES.min(self.options.max_published_bytes()) {
            return Err(CatalogError::TooLarge.into());
        }
        let id = ArtifactId::new(Sha256::digest(&bytes).into());
        let artifact = match self.store.get(id) {
            Some(held) => held,
            None => {
                let partial = self.store.begin(id, size);
                partial.write_at(0, &bytes)?;
                partial.finish()?
            }
        };
        let sequence = self.catalogs.next_sequence(identity.node_id());
        let head = Head::sign(identity, sequence, id, size);
        self.catalogs.publish(head, Arc::new(catalog))?;
        self.changes.note();
        let now = (self.clock)();
        self.act(|state| state.downloads.held(id, now));
        self.announce(artifact, ArtifactDestination::AllReplicas);
        Ok(head)
    }

    /// Looks whether an advert is that of a newer catalog.
    pub(super) fn notice_head(&self, advert: &GossipAdvert, peer: NodeId) {
        match self.newer_head(advert) {
            Ok(None) => {}
            Ok(Some(head)) => {
                if self.catalogs.announce(head) {
                    tracing::debug!(publisher = %head.publisher(), sequence = head.sequence(), %peer, "a catalog");
                    if self.store.contains(head.catalog()) {
                        self.complete_held(head.catalog());
                    }
                }
            }
            Err(reason) => {
                self.state().downloads.counters().adverts_invalid += 1;
                tracing::debug!(%peer, %reason, "invalid advert");
            }
        }
    }

    /// The head in an advert, if it is newer than what is known of its publisher.
    fn newer_head(&self, advert: &GossipAdvert) -> Result<Option<Head>, HeadError> {
        let Some(bytes) = head_bytes(advert) else { return Ok(None) };
        let head = Head::decode_unchecked(&bytes)?;
        let same = head.catalog() == advert.artifact_id && head.size() == advert.size;
        if !same || head.size() > MAX_CATALOG_BYTES {
            return Err(HeadError::Unreadable);
        }
        if self.catalogs.look(&head) != News::Newer {
            return Ok(None);
        }
        Head::decode(&bytes).map(Some)
    }

    /// Whether an advert that was dropped was that of a newer catalog. Its signature is not looked at.
    pub(super) fn is_newer_catalog(&self, advert: &GossipAdvert) -> bool {
        let head = head_bytes(advert).and_then(|bytes| Head::decode_unchecked(&bytes).ok());
        head.is_some_and(|head| self.catalogs.look(&head) == News::Newer)
    }

    /// An artifact is held. If it is a catalog that is awaited, that is current from now on. Returns whether it is.
    pub(super) fn complete_catalog(&self, id: ArtifactId) -> bool {
        if !self.catalogs.is_awaited(id) {
            return false;
        }
        let content = match self.read_all(id) {
            Ok(content) => content,
            Err(error) => {
                // The next tick tries again; a damaged one is fetched again.
                tracing::debug!(artifact = %id, %error, "cannot read a catalog yet");
                return false;
            }
        };
        match self.catalogs.complete(id, &content) {
            Ok(completed) => {
                for head in &completed.heads {
                    let files = self
                        .catalogs
                        .current(head.publisher())
                        .map_or(0, |current| current.catalog.len());
                    tracing::info!(publisher = %head.publisher(), sequence = head.sequence(), files, "a new catalog");
                }
                if completed.returned {
                    // While they were retired, their adverts were passed over.
                    let now = (self.clock)();
                    self.act(|state| {
                        for peer in state.answers.peers() {
                            state.downloads.ask_soon(peer, now);
                        }
                    });
                }
                self.changes.note();
                !completed.heads.is_empty()
            }
            Err(refused) => {
                let (publisher, reason) = (refused.head.publisher(), refused.error);
                tracing::warn!(%publisher, sequence = refused.head.sequence(), %reason, "a catalog is refused");
                false
            }
        }
    }

    /// The same for one that was held before its head was known, so that its advert has to go out again.
    fn complete_held(&self, id: ArtifactId) {
        if self.complete_catalog(id)
            && let Some(artifact) = self.store.get(id)
        {
            self.announce(artifact, ArtifactDestination::AllReplicas);
        }
    }

    fn read_all(&self, id: ArtifactId) -> Result<Vec<u8>, StoreError> {
        let size =
            self.store.get(id).ok_or(StoreError::NotHeld(id))?.size.min(MAX_CATALOG_BYTES + 1);
        let mut content = Vec::new();
        while (content.len() as u64) < size {
            let offset = content.len() as u64;
            let length = (size - offset).min(PIECE_BYTES) as usize;
            content.extend_from_slice(&self.store.read_chunk(id, offset, length)?);
        }
        Ok(content)
    }

    /// Completes the catalogs whose heads an earlier run has left, or that could not be read at once. Before the store
    /// is verified in the background, it reads all of them here.
    pub(crate) fn complete_awaited(&self) {
        for head in self.catalogs.awaited() {
            if self.store.contains(head.catalog()) {
                self.complete_held(head.catalog());
            }
        }
    }

    /// What did not fit may have the place of what nobody names any more.
    pub(super) fn note_space(&self, error: &StoreError) {
        if matches!(error, StoreError::NoSpace { .. }) {
            self.state().is_short_of_space = true;
        }
    }

    /// Drops what no catalog names any more, when its time has come or its place is needed.
    pub(super) fn drop_retired(&self, now: Duration) {
        let is_short_of_space = {
            let mut state = self.state();
            if now < state.retention_at {
                return;
            }
            state.retention_at = now + RETENTION_INTERVAL;
            std::mem::take(&mut state.is_short_of_space)
        };
        let retention =
            if is_short_of_space { Duration::ZERO } else { self.options.removed_retention };
        let droppable = self.catalogs.droppable(retention);
        let mut held = droppable.into_iter().filter(|id| self.store.contains(*id));
        for id in held.by_ref().take(MAX_DROPPED) {
            // It may have been named again meanwhile.
            if self.catalogs.is_retired(id)
                && let Err(error) = self.store.discard(id)
            {
                tracing::warn!(artifact = %id, %error, "cannot drop an artifact that nobody names");
            }
        }
        if held.next().is_some() {
            let mut state = self.state();
            state.retention_at = now;
            state.is_short_of_space |= is_short_of_space;
        } else {
            let remembered = self.options.removed_retention.saturating_mul(REMEMBERED);
            self.catalogs.forget_retired(remembered.max(MIN_REMEMBERED));
        }
    }
}
