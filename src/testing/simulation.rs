//! The whole engine on one thread: handlers, flows, broadcaster and watch as they are, on threads that are
//! none and a clock that does not tick by itself. For tests and fuzzers only.
//!
//! [`run`] turns bytes into operations, one after the other: messages of peers, good, bad and malicious; futures that
//! are polled or dropped; peers that come and go; workers that run now or later; time that passes; changes of the
//! configuration and of the replica. Handlers panic, are slow, and do all of this themselves in the middle. What the
//! replica sees is checked against an oracle as it goes. When the bytes are used up faults stop, and everything must
//! come to rest.
//!
//! The same bytes make the same run: [`run`] returns a number that stands for all that was observed.
//!
//! Not simulated: a worker is interrupted only inside callbacks (other interleavings are loom's and shuttle's),
//! never spins for ever, and nothing uses rayon.

mod calls;
pub mod clock;
mod driver;
mod operations;
mod oracle;
mod replica;
mod threads;

pub use driver::{Scope, run};
pub(crate) use threads::{Simulated, is_on, watch};

/// As many bytes as one run of a seed uses up.
const BYTES_OF_A_SEED: usize = 2_000;

/// The bytes of a seed: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
#[must_use]
pub fn bytes_of(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..BYTES_OF_A_SEED / 8).flat_map(|_| next().to_le_bytes()).collect()
}

#[cfg(all(test, not(loom)))]
mod tests;
