//! What replicas lack of each publisher's folder, as each says of itself.
//!
//! ```text
//! counted here ── is another than what was reported ──> reported to all connected peers
//!        └── goes with each advert of the catalog that is sent anyway
//! said by a peer ──> kept until the peer says another, or leaves the list
//! ```
//!
//! It travels in the advert of the publisher's catalog, in a field that earlier versions skip. What a peer says is a
//! claim that nobody checks: it is shown as what the peer says, and decides nothing.
//!
//! Bounded: [`MAX_REPORTED`] adverts at a time, [`MAX_SAID`] claims of all peers, and the same share of them for each.
//! What goes beyond is not kept. May lose: a claim for which a connection has no capacity, until the peer asks for all
//! adverts again, as it does each minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use gossip_engine::{GossipAdvert, GossipMessage, NodeId};

use super::{ReplicaGossip, claim::missing_in};
use crate::catalog::Head;

/// How many adverts go out at a time to say what has changed, to all peers together; 250 bytes each.
const MAX_REPORTED: usize = 256;
/// How many claims of peers are kept, unless there are more peers; 150 bytes each.
const MAX_SAID: usize = 16_384;

/// What a replica lacks of a publisher's folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lack {
    /// The number of the catalog that it has.
    pub sequence: u64,
    /// Files of the catalog that it does not hold.
    pub missing_files: u64,
    /// Their bytes.
    pub missing_bytes: u64,
}

/// What a peer says that it lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SaidLack {
    /// The peer.
    pub peer: NodeId,
    /// Of whose folder.
    pub publisher: NodeId,
    /// What it lacks.
    pub lack: Lack,
    /// When it said so.
    pub at: SystemTime,
}

/// Of this replica, of one folder.
#[derive(Clone, Copy, Debug)]
struct Own {
    lack: Lack,
    reported: Option<Lack>,
    /// When it was reported last, by number.
    turn: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Lacks {
    members: BTreeSet<NodeId>,
    own: BTreeMap<NodeId, Own>,
    last_turn: u64,
    /// By peer, then by publisher.
    said: BTreeMap<NodeId, BTreeMap<NodeId, (Lack, SystemTime)>>,
}

impl Lacks {
    /// Nobody else says anything, and of nobody else's folder.
    pub(super) fn set_members(&mut self, members: BTreeSet<NodeId>) {
        self.said.retain(|peer, _| members.contains(peer));
        for of_peer in self.said.values_mut() {
            of_peer.retain(|publisher, _| members.contains(publisher));
        }
        self.members = members;
    }

    /// What was counted here, of all publishers with a catalog.
    fn set_own(&mut self, counted: impl Iterator<Item = (NodeId, Lack)>) {
        let mut before = std::mem::take(&mut self.own);
        let own = |(publisher, lack)| {
            let known = before.remove(&publisher).unwrap_or(Own { lack, reported: None, turn: 0 });
            (publisher, Own { lack, ..known })
        };
        self.own = counted.map(own).collect();
    }

    /// What this replica lacks of a catalog, if that has been counted.
    pub(super) fn own(&self, head: &Head) -> Option<Lack> {
        let lack = self.own.get(&head.publisher())?.lack;
        (lack.sequence == head.sequence()).then_some(lack)
    }

    /// The publishers of whose folders something else is to be reported than last time; at most so many, those that
    /// have waited for longest. They count as reported.
    fn take_due(&mut self, most: usize) -> Vec<NodeId> {
        let changed = self.own.iter().filter(|(_, own)| own.reported != Some(own.lack));
        let mut due: Vec<_> = changed.map(|(publisher, own)| (own.turn, *publisher)).collect();
        due.sort_unstable();
        due.truncate(most);
        for (_, publisher) in &due {
            if let Some(own) = self.own.get_mut(publisher) {
                self.last_turn += 1;
                (own.reported, own.turn) = (Some(own.lack), self.last_turn);
            }
        }
        due.into_iter().map(|(_, publisher)| publisher).collect()
    }

    fn say(&mut self, peer: NodeId, publisher: NodeId, lack: Lack, at: SystemTime) {
        if !self.members.contains(&peer) || !self.members.contains(&publisher) {
            return;
        }
        let share = (MAX_SAID / self.members.len()).max(1);
        let of_peer = self.said.entry(peer).or_default();
        if of_peer.len() < share || of_peer.contains_key(&publisher) {
            of_peer.insert(publisher, (lack, at));
        }
    }

    fn said(&self) -> Vec<SaidLack> {
        let said = self.said.iter().flat_map(|(peer, of_peer)| {
            of_peer.iter().map(|(publisher, (lack, at))| SaidLack {
                peer: *peer,
                publisher: *publisher,
                lack: *lack,
                at: *at,
            })
        });
        said.collect()
    }
}

impl ReplicaGossip {
    /// What peers say that they lack, in the order of the peers and then of the publishers. Nothing of it is checked.
    #[must_use]
    pub fn said_lacks(&self) -> Vec<SaidLack> {
        self.lacks().said()
    }

    /// Reports to the connected peers what this replica lacks of the folders, where that is something else than last
    /// time. A call sends 256 adverts at most, or one to each peer if there are more; the next call goes on.
    pub fn report_lacks(&self, counted: impl IntoIterator<Item = (NodeId, Lack)>) {
        let peers: Vec<NodeId> = self.state().answers.peers().collect();
        let due = {
            let mut lacks = self.lacks();
            lacks.set_own(counted.into_iter());
            if peers.is_empty() {
                // Peers that come later ask for all adverts.
                return;
            }
            lacks.take_due((MAX_REPORTED / peers.len()).max(1))
        };
        for publisher in due {
            let Some(current) = self.catalogs.current(publisher) else { continue };
            let Some(artifact) = self.store.get(current.head.catalog()) else { continue };
            let advert = self.advert(artifact);
            let send = |peer: &&NodeId| {
                self.outbox.send(**peer, GossipMessage::Advert(advert.clone())).is_ok()
            };
            let sent = peers.iter().filter(send).count() as u64;
            self.state().served.adverts += sent;
        }
    }

    /// Keeps what a peer says in the advert of a catalog. Only a head that is newer than what is known was checked:
    /// another one says no more than the peer might say of the newest.
    pub(super) fn notice_lack(&self, advert: &GossipAdvert, head: &Head, peer: NodeId) {
        if let Some((missing_files, missing_bytes)) = missing_in(advert) {
            let lack = Lack { sequence: head.sequence(), missing_files, missing_bytes };
            self.lacks().say(peer, head.publisher(), lack, SystemTime::now());
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Lacks {
    /// Panics if more is kept than may be.
    pub(super) fn check(&self) {
        let said: usize = self.said.values().map(BTreeMap::len).sum();
        assert!(said <= MAX_SAID.max(self.members.len()), "too many claims");
        assert!(
            self.said.keys().all(|peer| self.members.contains(peer)),
            "a claim of one that is no member"
        );
    }
}

#[cfg(test)]
mod tests;
