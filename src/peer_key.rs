//! What a peer is known by.

use std::{fmt::Display, hash::Hash};

/// What a peer is known by: an id, a key, a name. Every type of these kinds is one.
///
/// It is cloned when a peer's first message comes and not with each, so it need not be cheap to clone. `Display` is for
/// the log alone. Peers choose their ids in many systems; keys are hashed with a key of the process's own, so that
/// nobody can make them collide.
///
/// `Clone`, `Drop`, `Eq` and `Hash` run under locks of the engine, so they must not call it. They must not panic: a
/// panic reaches the caller, an event that was received then has no outcome, and a departure may be lost.
///
/// A peer has the same key in each of its connections: what differs between them must not be part of it.
pub trait PeerKey: Clone + Display + Eq + Hash + Send + Sync + 'static {}

impl<K: Clone + Display + Eq + Hash + Send + Sync + 'static> PeerKey for K {}
