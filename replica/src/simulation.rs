//! Many replicas of the real protocol in one thread, on virtual time and a network with rates, delays and faults.
//!
//! Each replica is a [`ReplicaGossip`](crate::gossip::ReplicaGossip) over a store in memory, with the clock, the outbox
//! and the connections of this world. One heap orders all events, and equal options lead to equal events:
//! [`Report::trace`] is a hash over all of them.
//!
//! ```text
//! outbox ──> queues of the connection ──turns──> uplink ──latency, loss──> downlink ──> callback
//!            (limits of the transport)          bytes/s     order kept     bytes/s
//! ```
//!
//! - **Sizes** are those of the encoded messages with their frames. What QUIC, UDP and IP add is not counted.
//! - **An uplink** sends one message at a time. The connections take turns, and in each what is small goes before
//!   chunks, which have a stream of their own. A **downlink** takes bytes in the order in which they arrive.
//! - **What is lost** is a packet: its message comes one and a half round trips later, once more if it is lost again,
//!   and keeps what is behind it in its stream waiting. It is sent, and counted, again.
//! - **Who dies** does so unseen: its peers notice it when the transport's idle timeout is over, as in a partition.
//!
//! Not simulated: congestion control, the engine's queues and threads, and the time that a processor or a disk takes.
//! Nor are catalogs, so that all content counts as what none names; and no part of an artifact is kept when an attempt
//! ends. So the times are those of links that are used to the full, between machines that wait for nothing else.
//!
//! Bounded by [`MAX_REPLICAS`], [`MAX_LINKS`] and [`Options::limit`]. A replica with eight connections takes some
//! 30 KiB.

mod connections;
mod events;
mod faults;
mod hostile;
mod link;
mod member;
mod network;
mod options;
mod port;
mod random;
mod report;
mod topology;
mod world;

pub use self::{
    options::{Faults, InvalidOptions, MAX_LINKS, MAX_REPLICAS, Options, Topology},
    report::{Fetched, Report, Theory},
};

/// Runs a simulation until all replicas that can hold everything do, or its time is over.
///
/// # Errors
///
/// [`InvalidOptions`] says which number cannot be.
pub fn run(options: &Options) -> Result<Report, InvalidOptions> {
    options.validate()?;
    Ok(world::World::new(options).run())
}

#[cfg(test)]
mod tests;
