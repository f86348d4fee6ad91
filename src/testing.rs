//! What only tests and fuzzers need. Nothing above imports it, except through the seams in `sync`, `clock`, `watch` and
//! `workers`.

#[cfg(shuttle)]
pub(crate) mod schedules;
#[cfg(not(shuttle))]
pub mod simulation;

#[cfg(not(shuttle))]
pub(crate) use simulation::{Simulated, clock, is_on, watch};
