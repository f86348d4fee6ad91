//! The list of peers, and how it changes while the transport runs.
//!
//! A change is published to all who read the list: the windows of new connections, the acceptor's verifier, `send`, the
//! table of slots. Then the tasks of peers that are gone are asked to end, and those of new ones are started. Changes
//! follow each other, under the lock of the transport's tasks.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::Arc,
};

use arc_swap::ArcSwap;
use gossip_engine::NodeId;
use tokio::task::{JoinError, JoinSet};

use super::{
    Peer, StartError,
    backoff::Penalty,
    connection::PeerContext,
    counters::Counters,
    dial::Dialler,
    endpoint::Settings,
    handler::Handler,
    limits::{MAX_PEERS, Windows},
    notices::Notices,
    outbound::Links,
    places::Places,
    slot::PeerSlot,
    stop::Stop,
    supervisor::{say_surely, supervise},
};
use crate::tls::AllowedKeys;

/// The slots of the peers that are listed now.
pub(super) type Slots = HashMap<NodeId, Arc<PeerSlot>>;

/// Makes the task of a peer, which begins when its predecessor has ended.
pub(super) type Spawn = Box<
    dyn Fn(Arc<PeerSlot>, Option<Arc<PeerSlot>>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send,
>;

/// Makes the tasks of peers, each watched over.
pub(super) fn spawner<H: Handler>(
    dialler: Dialler,
    counters: Arc<Counters>,
    stop: Stop,
    handler: H,
) -> Spawn {
    Box::new(move |slot: Arc<PeerSlot>, predecessor: Option<Arc<PeerSlot>>| {
        let (counters, stop) = (counters.clone(), stop.clone());
        let (handler, dialler) = (handler.clone(), dialler.clone());
        Box::pin(async move {
            if let Some(predecessor) = predecessor {
                predecessor.ended.wait().await;
                // It may have forgotten this at its end.
                if let Some(address) = slot.address().literal() {
                    dialler.places.know(slot.peer, &[address]);
                }
            }
            let _ended = SetOnDrop(slot.ended.clone());
            let (peer, removed) = (slot.peer, slot.removed.clone());
            let (name, places) = (format!("the peer {peer}"), dialler.places.clone());
            let context = {
                let (counters, stop) = (counters.clone(), stop.clone());
                move || {
                    PeerContext {
                        slot: slot.clone(),
                        dialler: dialler.clone(),
                        notices: Notices::new(slot.peer),
                        counters: counters.clone(),
                        handler: handler.clone(),
                        stop: stop.clone(),
                    }
                    .keep()
                }
            };
            supervise(name, counters, &[stop, removed.clone()], context).await;
            if removed.is_set() {
                // Its last dial may have resolved its name after it was removed.
                places.forget(peer);
            }
        })
    })
}

/// Says that a peer's task has ended, however that comes.
struct SetOnDrop(Stop);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// What a change of the list of peers has changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PeerChanges {
    /// Peers that were not listed before.
    pub added: usize,
    /// Peers that have another address.
    pub moved: usize,
    /// Peers that are listed no longer.
    pub removed: usize,
}

/// What reads the list.
#[derive(Debug)]
pub(super) struct Readers {
    pub(super) slots: Arc<ArcSwap<Slots>>,
    pub(super) keys: Arc<AllowedKeys>,
    pub(super) places: Arc<Places>,
    pub(super) links: Arc<Links>,
    /// Of the connections that are made from now on.
    pub(super) settings: Arc<ArcSwap<Settings>>,
}

/// The tasks of a transport that has been started.
pub(super) struct Tasks {
    pub(super) set: JoinSet<()>,
    pub(super) spawn: Option<Spawn>,
    /// Peers that are listed no longer and whose task may not have ended yet.
    leaving: HashMap<NodeId, Arc<PeerSlot>>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { set: JoinSet::new(), spawn: None, leaving: HashMap::new() }
    }

    /// Makes `peers` the list.
    pub(super) fn change(
        &mut self,
        peers: HashMap<NodeId, Peer>,
        readers: &Readers,
        counters: &Counters,
        penalty: impl Fn() -> Penalty,
    ) -> PeerChanges {
        // Nothing is kept of those who have ended.
        while let Some(ended) = self.set.try_join_next() {
            count_panic(&ended, counters);
        }
        self.leaving.retain(|_, slot| !slot.ended.is_set());

        let before = readers.slots.load_full();
        let mut changes = PeerChanges::default();
        let mut added = Vec::new();
        let mut slots = Slots::with_capacity(peers.len());
        for (id, peer) in peers {
            let slot = match before.get(&id) {
                Some(slot) => {
                    if slot.address() != peer.address {
                        changes.moved += 1;
                        self.learn_address(&peer, readers);
                        slot.move_to(peer.address);
                    }
                    slot.clone()
                }
                None => {
                    changes.added += 1;
                    self.learn_address(&peer, readers);
                    let slot = Arc::new(PeerSlot::new(id, peer.address, penalty()));
                    added.push(slot.clone());
                    slot
                }
            };
            slots.insert(id, slot);
        }
        let removed: Vec<_> =
            before.values().filter(|slot| !slots.contains_key(&slot.peer)).cloned().collect();
        changes.removed = removed.len();

        let settings = Settings { windows: Windows::of(slots.len()), ..**readers.settings.load() };
        readers.settings.store(Arc::new(settings));
        // Those that are served, after the change: one that is served from here on reads it.
        for slot in slots.values() {
            slot.status.narrow(&readers.settings);
        }
        // The verifier first: all who are let in from here on are listed.
        readers.keys.set(slots.keys().copied().collect());
        readers.links.publish(slots.iter().map(|(id, slot)| (*id, slot.link.clone())).collect());
        readers.slots.store(Arc::new(slots));
        for slot in removed {
            readers.places.forget(slot.peer);
            slot.removed.set();
            slot.handover.cut_off();
            self.leaving.insert(slot.peer, slot);
        }
        let spawn = self.spawn.as_ref().expect("a transport is started before its list changes");
        for slot in added {
            let predecessor = self.leaving.get(&slot.peer).cloned();
            self.set.spawn(spawn(slot, predecessor));
        }
        changes
    }

    /// An address that needs no resolver is known from the start.
    fn learn_address(&self, peer: &Peer, readers: &Readers) {
        if let Some(address) = peer.address.literal() {
            readers.places.know(peer.node_id, &[address]);
        }
    }
}

/// Counts a task that has panicked although what it runs is supervised.
pub(super) fn count_panic(ended: &Result<(), JoinError>, counters: &Counters) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        counters.failed_tasks.increment();
        say_surely(|| tracing::error!("a task of the transport has panicked and is gone"));
    }
}

/// The list by id, without our own entry, so that one list serves a whole cluster.
///
/// # Errors
///
/// If a peer is listed twice, or there are too many.
pub(super) fn by_id(own: NodeId, peers: Vec<Peer>) -> Result<HashMap<NodeId, Peer>, StartError> {
    if peers.len() > MAX_PEERS {
        return Err(StartError::TooMany(peers.len()));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = peers.iter().find(|peer| !seen.insert(peer.node_id)) {
        return Err(StartError::Duplicate(twice.node_id));
    }
    Ok(peers
        .into_iter()
        .filter(|peer| peer.node_id != own)
        .map(|peer| (peer.node_id, peer))
        .collect())
}
