//! The reference replica of `gossip-engine`: artifacts gossiped over QUIC between folders.

pub mod outbox;
