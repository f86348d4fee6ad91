//! Peers that have connected and of which the replica has not been told yet.
//!
//! What a peer sends on a new connection must not run before the replica's `on_peer_up` has returned. So
//! a PeerUp leaves a *welcome* here, and a lane that is made meanwhile takes it along: its messages are
//! admitted and queued, but the lane stays out of the ready set until the welcome is open.
//!
//! Each PeerUp is a [`Greeting`], which travels with the event and is dropped after `on_peer_up`, or wherever
//! the event has come to another end. The welcome opens when the last greeting of its peer is dropped. So no
//! lane is withheld for ever.
//!
//! Whoever opens one opens it, fences, and lists the peer's lanes in all flows; whoever pushes a message
//! fences and looks whether the lane is withheld. One of the two fences comes first: either the opener
//! sees the message, or the submitter sees the welcome open. Whoever makes a lane does the same for its quota.
//!
//! Messages that are withheld hold room of their flow, so a lane has only [`WITHHELD_QUOTA`] until it is
//! released; what comes beyond that finds no room.
//!
//! There are as many welcomes as the Transport flow has messages in flight and waiting.

use std::{
    array,
    collections::HashMap,
    fmt,
    hash::BuildHasher,
    sync::{Arc, OnceLock, Weak},
};

use arc_swap::ArcSwap;

use super::departure::PATIENCE;
use crate::{
    NodeId,
    clock::Moment,
    sync::{AtomicBool, Ordering, fence},
};

/// Into how many parts the table is divided, so that a cluster that connects at once copies little.
const PARTS: usize = 64;

/// How many messages of a peer a flow admits as long as they are withheld.
pub(super) const WITHHELD_QUOTA: usize = 4;

/// Whether the replica has been told of a connection.
#[derive(Debug, Default)]
pub(super) struct Welcome(AtomicBool);

impl Welcome {
    pub(super) fn is_open(&self) -> bool {
        // Acquire: what `on_peer_up` did comes before the messages that it lets through.
        self.0.load(Ordering::Acquire)
    }
}

/// A flow of a handler, whose peers connect and go.
pub(crate) trait Connected: fmt::Debug + Send + Sync {
    /// The messages of this peer may start.
    fn release(self: Arc<Self>, peer: NodeId);

    /// Waits until the handlers of messages of a peer that was cancelled have ended, or patience has.
    fn outlast(&self, peer: NodeId, patience: Moment);
}

/// By peer, its welcome and how many greetings it waits for.
type Part = HashMap<NodeId, (Arc<Welcome>, usize), foldhash::quality::RandomState>;

/// The welcomes of one handler's peers.
pub(crate) struct Welcomes {
    parts: [ArcSwap<Part>; PARTS],
    hasher: foldhash::quality::RandomState,
    flows: OnceLock<Vec<Weak<dyn Connected>>>,
}

impl Default for Welcomes {
    fn default() -> Self {
        Self {
            parts: array::from_fn(|_| ArcSwap::default()),
            hasher: foldhash::quality::RandomState::default(),
            flows: OnceLock::new(),
        }
    }
}

impl Welcomes {
    fn part(&self, peer: NodeId) -> &ArcSwap<Part> {
        &self.parts[self.hasher.hash_one(peer.as_bytes()) as usize % PARTS]
    }

    /// The flows whose lanes are released. To be called once.
    pub(crate) fn hold(&self, flows: Vec<Weak<dyn Connected>>) {
        assert!(self.flows.set(flows).is_ok(), "the flows of a handler are known once");
    }

    fn flows(&self) -> impl Iterator<Item = Arc<dyn Connected>> {
        self.flows.get().into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// Waits until the handlers of messages of a peer that was cancelled have ended, or patience has.
    pub(crate) fn outlast(&self, peer: NodeId) {
        let patience = Moment::now().after(PATIENCE);
        self.flows().for_each(|flow| flow.outlast(peer, patience));
    }

    /// A peer has connected; its messages are withheld until the greeting is dropped.
    pub(crate) fn greet(self: &Arc<Self>, peer: NodeId) -> Greeting {
        self.part(peer).rcu(|part| {
            let mut next = Part::clone(part);
            next.entry(peer).or_default().1 += 1;
            next
        });
        Greeting { welcomes: Arc::clone(self), peer, flows: self.flows().collect() }
    }

    /// A greeting of this peer is over; its welcome, if that was the last.
    fn part_with(&self, peer: NodeId) -> Option<Arc<Welcome>> {
        let mut last = None;
        self.part(peer).rcu(|part| {
            let mut next = Part::clone(part);
            last = None;
            if let Some((welcome, greetings)) = next.get_mut(&peer) {
                *greetings -= 1;
                if *greetings == 0 {
                    last = Some(Arc::clone(welcome));
                    next.remove(&peer);
                }
            }
            next
        });
        last
    }

    /// What a lane that is made now must wait for.
    pub(super) fn of(&self, peer: NodeId) -> Option<Arc<Welcome>> {
        self.part(peer).load().get(&peer).map(|(welcome, _)| Arc::clone(welcome))
    }
}

impl fmt::Debug for Welcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcomes").finish_non_exhaustive()
    }
}

/// A connection of which the replica is about to be told.
#[derive(Debug)]
pub(crate) struct Greeting {
    welcomes: Arc<Welcomes>,
    peer: NodeId,
    /// So that what is withheld still runs if the handler is dropped meanwhile.
    flows: Vec<Arc<dyn Connected>>,
}

impl Drop for Greeting {
    fn drop(&mut self) {
        let Some(welcome) = self.welcomes.part_with(self.peer) else { return };
        // Release: pairs with `is_open`.
        welcome.0.store(true, Ordering::Release);
        // SeqCst: pairs with that in `Core::list`; the welcome is open before it, the lanes looked at after.
        fence(Ordering::SeqCst);
        self.flows.drain(..).for_each(|flow| flow.release(self.peer));
    }
}
