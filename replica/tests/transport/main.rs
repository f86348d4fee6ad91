//! The transport over real QUIC on the loopback interface.
//!
//! No test depends on speed: each waits for what has to happen, and fails loudly when it does not
//! within a generous limit.

mod hostile;
mod lifecycle;
mod messages;
mod recorder;
mod replica;
