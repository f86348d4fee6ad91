//! A whole flow under thousands of schedules, drawn at random: what loom explores in parts, put
//! together, with more threads, more messages and every wait strategy.
//!
//! A submitter that nobody wakes and a message that nobody runs leave all threads blocked, which
//! shuttle reports. Each failure comes with its schedule or seed, and the draws of a test are part of
//! the schedule. What shuttle cannot see is said in `sync/scheduled.rs`.

pub(crate) mod threads;

#[cfg(test)]
mod trial;

#[cfg(test)]
mod tests;
