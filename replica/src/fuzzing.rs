//! What the fuzz targets do with their bytes, here so that the tests can replay their seeds: neither needs
//! more of the replica's insides than this.
//!
//! Compiled for tests and fuzzers only.

mod frames;
mod gossip;
mod input;
mod world;

pub use self::{
    frames::{Stream, read_stream},
    gossip::gossip_with_anybody,
};

#[cfg(test)]
mod tests;
