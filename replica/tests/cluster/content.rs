//! Files to publish: the same for the same number, different for different numbers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

/// The content number `number`: up to some hundred kilobytes; every tenth is empty or a byte.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let length = match number % 10 {
        0 => number / 10 % 2,
        _ => number * 7919 % 150_000,
    };
    bytes(number, length)
}

/// So many bytes, different ones for different numbers.
pub(crate) fn bytes(number: u64, length: u64) -> Vec<u8> {
    // SplitMix64, so that no two files have a chunk in common.
    let mut state = number;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27) as u8
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) fn id_of(content: &[u8]) -> ArtifactId {
    ArtifactId::new(Sha256::digest(content).into())
}

/// Writes a file with that content.
pub(crate) fn write(folder: &Path, number: u64) -> PathBuf {
    let path = folder.join(format!("file {number}"));
    fs::write(&path, content(number)).unwrap();
    path
}
