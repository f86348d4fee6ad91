//! The reference replica of `gossip-engine`: artifacts gossiped over QUIC between folders.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gossip;
pub mod http;
pub mod identity;
pub mod outbox;
pub mod publish;
pub mod replica;
pub mod store;
pub mod tls;
pub mod transport;
