//! Work that is a number of steps and not a time, so that a thread which is stopped has as much left as before.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{clock::split_mix, statistics::Quartiles};

/// So much work as takes this long on a core that is free.
pub(crate) fn steps_in(time: Duration) -> u64 {
    const STEPS: u64 = 1 << 20;
    let times = (0..9).map(|_| {
        let started = Instant::now();
        work(STEPS);
        started.elapsed().as_secs_f64()
    });
    // The lower quartile: what disturbs makes it longer only.
    (STEPS as f64 * time.as_secs_f64() / Quartiles::of(times).lower) as u64
}

pub(crate) fn work(steps: u64) {
    let mut state = black_box(steps);
    for _ in 0..steps {
        black_box(split_mix(&mut state));
    }
}
