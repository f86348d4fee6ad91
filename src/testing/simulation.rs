//! The whole engine on one thread: handlers, flows, broadcaster, timer and watch as they are, on threads that are
//! none and a clock that does not tick by itself. For tests and fuzzers only.
//!
//! ```text
//!  driver, operations, oracle, replica, calls     user, steps, tasks
//!        the engine's own simulation              Simulation, for a replica's tests
//!                       └──────────┬───────────────────┘
//!                        threads  clock  random
//! ```
//!
//! # The engine's own
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
//!
//! # The users'
//!
//! A [`Simulation`] *steps*: a worker ends after each message, and the seed says who goes next. It has no operations
//! and no oracle. Those are the user's.

#[cfg(any(test, fuzzing))]
mod calls;
pub(crate) mod clock;
#[cfg(any(test, fuzzing))]
mod driver;
#[cfg(any(test, fuzzing))]
mod operations;
#[cfg(any(test, fuzzing))]
mod oracle;
mod random;
#[cfg(any(test, fuzzing))]
mod replica;
mod steps;
mod tasks;
mod threads;
mod user;

#[cfg(any(test, fuzzing))]
pub use driver::{Scope, run};
pub(crate) use steps::{is_stepped, run_others};
pub(crate) use threads::{Simulated, is_on, watch};
pub use user::Simulation;

#[cfg(all(test, not(loom)))]
mod tests;
