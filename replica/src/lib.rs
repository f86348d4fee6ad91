//! The reference replica of `gossip-engine`: artifacts gossiped over QUIC between folders.

pub mod identity;
pub mod outbox;
pub mod tls;
pub mod transport;
