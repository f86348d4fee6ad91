//! What a seed stands for: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).

use std::ops::Range;

/// Numbers that are the same for the same seed.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of so many, at least one. The bias is a part in 2⁶⁴ for each.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.number() % count as u64) as usize
    }
}

/// The seeds that are tried: these, or as many from the first on as `GOSSIP_SIMULATION_SEEDS` says, or the one that
/// `GOSSIP_SIMULATION_SEED` names.
///
/// # Panics
///
/// If a variable is no number.
pub(super) fn seeds(seeds: Range<u64>) -> Range<u64> {
    let asked = |variable| {
        let value = std::env::var(variable).ok()?;
        Some(value.parse::<u64>().unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
    };
    match asked("GOSSIP_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let count = asked("GOSSIP_SIMULATION_SEEDS");
            seeds.start..count.map_or(seeds.end, |count| seeds.start.saturating_add(count))
        }
    }
}
