//! Transports on a network in memory and in virtual time: what a long, a slow and a lossy line carry.
//!
//! The clock stands while anybody works and jumps to the next timer when nobody does, so a figure does not
//! depend on the speed of the machine nor on what else it does. What is measured is the transport itself:
//! QUIC, its windows and its congestion control, the queues, the readers and the writers. In the place of
//! the engine and the protocol stands a handler of a few lines.

mod fetch;
mod flows;
#[path = "../../tests/lab/line.rs"]
#[allow(dead_code, reason = "what the relay of the whole replicas asks")]
mod line;
mod long;
mod lost;
mod network;
mod unread;
mod versions;
mod windows;
