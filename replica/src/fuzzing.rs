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

/// Reads the bytes as a configuration and, after the first NUL, as its file of peers.
///
/// # Panics
///
/// If anything is not as it has to be.
#[cfg(fuzzing)]
pub fn read_settings(bytes: &[u8]) {
    let _ = crate::settings::fuzzing::read_settings(bytes);
}

#[cfg(test)]
mod tests;
