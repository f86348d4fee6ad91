//! What only tests and fuzzers need. Nothing above imports it, except through the seams in `sync`, `clock`, `watch`,
//! `timer`, `blocking`, `workers` and `flow_worker`. Without `test-util` the seams are compiled out.

#[cfg(shuttle)]
pub(crate) mod schedules;

#[cfg(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle))))]
mod simulation;
#[cfg(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle))))]
pub use simulation::Simulation;
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
pub use simulation::{Scope, run};
#[cfg(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle))))]
pub(crate) use simulation::{Simulated, clock, is_on, is_stepped, run_others, watch};

#[cfg(not(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle)))))]
mod off;
#[cfg(not(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle)))))]
pub(crate) use off::*;
