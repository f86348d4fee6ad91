//! Gossip engine.
mod config;
mod event;
mod flow;
mod gossip;
mod message;
pub mod wire;

pub use config::*;
pub use event::*;
pub use flow::FlowType;
pub use gossip::{Gossip, GossipArc};
pub use message::*;
