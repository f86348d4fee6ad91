//! Rounds in which the contenders take turns, so that what disturbs the machine disturbs all.

use super::{disturbance::Disturbance, machine::Machine};

/// For each entry what it found in each round, by the round's number; and the share of the machine that others used.
pub(crate) fn interleaved<E, T>(
    entries: &[E],
    rounds: usize,
    run: impl FnMut(&E, usize) -> T,
) -> (Vec<Vec<T>>, Option<f64>) {
    interleaved_on(&mut Machine::quiet(), entries, rounds, run)
}

/// Like [`interleaved`]; what keeps the machine busy counts as the bench's own.
///
/// # Panics
///
/// If what keeps the machine busy has ended.
pub(crate) fn interleaved_on<E, T>(
    machine: &mut Machine,
    entries: &[E],
    rounds: usize,
    mut run: impl FnMut(&E, usize) -> T,
) -> (Vec<Vec<T>>, Option<f64>) {
    let mut found: Vec<Vec<T>> = entries.iter().map(|_| Vec::with_capacity(rounds)).collect();
    let disturbance = Disturbance::beside(machine.processes());
    for round in 0..rounds {
        for (entry, found) in entries.iter().zip(&mut found) {
            found.push(run(entry, round));
        }
    }
    let share = disturbance.and_then(Disturbance::share);
    machine.verify();
    (found, share)
}
